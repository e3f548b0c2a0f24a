package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

func (a *app) outputCommand() *cobra.Command {
	var asJSON, raw bool
	cmd := &cobra.Command{
		Use:   "output [NAME]",
		Short: "Print the configuration's outputs",
		Long:  "Print all outputs, or the one of that NAME. A sensitive one is printed only when it is named, or with --json.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.mustLoad()
			if err != nil {
				return err
			}
			outputs, diags := c.Outputs(nil)
			a.ui.Diagnostics(diags, c.Files())
			if diags.HasErrors() {
				return errReported
			}
			if len(args) == 1 {
				o, ok := outputs[args[0]]
				if !ok {
					return fmt.Errorf("the configuration has no output %q", args[0])
				}
				return a.printOutput(o, asJSON, raw)
			}
			if raw {
				return fmt.Errorf("--raw prints one output: name it")
			}
			return a.printOutputs(outputs, asJSON)
		},
	}
	a.addVarFlags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	cmd.Flags().BoolVar(&raw, "raw", false, "print one string, number or bool without quotes or newline")
	cmd.MarkFlagsMutuallyExclusive("json", "raw")
	return cmd
}

func (a *app) printOutput(o config.Output, asJSON, raw bool) error {
	value, _ := o.Value.UnmarkDeep()
	if raw {
		text, err := rawText(value)
		if err != nil {
			return err
		}
		a.print("%s", text)
		return nil
	}
	text, err := outputText(value)
	if err != nil {
		return err
	}
	if !asJSON {
		text = ui.Escape(text)
	}
	a.print("%s\n", text)
	return nil
}

func rawText(value cty.Value) (string, error) {
	switch {
	case value.IsNull() || !value.IsKnown():
		return "", fmt.Errorf("the output has no value")
	case value.Type() == cty.String:
		return value.AsString(), nil
	case value.Type() == cty.Number:
		return value.AsBigFloat().Text('f', -1), nil
	case value.Type() == cty.Bool:
		return fmt.Sprint(value.True()), nil
	}
	return "", fmt.Errorf("--raw prints a string, number or bool; this output is %s: use --json", value.Type().FriendlyName())
}

func outputText(value cty.Value) (string, error) {
	if !value.IsWhollyKnown() {
		return "(known after a host was reached)", nil
	}
	text, err := ctyjson.Marshal(value, value.Type())
	return string(text), err
}

func (a *app) printOutputs(outputs map[string]config.Output, asJSON bool) error {
	object := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		o := outputs[name]
		value, _ := o.Value.UnmarkDeep()
		text, err := outputText(value)
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		switch {
		case asJSON && !value.IsWhollyKnown():
			text = "null"
		case !asJSON && o.Sensitive:
			text = "(sensitive value)"
		}
		object[name] = json.RawMessage(text)
		if !asJSON {
			a.print("%s = %s\n", name, ui.Escape(text))
		}
	}
	if !asJSON {
		return nil
	}
	text, err := json.MarshalIndent(object, "", "  ")
	if err != nil {
		return err
	}
	a.print("%s\n", text)
	return nil
}
