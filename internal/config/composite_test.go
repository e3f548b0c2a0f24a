package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

// pair is a composite type that this package has never heard of.
type pair struct {
	Path string `hcl:"path"`
	Note string `hcl:"note,optional"`
}

type pairType struct{}

func (pairType) Expand(_ *engine.Registry, label string, p *pair, site engine.Site) ([]engine.Part, []engine.Problem) {
	if !filepath.IsAbs(p.Path) {
		return nil, []engine.Problem{engine.Errorf("path", "%q is not absolute", p.Path)}
	}
	parts := []engine.Part{
		{Name: "directory", Type: "directory", State: &resources.Directory{Path: p.Path}},
		{Name: "file", Type: "file", State: &resources.File{Path: p.Path + "/" + label}, DependsOn: []string{"directory"}},
	}
	if p.Note != "" {
		parts = append(parts, engine.Part{Name: "note", Local: true, Type: "file", State: &resources.File{Path: site.Dir + "/" + p.Note}})
	}
	return parts, nil
}

func (pairType) OnLocal(p *pair) bool { return p.Note != "" }

func loadPairs(t *testing.T, text string) (*Config, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fleet.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := resources.All()
	engine.RegisterComposite[pair](r, "pair", pairType{})
	c, diags := Load(Options{Dir: dir, Registry: r})
	return c, diagnosticsText(diags, dir)
}

// A type of blocks needs nothing but its registration: its blocks are read, checked, expanded,
// named and moved as those of mirror are.
func TestCompositeOfAnotherType(t *testing.T) {
	t.Parallel()
	const hosts = "host \"h\" {\n  address = \"192.0.2.1\"\n}\n"
	c, diags := loadPairs(t, hosts+`
pair "p" {
  hosts = [host.h]
  path  = "/srv/${target.facts.hostname}"
  note  = "note"
}
resource "file" "f" {
  hosts      = [host.h]
  path       = "/f"
  depends_on = [pair.p]
}
moved {
  from = pair.old
  to   = pair.p
}
`)
	if diags != "" {
		t.Fatal(diags)
	}
	facts := map[string]*wire.Facts{"h": {Hostname: "x"}}
	for host, want := range map[string][]string{
		"h":     {"h/pair.p.directory", "h/pair.p.file", "h/file.f"},
		"local": {`local/pair.p.note["h"]`},
	} {
		list, errs := c.Resources(host, facts)
		if got := addresses(list); errs.HasErrors() || !slices.Equal(got, want) {
			t.Errorf("%s has %q, %v; want %q", host, got, errs, want)
		}
		if host == "h" && !slices.Equal(texts(list[2].DependsOn), want[:2]) {
			t.Errorf("file.f depends on %q", list[2].DependsOn)
		}
	}
	if moves := c.Moves(); len(moves) != 1 || moves[0] != (engine.Move{From: "pair.old", To: "pair.p"}) {
		t.Errorf("moves: %v", moves)
	}
	for text, want := range map[string]string{
		"pair \"p\" {\n  hosts = [host.h]\n  path = \"srv\"\n}\n":             `fleet.hcl:6`,
		"pair \"p\" {\n  hosts = [host.h]\n}\n":                               `In a pair, the argument "path" is required.`,
		"pair \"p\" {\n  hosts = [host.h]\n  path = sensitive(\"/srv\")\n}\n": "plans print everything that a pair expands to",
		"pair {\n}\n":                           "one label, its name",
		"pairs \"p\" {\n}\n":                    `Did you mean "pair"?`,
		"mirror \"m\" {\n}\n":                   `There is no block named "mirror".`,
		"output \"o\" {\n  value = pair.p\n}\n": "Reference to a resource not allowed here",
		"pair \"p\" {\n  hosts = [host.h]\n  path = \"/srv\"\n  for_each = {}\n}\n":                          `no argument named "for_each"`,
		"pair \"p\" {\n  hosts = [host.h]\n  path = \"/srv\"\n  lifecycle {\n    postcondition {}\n  }\n}\n": "A pair cannot have postconditions",
	} {
		if _, diags := loadPairs(t, hosts+text); !strings.Contains(diags, want) {
			t.Errorf("%s: got %s, want %q", text, diags, want)
		}
	}
}
