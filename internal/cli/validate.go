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
		Short: "Check the configuration without connecting to a host",
		Long: `Check everything in the configuration that can be checked without connecting to
a host. What depends on a host's facts, or on a variable without a value, is not
known yet; plan checks it.`,
		Example: `mirrorform validate
mirrorform validate --chdir fleet --var-file production.hclvars`,
		Args: noArguments,
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
		g.print("Not checked, since these variables have no value: %s.\n", strings.Join(missing, ", "))
	}
	return nil
}
