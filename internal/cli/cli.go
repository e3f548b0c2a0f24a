// Package cli holds mirrorform's commands: what they take, what they print and how they exit.
//
// Exit status, for all commands: 0 done or nothing to do, 1 error, 2 there are differences (plan --detailed-exitcode, drift,
// publish --check, and retire while AlmaLinux lists a mirror still).
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/resources"
	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitDone        = 0
	exitError       = 1
	exitDifferences = 2
)

// errReported is the error of a command that has told the user already what went wrong.
var errReported = run.ErrReported

// errDifferences makes a command exit with status 2.
var errDifferences = errors.New("there are differences")

// exitStatus is the error of a command that ends with the status of a program that it ran.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// global is what all commands share: the streams, and the flags that every command has.
type global struct {
	in       *os.File
	out, err *os.File
	ui       *ui.UI
	types    *engine.Registry // of resources

	chdir string
	color string
	quiet bool

	printFailed error
	// atEnd are called when the command has ended, the last one first, with the exit status and its error; they return the status then.
	atEnd []func(status int, err error) int
}

// Main runs the command line and returns the exit status. There are the resource types that mirrorform
// has, and those that add.
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
	g := &global{in: os.Stdin, out: os.Stdout, err: os.Stderr, types: resources.All()}
	for _, register := range add {
		register(g.types)
	}
	g.ui = ui.New(g.out, g.err, ui.Options{})
	return g.run(ctx, os.Args[1:])
}

// Command returns the tree of commands, for documentation.
func Command() *cobra.Command {
	g := &global{in: os.Stdin, out: os.Stdout, err: os.Stderr, types: resources.All()}
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

// status prints the error of a command, unless that was done, and returns the exit status.
func (g *global) status(err error) int {
	var status exitStatus
	switch {
	case errors.As(err, &status):
		return int(status)
	case err == nil:
		if err := cmp.Or(g.printFailed, g.ui.Err()); err != nil {
			g.ui.Error(fmt.Errorf("what was to be printed could not be written: %w", err))
			return exitError
		}
		return exitDone
	case errors.Is(err, errDifferences):
		return exitDifferences
	case errors.Is(err, errReported):
		return exitError
	default:
		g.ui.Error(err)
		return exitError
	}
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

// print writes to standard output. An error there, as of a full disk, makes the exit status 1.
func (g *global) print(format string, args ...any) {
	if _, err := fmt.Fprintf(g.out, format, args...); err != nil && g.printFailed == nil {
		g.printFailed = err
	}
}

// note writes to standard error.
func (g *global) note(format string, args ...any) {
	_, _ = fmt.Fprintf(g.err, format, args...)
}

// printJSON prints a document.
func (g *global) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	g.print("%s\n", text)
	return nil
}
