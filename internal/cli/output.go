package cli

import (
	"encoding/json"
	"errors"
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
		Long: `Print all outputs of the configuration, or the one called NAME. A sensitive
output is printed only if you name it, or with --json.`,
		Example: `mirrorform output
mirrorform output --json

# One value, without quotes, for a script
mirrorform output --raw mirror_url`,
		Args: optionalArgument("NAME"),
		RunE: func(_ *cobra.Command, args []string) error { return runOutput(g, o, args) },
	}
	o.add(cmd.Flags())
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print as JSON")
	cmd.Flags().BoolVar(&o.raw, "raw", false, "print one string, number or bool, without quotes and newline")
	return cmd
}

func runOutput(g *global, o outputOptions, args []string) error {
	switch {
	case o.raw && o.asJSON:
		return errors.New("--json and --raw cannot be used together")
	case o.raw && len(args) == 0:
		return errors.New("--raw prints one output; to name it: mirrorform output --raw NAME")
	}
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
			return fmt.Errorf("output %q not found in the configuration; to list the outputs: mirrorform output", args[0])
		}
		if len(output.Needs) > 0 {
			return fmt.Errorf("output %q is not known: it needs facts of %s, and this command connects to no host. "+
				"To evaluate an expression with a host's facts: mirrorform console --host HOST", args[0], hostNames(output.Needs))
		}
		return printOutput(g, output, o.asJSON, o.raw)
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
	return "", fmt.Errorf("--raw prints a string, number or bool, and this output is of type %s: use --json",
		value.Type().FriendlyName())
}

func outputText(value cty.Value) (string, error) {
	text, err := ctyjson.Marshal(value, value.Type())
	return string(text), err
}

// listedOutput is the text of one output in the list of all. An output that needs facts has no
// value: in JSON it is null, with a warning.
func listedOutput(g *global, name string, o config.Output, asJSON bool) (string, error) {
	switch {
	case !asJSON && o.Sensitive:
		return "(sensitive value)", nil
	case !asJSON && len(o.Needs) > 0:
		return fmt.Sprintf("(needs facts of %s)", hostNames(o.Needs)), nil
	case len(o.Needs) > 0:
		g.ui.Warning(fmt.Sprintf("Output %q is null: it needs facts of %s, and this command connects to no host.",
			name, hostNames(o.Needs)))
		return "null", nil
	}
	return outputText(o.Value)
}

// hostNames names hosts in a sentence: the first three, and how many others.
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
