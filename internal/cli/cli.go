// Package cli holds mirrorform's commands: what they take, what they print and how they exit.
//
// Exit status, for all commands: 0 done or nothing to do, 1 error, 2 there are differences
// (plan --detailed-exitcode, drift, publish --check, and retire while AlmaLinux still lists a
// mirror; with apply --detailed-exitcode FILE, between a saved plan and the hosts).
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// Main runs the command line and returns the exit status. Each of add registers resource types
// besides mirrorform's own.
func Main(add ...func(*engine.Registry)) int { return MainOn(time.Now, add...) }

// MainOn is Main with another clock for what depends on the day: notes about built-in facts.
func MainOn(today func() time.Time, add ...func(*engine.Registry)) int {
	if status, asked := run.Askpass(os.Args[1:], os.Stdout); asked {
		return status
	}
	collectLater()
	// The first signal ends things in order. The default action is restored before the context ends,
	// so that a second signal ends the program at once.
	ctx, end := context.WithCancel(context.Background())
	defer end()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		end()
	}()
	g := &global{in: os.Stdin, out: os.Stdout, err: os.Stderr, types: mirror.Types(), today: today}
	for _, register := range add {
		register(g.types)
	}
	g.ui = ui.New(g.out, g.err, ui.Options{})
	return g.run(ctx, os.Args[1:])
}

// firstHeap is how much is allocated before the first garbage collection, in MB. Most runs end
// before that, and a collection for each doubling of a small heap costs a fifth of their time.
const firstHeap = 32

// collectLater delays the first garbage collection. All others come as usual, so a large fleet
// needs no more memory. It changes nothing if GOGC is set.
func collectLater() {
	if os.Getenv("GOGC") != "" {
		return
	}
	usual := debug.SetGCPercent(firstHeap / 4 * 100) // the first one comes at 4 MB x GOGC/100
	runtime.AddCleanup(new([64]byte), func(int) { debug.SetGCPercent(usual) }, 0)
}

// Command returns the tree of commands, for documentation.
func Command() *cobra.Command {
	g := &global{in: os.Stdin, out: os.Stdout, err: os.Stderr, types: mirror.Types()}
	return g.rootCommand()
}

func (g *global) run(ctx context.Context, args []string) int {
	if len(args) > 0 && args[0] == bashRequest {
		return g.completeBash(ctx, args[1:])
	}
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
	var version bool
	root := commandWithCommands(&cobra.Command{
		Use:   "mirrorform COMMAND",
		Short: "Provision public AlmaLinux mirrors",
		Long: `mirrorform turns ordinary Linux servers into public AlmaLinux mirrors and keeps
them that way.

The *.hcl files of a directory declare the mirrors. plan shows what differs on
the hosts, and apply changes it over SSH.`,
		Example: `# Write a commented configuration, and check it
mirrorform init
mirrorform validate

# Show what would change on the hosts, then change it
mirrorform plan
mirrorform apply`,
		SilenceErrors: true,
		SilenceUsage:  true,
	})
	printHelp := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if version {
			return runVersion(g, false)
		}
		return printHelp(cmd, args)
	}
	root.Flags().BoolVar(&version, "version", false, "print the version")
	g.addGlobalFlags(root)
	root.SetOut(g.out)
	root.SetErr(g.err)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { g.print("%s", helpText(cmd)) })
	root.SetFlagErrorFunc(errFlag)
	root.CompletionOptions.DisableDefaultCmd = true // see newCompletionCommand
	for _, group := range g.commandGroups() {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, cmd := range group.commands {
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	help := newHelpCommand(g)
	help.GroupID = root.Commands()[len(root.Commands())-1].GroupID
	root.SetHelpCommand(help)
	root.InitDefaultHelpCmd() // adds it
	return root
}

// addGlobalFlags adds the flags that every command takes.
func (g *global) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&g.chdir, "chdir", ".", "read the configuration in `DIRECTORY`")
	flags.StringVar(&g.color, "color", "auto", "use colours: `WHEN` is auto, always or never; auto follows NO_COLOR")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "print results and problems only, without progress and notes")
	flags.BoolP("help", "h", false, "print the help of a command")
	_ = root.RegisterFlagCompletionFunc("color",
		cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.MarkPersistentFlagDirname("chdir")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		switch g.color {
		case "auto", "always", "never":
		default:
			return fmt.Errorf("invalid value %q for --color: it takes auto, always or never", g.color)
		}
		if cmd.Name() == cobra.ShellCompRequestCmd {
			plainUsages(root)
		}
		verbose, _ := cmd.Flags().GetCount("verbose") // an error means that the command has no such flag
		g.ui = ui.New(g.out, g.err, ui.Options{Color: g.color, Quiet: g.quiet, Verbose: verbose > 0})
		return nil
	}
}
