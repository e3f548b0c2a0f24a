package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is the width of help in columns: that of a terminal which nobody has resized.
const helpWidth = 80

// commandGroup is a part of the list of commands, under a heading.
type commandGroup struct {
	title    string
	commands []*cobra.Command
}

// commandGroups are the commands of mirrorform in the order of its help.
func (g *global) commandGroups() []commandGroup {
	return []commandGroup{
		{"Plan and apply", []*cobra.Command{
			newPlanCommand(g), newApplyCommand(g), newDriftCommand(g), newShowCommand(g), newDestroyCommand(g),
		}},
		{"Look at hosts", []*cobra.Command{
			newDoctorCommand(g), newStatusCommand(g), newHostsCommand(g), newStateCommand(g), newAdoptCommand(g),
		}},
		{"Mirrors and AlmaLinux's list", []*cobra.Command{
			newSyncCommand(g), newVerifyCommand(g), newPublishCommand(g), newRetireCommand(g), newLintCommand(g),
		}},
		{"Configuration", []*cobra.Command{
			newInitCommand(g), newValidateCommand(g), newFmtCommand(g), newOutputCommand(g), newConsoleCommand(g),
			newGraphCommand(g),
		}},
		{"Other", []*cobra.Command{
			newReportCommand(g), newLabCommand(g), newCompletionCommand(g), newVersionCommand(g),
		}},
	}
}

// init keeps commands in the order in which they are added: the most important first.
func init() { cobra.EnableCommandSorting = false }

// sharedFlags are the flags that several commands have, by the headings of help, the most important
// first. The flags of one command alone come before them.
var sharedFlags = []struct {
	title string
	names []string
}{
	{"Hosts", []string{"limit", "target", "shard", "host", "parallelism", "lock-timeout"}},
	{"Pull request", []string{"repo", "fork", "upstream", "api-url", "ignore-closed"}},
	{"Checks", []string{
		"enable", "disable", "mirror-list", "reference", "service-config", "metadata", "resolve",
		"ca-file", "geoip-db", "timeout", "attempts", "connections",
	}},
	{"Connection", []string{"ask-become-pass", "accept-new-host-keys", "known-hosts", "ssh-config"}},
	{"Configuration", []string{"var", "var-file", "confine"}},
	{"Output", []string{"format", "json", "raw", "expand", "compact", "report", "events"}},
	{"Log", []string{"verbose", "log-level", "log-format", "log-file"}},
	{"Global", []string{"chdir", "color", "quiet", "help"}},
}

// FlagGroup is a part of a command's flags, under a heading.
type FlagGroup struct {
	Title string
	Flags *pflag.FlagSet
}

// FlagGroups returns the flags of a command, inherited ones too, in the order of its help. Hidden
// flags are not among them.
func FlagGroups(cmd *cobra.Command) []FlagGroup {
	cmd.InitDefaultHelpFlag() // merges the inherited flags; --help is one of them
	all := cmd.Flags()
	all.SortFlags = false // keep the order in which they were defined
	groups := []FlagGroup{newFlagGroup("Flags")}
	shared := map[string]bool{}
	for _, s := range sharedFlags {
		group := newFlagGroup(s.title)
		for _, name := range s.names {
			shared[name] = true
			if f := all.Lookup(name); f != nil && !f.Hidden {
				group.Flags.AddFlag(f)
			}
		}
		groups = append(groups, group)
	}
	all.VisitAll(func(f *pflag.Flag) {
		if !shared[f.Name] && !f.Hidden {
			groups[0].Flags.AddFlag(f)
		}
	})
	var filled []FlagGroup
	for _, group := range groups {
		if group.Flags.HasFlags() {
			filled = append(filled, group)
		}
	}
	return filled
}

func newFlagGroup(title string) FlagGroup {
	group := FlagGroup{title, pflag.NewFlagSet("", pflag.ContinueOnError)}
	group.Flags.SortFlags = false
	return group
}

// helpText is the help of a command, in lines of at most helpWidth columns. The texts of commands
// are wrapped where they are written.
func helpText(cmd *cobra.Command) string {
	var out strings.Builder
	out.WriteString(strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short+".")) + "\n")
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&out, "\n%s:\n%s\n", title, strings.TrimRight(text, "\n"))
		}
	}
	section("Usage", "  "+cmd.UseLine())
	for _, group := range cmd.Groups() {
		section(group.Title, commandList(cmd, group.ID))
	}
	section("Commands", commandList(cmd, ""))
	section("Examples", indented(cmd.Example))
	for _, group := range FlagGroups(cmd) {
		section(group.Title, fitted(group.Flags.FlagUsagesWrapped(helpWidth)))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&out, "\nFor the flags of a command: %s COMMAND --help\n", cmd.CommandPath())
	}
	return out.String()
}

// fitted moves a line that is too wide to the left: pflag does not break a word, such as the URL of
// a default.
func fitted(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if over := len(line) - helpWidth; over > 0 && strings.HasPrefix(line, strings.Repeat(" ", over)) {
			lines[i] = line[over:]
		}
	}
	return strings.Join(lines, "\n")
}

// commandList lists the commands of a group below cmd.
func commandList(cmd *cobra.Command, group string) string {
	width := 0
	for _, c := range cmd.Commands() {
		width = max(width, len(c.Name()))
	}
	var out strings.Builder
	for _, c := range cmd.Commands() {
		if c.GroupID == group && !c.Hidden {
			fmt.Fprintf(&out, "  %-*s  %s\n", width, c.Name(), c.Short)
		}
	}
	return out.String()
}

// indented puts two spaces before each line that has text.
func indented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n")
}

// plainUsages removes the backticks that mark the names of values, for completion, which would
// show them.
func plainUsages(cmd *cobra.Command) {
	for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) })
	}
	for _, sub := range cmd.Commands() {
		plainUsages(sub)
	}
}

// commandWithCommands makes a command that does nothing but hold others: alone, it prints its help.
func commandWithCommands(cmd *cobra.Command) *cobra.Command {
	cmd.Args = knownCommand
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

func newHelpCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Print the help of a command",
		Long:  "Print the help of a command, as its flag --help does.",
		Example: `mirrorform help plan
mirrorform help state list`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if found, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				for _, c := range found.Commands() {
					if c.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 && found.HasSubCommands() {
				return errUnknownCommand(found, rest[0])
			}
			g.print("%s", helpText(found))
			return nil
		},
	}
}
