package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/rogpeppe/go-internal/txtar"
)

// fuzzSeeds returns the configurations of all cases.
func fuzzSeeds(f *testing.F) [][]byte {
	f.Helper()
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	var seeds [][]byte
	for _, path := range cases {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".hcl") {
				seeds = append(seeds, file.Data)
			}
		}
	}
	return append(seeds, []byte(mirrorFleet))
}

// FuzzLoad loads arbitrary bytes as a configuration. Nothing may panic, every diagnostic has a place within its file, and what loads without
// errors has resources.
func FuzzLoad(f *testing.F) {
	for _, s := range fuzzSeeds(f) {
		f.Add(s, []byte("x = 1\n"))
	}
	f.Add([]byte("variable \"x\" { type = list(object({ a = optional(string, \"b\") })) }\n"), []byte("x = [{}, { a = 1 }]\n"))
	f.Fuzz(func(t *testing.T, src, vars []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"fleet.hcl": src, "mirrorform.hclvars": vars} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c, diags := Load(Options{Dir: dir, Registry: testRegistry()})
		checkRanges(t, c, diags)
		for _, d := range diags {
			switch {
			case d.Subject == nil:
				t.Errorf("%s: %s has no place", d.Summary, d.Detail)
			case strings.Contains(d.Detail, "evaluation panicked") || strings.Contains(d.Detail, "panic"):
				t.Errorf("%s: %s", d.Summary, d.Detail)
			}
		}
		if diags.HasErrors() {
			return
		}
		facts := map[string]*wire.Facts{}
		for _, h := range c.Hosts() {
			facts[h.Name] = &wire.Facts{}
		}
		for _, m := range c.Moves() {
			if m.From == "" || m.From == m.To {
				t.Errorf("the move from %q to %q is none", m.From, m.To)
			}
		}
		for _, h := range c.Hosts() {
			list, diags := c.Resources(h.Name, facts)
			for _, r := range list {
				if r.Postcondition == nil {
					continue
				}
				for _, p := range slices.Concat(r.Postcondition(nil), r.Postcondition(r.Kind.New())) {
					diags = append(diags, c.Problem(r, p))
				}
			}
			checkRanges(t, c, diags)
		}
	})
}
