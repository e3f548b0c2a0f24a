package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// outputOptions are the options of output.
type outputOptions struct {
	configFlags
	asJSON, raw bool
}

func newOutputCommand(g *global) *cobra.Command {
	var o outputOptions
	cmd := &cobra.Command{
		Use:   "output [NAME]",
		Short: "Print the configuration's outputs",
		Long:  "Print all outputs, or the one of that NAME. A sensitive one is printed only when it is named, or with --json.",
		Args:  cobra.MaximumNArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return runOutput(g, o, args) },
	}
	o.add(cmd.Flags())
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print as JSON")
	cmd.Flags().BoolVar(&o.raw, "raw", false, "print one string, number or bool without quotes or newline")
	cmd.MarkFlagsMutuallyExclusive("json", "raw")
	return cmd
}

func runOutput(g *global, o outputOptions, args []string) error {
	c, err := run.Load(o.sources(g), &observer{UI: g.ui})
	if err != nil {
		return err
	}
	outputs, diags := c.Outputs(nil)
	g.ui.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return errReported
	}
	if len(args) == 1 {
		output, ok := outputs[args[0]]
		if !ok {
			return fmt.Errorf("the configuration has no output %q", args[0])
		}
		if len(output.Needs) > 0 {
			return fmt.Errorf("the output %q has no value here: it needs facts of %s, which this command does not reach; "+
				"`mirrorform console --host HOST` evaluates expressions with the facts of a host", args[0], hostNames(output.Needs))
		}
		return printOutput(g, output, o.asJSON, o.raw)
	}
	if o.raw {
		return fmt.Errorf("--raw prints one output: name it")
	}
	return printOutputs(g, outputs, o.asJSON)
}

func printOutput(g *global, o config.Output, asJSON, raw bool) error {
	value, _ := o.Value.UnmarkDeep()
	if raw {
		text, err := rawText(value)
		if err != nil {
			return err
		}
		g.print("%s", text)
		return nil
	}
	text, err := outputText(value)
	if err != nil {
		return err
	}
	if !asJSON {
		text = plain.Escape(text)
	}
	g.print("%s\n", text)
	return nil
}

func rawText(value cty.Value) (string, error) {
	switch {
	case value.IsNull():
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
	text, err := ctyjson.Marshal(value, value.Type())
	return string(text), err
}

// listedOutput is the text of one output among all. One that needs facts has none, and in JSON is
// null with a warning.
func listedOutput(g *global, name string, o config.Output, asJSON bool) (string, error) {
	switch {
	case !asJSON && o.Sensitive:
		return "(sensitive value)", nil
	case !asJSON && len(o.Needs) > 0:
		return fmt.Sprintf("(needs facts of %s)", hostNames(o.Needs)), nil
	case len(o.Needs) > 0:
		g.ui.Warning(fmt.Sprintf("The output %q is null because it needs facts of %s, which this command does not reach.", name, hostNames(o.Needs)))
		return "null", nil
	}
	return outputText(o.Value)
}

// hostNames names a few hosts for a sentence.
func hostNames(names []string) string {
	const shown = 3
	if len(names) == 1 {
		return "host " + names[0]
	}
	if len(names) <= shown {
		return "hosts " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("hosts %s and %d others", strings.Join(names[:shown], ", "), len(names)-shown)
}

func printOutputs(g *global, outputs map[string]config.Output, asJSON bool) error {
	object := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		o := outputs[name]
		text, err := listedOutput(g, name, o, asJSON)
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		object[name] = json.RawMessage(text)
		if !asJSON {
			g.print("%s = %s\n", name, plain.Escape(text))
		}
	}
	if !asJSON {
		return nil
	}
	text, err := json.MarshalIndent(object, "", "  ")
	if err != nil {
		return err
	}
	g.print("%s\n", text)
	return nil
}
