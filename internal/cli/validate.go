package cli

import (
	"strings"

	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

func newValidateCommand(g *global) *cobra.Command {
	var o configFlags
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration without reaching a host",
		Long: `Check all of the configuration that can be checked without reaching a host. What depends on a host's facts, or on a variable that nothing sets, is unknown, and
plan checks it.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runValidate(g, o) },
	}
	o.add(cmd.Flags())
	return cmd
}

func runValidate(g *global, o configFlags) error {
	sources := o.sources(g)
	sources.AllowMissing = true
	c, err := run.Load(sources, &observer{UI: g.ui})
	if err != nil {
		return err
	}
	g.print("The configuration is valid.\n")
	if missing := c.WithoutValue(); len(missing) > 0 {
		g.print("What depends on variables without a value was not checked: %s.\n", strings.Join(missing, ", "))
	}
	return nil
}
