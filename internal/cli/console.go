package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

func (a *app) consoleCommand() *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Evaluate expressions, with a host's facts if one is named",
		Long: `Read expressions of the configuration language from standard input, and print the value of each as HCL. With --host the host is asked for its facts, and target is that
host; without it there are variables, locals, hosts as they are declared, and functions. Nothing is changed anywhere.

An expression may take several lines while a bracket is open. On a terminal lines can be edited, the arrow keys bring back earlier ones and the tabulator key
completes names; exit, Ctrl-D or Ctrl-C ends. Sensitive values are not shown: nonsensitive(…) shows one. type(…) around an expression prints the type of its value.

Exit status: 0, or 1 when the input is not a terminal and an expression failed. The expressions after it are evaluated all the same.

    echo 'target.facts.os' | mirrorform console --host fra1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.console(cmd.Context(), host)
		},
	}
	a.addVarFlags(cmd.Flags())
	cmd.Flags().StringVar(&host, "host", "", "the `HOST` to evaluate for")
	a.addReachFlags(cmd.Flags())
	_ = cmd.RegisterFlagCompletionFunc("host", a.completeHosts)
	return cmd
}

func (a *app) console(ctx context.Context, host string) error {
	c, facts, err := a.factsOf(ctx, host)
	if err != nil {
		return err
	}
	console, diags := c.Console(host, facts)
	a.ui.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return errReported
	}
	lines := a.ui.Lines(console.Names)
	if lines.Interactive() {
		where := "There is no target: --host NAME chooses one."
		if host != "" {
			where = fmt.Sprintf("The target is host %s.", host)
		}
		a.ui.Note(where + " exit or Ctrl-D ends.")
	}
	failed := false
	for {
		text, err := readExpression(ctx, lines)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		answer, diags := console.Eval([]byte(text))
		a.ui.Diagnostics(diags, c.Files())
		switch {
		case diags.HasErrors():
			failed = true
		case answer != nil && answer.Type != "":
			a.ui.Print(answer.Type)
		case answer != nil:
			a.ui.Print(ui.HCL(answer.Value))
		}
	}
	if failed && !lines.Interactive() {
		return errReported
	}
	return nil
}

// readExpression reads lines up to the end of an expression. The word exit, alone, is the end of the input.
func readExpression(ctx context.Context, lines *ui.Lines) (string, error) {
	line, err := lines.Read(ctx, "> ")
	if err != nil {
		return "", err
	}
	if line == "exit" {
		return "", io.EOF
	}
	text := line + "\n"
	for config.Open([]byte(text)) {
		line, err := lines.Read(ctx, "… ")
		if errors.Is(err, io.EOF) {
			break // what is missing is told
		}
		if err != nil {
			return "", err
		}
		text += line + "\n"
	}
	return text, nil
}

// factsOf loads the configuration and asks a host for its facts; no host is asked when host is empty.
func (a *app) factsOf(ctx context.Context, host string) (*config.Config, map[string]*wire.Facts, error) {
	if host == "" {
		c, err := a.mustLoad()
		return c, nil, err
	}
	r, err := a.newRun("")
	if err != nil {
		return nil, nil, err
	}
	defer r.close()
	if !r.declares(host) {
		return r.config, nil, nil // the console says that there is no such host
	}
	r.hosts = []engine.Host{{Name: host}}
	facts, err := r.facts(ctx, r.hosts)
	return r.config, facts, err
}
