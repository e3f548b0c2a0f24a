package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// consoleOptions are the options of console.
type consoleOptions struct {
	configFlags
	reachFlags
	observerFlags
	host string
}

func newConsoleCommand(g *global) *cobra.Command {
	var o consoleOptions
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Evaluate expressions of the configuration",
		Long: `Read expressions of the configuration language from standard input, and print
their values as HCL. With --host, target is that host, with its facts. Without
it you can use variables, locals, declared hosts, and functions. console changes
nothing.

An expression can span several lines while a bracket is open. On a terminal you
can edit lines, the arrow keys recall earlier ones and the tab key completes
names; exit, Ctrl-D or Ctrl-C ends. Sensitive values are hidden:
nonsensitive(...) shows one. type(...) prints the type of an expression.

Exit status: 0, or 1 if the input is not a terminal and an expression failed.
The expressions after it are still evaluated.`,
		Example: `mirrorform console
echo 'target.facts.os' | mirrorform console --host fra1`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runConsole(cmd.Context(), g, w, o) })
		},
	}
	o.configFlags.add(cmd.Flags())
	cmd.Flags().StringVar(&o.host, "host", "", "evaluate for `HOST`, with its facts")
	o.reachFlags.add(cmd.Flags())
	o.log.add(cmd.Flags())
	_ = cmd.RegisterFlagCompletionFunc("host", completer{g, &o.configFlags}.hosts)
	return cmd
}

func runConsole(ctx context.Context, g *global, w *observer, o consoleOptions) error {
	c, facts, err := consoleFacts(ctx, g, w, o)
	if err != nil {
		return err
	}
	console, diags := c.Console(o.host, facts)
	g.ui.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return errReported
	}
	lines := ui.NewLines(g.ui, console.Names)
	if lines.Interactive() {
		where := "No target: --host NAME selects one."
		if o.host != "" {
			where = fmt.Sprintf("The target is host %s.", o.host)
		}
		g.ui.Note(where + " To end: exit, or Ctrl-D.")
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
		g.ui.Diagnostics(diags, c.Files())
		switch {
		case diags.HasErrors():
			failed = true
		case answer != nil && answer.Type != "":
			g.ui.Print(answer.Type)
		case answer != nil:
			g.ui.Print(ui.HCL(answer.Value))
		}
	}
	if failed && !lines.Interactive() {
		return errReported
	}
	return nil
}

// readExpression reads lines up to the end of an expression. The word exit alone ends the input.
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
			break // evaluating the text reports what is missing
		}
		if err != nil {
			return "", err
		}
		text += line + "\n"
	}
	return text, nil
}

// consoleFacts loads the configuration and gets the facts of the host, if one is named.
func consoleFacts(
	ctx context.Context, g *global, w *observer, o consoleOptions,
) (*config.Config, map[string]*wire.Facts, error) {
	if o.host == "" {
		c, err := run.Load(o.sources(g), w)
		return c, nil, err
	}
	r, err := run.New(run.Options{Sources: o.sources(g), Access: o.access(w)}, w)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	if !r.Declares(o.host) {
		return r.Config, nil, nil // the console reports the unknown host
	}
	facts, err := r.Facts(ctx, []engine.Host{{Name: o.host}})
	return r.Config, facts, err
}
