package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// eachCommand runs a test for every command that help lists, and for mirrorform itself.
func eachCommand(t *testing.T, test func(*testing.T, *cobra.Command)) {
	t.Helper()
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "_"), func(t *testing.T) { test(t, cmd) })
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(Command())
}

// TestHelp checks the form of every help text.
func TestHelp(t *testing.T) {
	t.Parallel()
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		text := helpText(cmd)
		for _, line := range strings.Split(text, "\n") {
			if n := utf8.RuneCountInString(line); n > helpWidth || strings.TrimRight(line, " ") != line || strings.Contains(line, "\t") {
				t.Errorf("%d columns, spaces at the end or a tab: %q", n, line)
			}
		}
		if cmd.Example == "" {
			t.Error("no example")
		}
		if !strings.Contains(text, "\nUsage:\n  "+cmd.CommandPath()) || !strings.Contains(text, "\nGlobal:\n") {
			t.Errorf("no usage or global flags in:\n%s", text)
		}
		if !cmd.HasParent() || cmd.Parent().HasParent() {
			return
		}
		if cmd.GroupID == "" {
			t.Error("it is in no group")
		}
	})
}

// TestFlagGroups checks that help lists each flag once, and with a name for its value.
func TestFlagGroups(t *testing.T) {
	t.Parallel()
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		listed := map[string]int{}
		for _, group := range FlagGroups(cmd) {
			group.Flags.VisitAll(func(f *pflag.Flag) {
				listed[f.Name]++
				if value, _ := pflag.UnquoteUsage(f); value != strings.ToUpper(value) {
					t.Errorf("the usage of --%s names no value: %s", f.Name, f.Usage)
				}
			})
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			want := 1
			if f.Hidden {
				want = 0
			}
			if listed[f.Name] != want {
				t.Errorf("--%s is listed %d times", f.Name, listed[f.Name])
			}
		})
	})
}

// TestExamples parses the examples as a shell does, and the command lines in them as mirrorform
// does.
func TestExamples(t *testing.T) {
	t.Parallel()
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		script, err := syntax.NewParser().Parse(strings.NewReader(cmd.Example), "")
		if err != nil {
			t.Fatal(err)
		}
		own := false
		syntax.Walk(script, func(node syntax.Node) bool {
			call, ok := node.(*syntax.CallExpr)
			if !ok || len(call.Args) == 0 || call.Args[0].Lit() != "mirrorform" {
				return true
			}
			var words []string
			for _, word := range call.Args[1:] {
				text, err := expand.Literal(&expand.Config{Env: expand.ListEnviron("GITHUB_STEP_SUMMARY=summary.md", "HOME=/root")}, word)
				if err != nil {
					t.Fatal(err)
				}
				words = append(words, text)
			}
			found, err := parseLine(words)
			if err != nil {
				t.Errorf("%q: %v", words, err)
			}
			own = own || found == cmd.CommandPath() || cmd.HasSubCommands()
			return true
		})
		if !own {
			t.Errorf("no example runs the command:\n%s", cmd.Example)
		}
	})
}

// parseLine finds the command of a command line, and checks its flags and arguments.
func parseLine(args []string) (path string, err error) {
	cmd, rest, err := Command().Find(args)
	if err != nil {
		return "", err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return "", err
	}
	return cmd.CommandPath(), cmd.ValidateArgs(cmd.Flags().Args())
}

// TestUsageErrors checks what is reported for a wrong command line. All of them exit with 1.
func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"plam":                 "unknown command \"plam\"\n  Did you mean: mirrorform plan\n  To list the commands: mirrorform --help\n",
		"plam --json":          "unknown command \"plam\"\n  Did you mean: mirrorform plan\n  To list the commands: mirrorform --help\n",
		"qqqqqq":               "unknown command \"qqqqqq\"\n  To list the commands: mirrorform --help\n",
		"forget fra1":          "unknown command \"forget\"\n  Did you mean: mirrorform state forget\n  To list the commands: mirrorform --help\n",
		"state foo":            "unknown command \"state foo\"\n  To list the commands: mirrorform state --help\n",
		"state lst --json":     "unknown command \"state lst\"\n  Did you mean: mirrorform state list\n  To list the commands: mirrorform state --help\n",
		"lab bogus":            "unknown command \"lab bogus\"\n  To list the commands: mirrorform lab --help\n",
		"completion nushell":   "unknown command \"completion nushell\"\n  To list the commands: mirrorform completion --help\n",
		"help state foo":       "unknown command \"state foo\"\n  To list the commands: mirrorform state --help\n",
		"plan --limt x":        "unknown flag --limt\n  Did you mean: --limit\n  To list the flags: mirrorform plan --help\n",
		"plan -limit x":        "unknown flag -limit\n  Did you mean: --limit\n  To list the flags: mirrorform plan --help\n",
		"plan -x":              "unknown flag -x\n  To list the flags: mirrorform plan --help\n",
		"plan --limit":         "--limit needs a value: --limit HOSTS\n  To list the flags: mirrorform plan --help\n",
		"plan --parallelism x": "invalid value \"x\" for --parallelism: it takes a whole number, such as 8\n",
		"plan --parallelism 99999999999999999999": "the number is out of range\n",
		"plan --json=maybe":                       "invalid value \"maybe\" for --json: it takes true or false\n",
		"apply --lock-timeout 30":                 "invalid value \"30\" for --lock-timeout: it takes a duration with its unit, such as 30s, 5m or 6h\n",
		"plan --shard 3":                          "invalid value \"3\" for --shard: it takes PART/PARTS, such as 3/10;",
		"plan --report json":                      "invalid value \"json\" for --report: it takes FORMAT=FILE, such as json=result.json;",
		"plan --ask-become-pass=some":             "invalid value \"some\" for --ask-become-pass: it takes once or each\n",
		"lint --disable \"a .":                    "invalid value \"\\\"a\" for --disable: it takes names with commas between them\n",
		"plan ---":                                "\"---\" is not a flag\n",
		"retire":                                  "mirrorform retire needs at least one argument: HOST\n  For its usage: mirrorform retire --help\n",
		"show":                                    "mirrorform show needs an argument: FILE\n  For its usage: mirrorform show --help\n",
		"show a b":                                "mirrorform show takes one FILE, but 2 arguments were given\n",
		"apply a b":                               "mirrorform apply takes one FILE at most, but 2 arguments were given\n",
		"version x":                               "mirrorform version takes no arguments, but \"x\" was given\n",
		"version --color blue":                    "invalid value \"blue\" for --color: it takes auto, always or never\n",
		"output --raw --json x":                   "--json and --raw cannot be used together\n",
	} {
		status, stdout, stderr := runApp(t, strings.Fields(line)...)
		if status != exitError || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %q, %q; want %q", line, status, stdout, stderr, want)
		}
	}
}
