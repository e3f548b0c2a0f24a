package config

import (
	"fmt"
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
	// After are hosts with pairs that come first.
	After []string `hcl:"after,optional" hosts:"true" hint:"Or leave it out."`
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
	for _, n := range slices.Concat(site.DependsOn, site.Dependents) {
		for i, b := range n.Blocks {
			content := fmt.Sprintf("%s at %s (%s), %s (%s)", b.Spec.(*pair).Path, n.Address, n.Source, b.Label, b.Source)
			parts = append(parts, engine.Part{Name: fmt.Sprintf("%s_%d", n.Host, i), Type: "file", State: &resources.File{
				Path: fmt.Sprintf("%s/%s-%d", p.Path, n.Host, i), Content: &content,
			}})
		}
	}
	if p.Note != "" {
		parts = append(parts, engine.Part{Name: "note", Local: true, Type: "file", State: &resources.File{Path: site.Dir + "/" + p.Note}})
	}
	return parts, nil
}

func (pairType) OnLocal(p *pair) bool { return p.Note != "" }

func (pairType) DependsOnHosts(p *pair) []string { return p.After }

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

// A block of such a type gets the blocks of the hosts that it refers to, and those of the hosts
// that refer to it.
func TestBlocksOfOtherHosts(t *testing.T) {
	t.Parallel()
	const hosts = "host \"a\" { address = \"192.0.2.1\" }\nhost \"b\" { address = \"192.0.2.2\" }\n"
	c, diags := loadPairs(t, hosts+`pair "p" {
  hosts = [host.a]
  path  = "/p"
  after = host.b
}
pair "q" {
  hosts = [host.b]
  path  = "/q"
}
pair "r" {
  hosts = [host.b]
  path  = "/r"
  after = []
}
`)
	if diags != "" {
		t.Fatal(diags)
	}
	for host, want := range map[string][]string{
		"a": {"/q at 192.0.2.2 (fleet.hcl:2), q (fleet.hcl:8)", "/r at 192.0.2.2 (fleet.hcl:2), r (fleet.hcl:12)"},
		"b": {"/p at 192.0.2.1 (fleet.hcl:1), p (fleet.hcl:3)", "/p at 192.0.2.1 (fleet.hcl:1), p (fleet.hcl:3)"},
	} {
		list, errs := c.Resources(host, map[string]*wire.Facts{host: {}})
		var got []string
		for _, r := range list {
			if f, ok := r.State.(*resources.File); ok && f.Content != nil {
				got = append(got, *f.Content)
			}
		}
		if errs.HasErrors() || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q; %v", host, got, want, errs)
		}
	}
	if a, b := c.DependsOn("a"), c.DependsOn("b"); !slices.Equal(a, []string{"b"}) || len(b) > 0 {
		t.Errorf("a depends on %q, b on %q", a, b)
	}
	for text, want := range map[string]string{
		`"b"`:                                    "but an element is a string. Write host.b without quotes. Or leave it out.",
		`target.facts.systemd ? host.a : host.b`: "must be known before any host is reached",
		`sensitive(host.b)`:                      "plans print everything",
	} {
		_, diags := loadPairs(t, hosts+"pair \"p\" {\n  hosts = [host.a]\n  path = \"/p\"\n  after = "+text+"\n}\n")
		if !strings.Contains(diags, want) {
			t.Errorf("%s: got %s, want %q", text, diags, want)
		}
	}
}
