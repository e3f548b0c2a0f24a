package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/spf13/cobra"
)

// withoutJSON are the commands without --json, and why.
var withoutJSON = map[string]string{
	"adopt":                 "it writes a configuration",
	"apply":                 "it asks, and shows what it does: --report json=- has its result",
	"console":               "it answers in the language",
	"destroy":               "as apply",
	"fmt":                   "it writes configuration files",
	"graph":                 "it prints a drawing, in two formats",
	"help":                  "it prints text",
	"init":                  "it writes a configuration",
	"lab up":                "it writes host blocks, and lab list has its hosts",
	"lab down":              "it prints no result",
	"lab ssh":               "it is a shell on a host",
	"publish":               "it asks, and its result is a pull request; --check has an exit status",
	"report":                "it renders results: --format json",
	"report merge":          "it writes JSON",
	"retire":                "as publish",
	"state forget":          "it prints no result",
	"state rebuild":         "it prints no result",
	"validate":              "its exit status is the result",
	"completion bash":       "it prints a script",
	"completion fish":       "it prints a script",
	"completion zsh":        "it prints a script",
	"completion powershell": "it prints a script",
}

// TestJSONFlag: every command that prints results has --json, with the same meaning.
func TestJSONFlag(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		name := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "mirrorform"), " ")
		flag := cmd.Flags().Lookup("json")
		why := withoutJSON[name]
		found[name] = true
		switch {
		case flag == nil && why == "" && !cmd.HasSubCommands():
			t.Error("it has no --json, and no reason why")
		case flag != nil && why != "":
			t.Errorf("it has --json, but: %s", why)
		case flag != nil && (flag.Value.Type() != "bool" || !strings.HasPrefix(flag.Usage, "print ") || !strings.Contains(flag.Usage, "as JSON")):
			t.Errorf("its --json is another one: %s", flag.Usage)
		}
	})
	for name := range withoutJSON {
		if !found[name] {
			t.Errorf("command %s not found", name)
		}
	}
}

func TestLabsJSON(t *testing.T) {
	t.Parallel()
	for want, labs := range map[string][]lab.Info{
		`{"format_version":"1.0","labs":[]}`: nil,
		`{"format_version":"1.0","labs":[{"name":"a","hosts":[],"upstream":"rsync://10.0.0.1/"},{"name":"b","hosts":[` +
			`{"name":"fra1","address":"10.0.0.2","os":"debian","running":true}]}]}`: {
			{Name: "a", Upstream: "rsync://10.0.0.1/"}, {Name: "b", Hosts: []lab.HostInfo{{Name: "fra1", Address: "10.0.0.2", OS: "debian", Running: true}}},
		},
	} {
		if got, err := json.Marshal(labsJSON(labs)); err != nil || string(got) != want {
			t.Errorf("%s, want %s: %v", got, want, err)
		}
	}
}
