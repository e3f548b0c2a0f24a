// Package cli holds mirrorform's commands: what they take, what they print and how they exit.
//
// Exit status, for all commands: 0 done or nothing to do, 1 error, 2 there are differences (plan --detailed-exitcode, drift,
// publish --check, and retire while AlmaLinux lists a mirror still).
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// Main runs the command line and returns the exit status. There are the resource types that
// mirrorform has, and those that add.
func Main(add ...func(*engine.Registry)) int {
	// The first signal ends things in order; the default is back before anybody hears of it, so that a second one ends the program at once.
	ctx, end := context.WithCancel(context.Background())
	defer end()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		end()
	}()
	g := &global{in: os.Stdin, out: os.Stdout, err: os.Stderr, types: mirror.Types()}
	for _, register := range add {
		register(g.types)
	}
	g.ui = ui.New(g.out, g.err, ui.Options{})
	return g.run(ctx, os.Args[1:])
}

// Command returns the tree of commands, for documentation.
func Command() *cobra.Command {
	g := &global{in: os.Stdin, out: os.Stdout, err: os.Stderr, types: mirror.Types()}
	return g.rootCommand()
}

func (g *global) run(ctx context.Context, args []string) int {
	root := g.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	status := g.status(err)
	for _, end := range slices.Backward(g.atEnd) {
		status = end(status, err)
	}
	return status
}

func (g *global) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "mirrorform",
		Short: "Provision public AlmaLinux mirrors",
		Long: `mirrorform turns ordinary Linux servers into public AlmaLinux mirrors and keeps them that way.

All *.hcl files of a directory declare the mirrors. plan shows what differs on the hosts, apply brings it about over SSH.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&g.chdir, "chdir", ".", "`DIRECTORY` of the configuration")
	flags.StringVar(&g.color, "color", "auto", "`WHEN` to use colours: auto, always or never; auto honours NO_COLOR")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "print results and problems only: neither progress nor remarks")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.MarkPersistentFlagDirname("chdir")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		switch g.color {
		case "auto", "always", "never":
		default:
			return fmt.Errorf("--color is %q: it takes auto, always or never", g.color)
		}
		verbose, _ := cmd.Flags().GetCount("verbose") // which some commands do not have
		g.ui = ui.New(g.out, g.err, ui.Options{Color: g.color, Quiet: g.quiet, Verbose: verbose > 0})
		return nil
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(
		newInitCommand(g), newValidateCommand(g), newFmtCommand(g), newPlanCommand(g), newShowCommand(g), newDriftCommand(g), newApplyCommand(g), newDestroyCommand(g),
		newHostsCommand(g), newStateCommand(g), newOutputCommand(g), newVerifyCommand(g), newVersionCommand(g), newLabCommand(g), newLintCommand(g), newPublishCommand(g),
		newAdoptCommand(g), newGraphCommand(g), newConsoleCommand(g), newReportCommand(g), newRetireCommand(g), newSyncCommand(g), newStatusCommand(g),
	)
	return root
}
