package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirror"
)

// TestWithoutRoot: changes that need root are reported where the login is not root, and an apply of
// the host is refused.
func TestWithoutRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := `host "bare" {
  address = "bare.example.org"
  user    = "ops"
}

host "sudo" {
  address = "sudo.example.org"
  become  = "sudo"
}
`
	if err := os.WriteFile(filepath.Join(dir, "fleet.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, diags := config.Load(config.Options{Dir: dir, Registry: mirror.Types()})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	file := engine.Change{Type: "file", Address: "bare/file.motd"}
	group := engine.Change{Type: "group", Address: "bare/group.mirror"}
	for name, test := range map[string]struct {
		host    string
		facts   *wire.Facts
		changes []engine.Change
		want    string // "" is nothing
	}{
		"one":         {"bare", &wire.Facts{UID: 1000}, []engine.Change{file, group}, "the change of bare/group.mirror needs root"},
		"two":         {"bare", &wire.Facts{UID: 1000}, []engine.Change{group, group}, "2 changes need root, such as that of bare/group.mirror"},
		"files":       {"bare", &wire.Facts{UID: 1000}, []engine.Change{file}, ""},
		"root":        {"bare", &wire.Facts{}, []engine.Change{group}, ""},
		"become":      {"sudo", &wire.Facts{UID: 1000}, []engine.Change{group}, ""},
		"not reached": {"bare", nil, []engine.Change{group}, ""},
		"unknown":     {"other", &wire.Facts{UID: 1000}, []engine.Change{group}, ""},
	} {
		for command, severity := range map[string]hcl.DiagnosticSeverity{"": hcl.DiagWarning, "apply": hcl.DiagError} {
			r := &Run{Scope: &Scope{Config: c, byName: hostsByName(c.Hosts())}, Options: Options{Command: command}}
			p := &engine.HostPlan{Host: test.host, Facts: test.facts, Changes: test.changes}
			got := r.withoutRoot(p)
			if test.want == "" {
				if got != nil || len(p.Problems) > 0 {
					t.Errorf("%s: %v", name, got)
				}
				continue
			}
			if len(got) != 1 || got[0].Severity != severity || got[0].Subject.Start.Line != 1 {
				t.Fatalf("%s: %v", name, got)
			}
			for _, want := range []string{"User ops is not root on host bare", test.want, "fleet.hcl:1)", `set become = "sudo"`} {
				if !strings.Contains(got[0].Detail, want) {
					t.Errorf("%s: %q has no %q", name, got[0].Detail, want)
				}
			}
			if p.Failed() != (command != "") {
				t.Errorf("%s: %q: the host's plan failed: %t", name, command, p.Failed())
			}
		}
	}
}
