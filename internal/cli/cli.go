// Package cli holds mirrorform's commands: what they take, what they print and how they exit.
//
// Exit status, for all commands: 0 done or nothing to do, 1 error, 2 there are differences (plan --detailed-exitcode, drift,
// publish --check, and retire while AlmaLinux lists a mirror still).
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/events"
	"github.com/mirrorform/mirrorform/internal/runlog"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitDone        = 0
	exitError       = 1
	exitDifferences = 2
)

// errReported is the error of a command that has told the user already what went wrong.
var errReported = errors.New("already reported")

// errDifferences makes a command exit with status 2.
var errDifferences = errors.New("there are differences")

// exitStatus is the error of a command that ends with the status of a program that it ran.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// app is what all commands share.
type app struct {
	in       *os.File
	out, err *os.File
	ui       *ui.UI

	chdir  string
	color  string
	vars   []config.VarSource
	limit  []string
	shard  shard
	target []string
	// replace are addresses of resources to be removed and made anew.
	replace []string
	// localNamed says that --limit names host local; selectHosts sets it.
	localNamed bool

	parallelism    int
	acceptHostKeys bool
	knownHosts     []string
	sshConfig      string
	passwords      passwords       // for sudo
	secrets        *engine.Secrets // of the configuration; nil: none was read
	lockTimeout    time.Duration

	eventsTo string
	events   *events.Stream // nil: none are wanted
	quiet    bool
	logging  logFlags
	log      *runlog.Log // nil: none is wanted
	logFile  *logFile    // nil: it goes to standard error

	reports   reportFiles
	collected *collection // nil without --report

	printFailed error
}

// Main runs the command line and returns the exit status.
func Main() int {
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
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	a.ui = ui.New(a.out, a.err, ui.Options{})
	return a.run(ctx, os.Args[1:])
}

// Command returns the tree of commands, for documentation.
func Command() *cobra.Command {
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	return a.rootCommand()
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return a.endLog(a.endEvents(a.status(err), err))
}

// status prints the error of a command, unless that was done, and returns the exit status.
func (a *app) status(err error) int {
	var status exitStatus
	switch {
	case errors.As(err, &status):
		return int(status)
	case err == nil:
		if err := cmp.Or(a.printFailed, a.ui.Err()); err != nil {
			a.ui.Error(fmt.Errorf("what was to be printed could not be written: %w", err))
			return exitError
		}
		return exitDone
	case errors.Is(err, errDifferences):
		return exitDifferences
	case errors.Is(err, errReported):
		return exitError
	default:
		a.ui.Error(err)
		return exitError
	}
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "mirrorform",
		Short: "Provision public AlmaLinux mirrors",
		Long: `mirrorform turns ordinary Linux servers into public AlmaLinux mirrors and keeps them that way.

All *.hcl files of a directory declare the mirrors. plan shows what differs on the hosts, apply brings it about over SSH.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.chdir, "chdir", ".", "`DIRECTORY` of the configuration")
	flags.StringVar(&a.color, "color", "auto", "`WHEN` to use colours: auto, always or never; auto honours NO_COLOR")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print results and problems only: neither progress nor remarks")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.MarkPersistentFlagDirname("chdir")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		switch a.color {
		case "auto", "always", "never":
		default:
			return fmt.Errorf("--color is %q: it takes auto, always or never", a.color)
		}
		a.ui = ui.New(a.out, a.err, a.uiOptions())
		if err := a.startLog(cmd); err != nil {
			return err
		}
		return a.startEvents(cmd)
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(
		a.initCommand(), a.validateCommand(), a.fmtCommand(), a.planCommand(), a.showCommand(), a.driftCommand(), a.applyCommand(), a.destroyCommand(),
		a.hostsCommand(), a.stateCommand(), a.outputCommand(), a.verifyCommand(), a.versionCommand(), a.labCommand(), a.lintCommand(), a.publishCommand(), a.adoptCommand(),
		a.graphCommand(), a.consoleCommand(), a.reportCommand(), a.retireCommand(), a.syncCommand(), a.statusCommand(),
	)
	return root
}

// uiOptions are what the flags say about printing.
func (a *app) uiOptions() ui.Options {
	return ui.Options{Color: a.color, Quiet: a.quiet, Verbose: a.logging.verbose > 0}
}

// print writes to standard output. An error there, as of a full disk, makes the exit status 1.
func (a *app) print(format string, args ...any) {
	if _, err := fmt.Fprintf(a.out, format, args...); err != nil && a.printFailed == nil {
		a.printFailed = err
	}
}

// note writes to standard error.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.err, format, args...)
}
