package lang

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	const ugly = `# a comment
host   "a" {
address="192.0.2.1" # why
      user = "admin"

  // more
  labels={a=1,   b = "${ upper( "x" ) }"}
}
/* the
   end */
`
	const want = `# a comment
host "a" {
  address = "192.0.2.1" # why
  user    = "admin"

  // more
  labels = { a = 1, b = "${upper("x")}" }
}
/* the
   end */
`
	got, diags := Format([]byte(ugly), "fleet.hcl")
	if diags.HasErrors() || string(got) != want {
		t.Errorf("got %s, %v", got, diags)
	}
	if again, _ := Format(got, "fleet.hcl"); string(again) != want {
		t.Errorf("formatted again it is %s", again)
	}
	for _, broken := range []string{"host \"a\" {", "x = ", "x = \"\xff\"", "a b c"} {
		if got, diags := Format([]byte(broken), "fleet.hcl"); !diags.HasErrors() || got != nil {
			t.Errorf("%q was formatted: %q", broken, got)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, s := range formatSeeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		got, diags := Format(src, "fleet.hcl")
		if diags.HasErrors() {
			return
		}
		if _, diags := Format(got, "fleet.hcl"); diags.HasErrors() {
			t.Errorf("the result does not parse: %v\n%s", diags, got)
		}
		if strings.Join(strings.Fields(string(src)), "") != strings.Join(strings.Fields(string(got)), "") {
			t.Errorf("more than space has changed:\n%q\n%q", src, got)
		}
	})
}

// formatSeeds are the files of the cases of package config.
func formatSeeds(f *testing.F) [][]byte {
	f.Helper()
	files, err := filepath.Glob("../config/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	var seeds [][]byte
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			if strings.HasSuffix(part.Name, ".hcl") {
				seeds = append(seeds, part.Data)
			}
		}
	}
	return seeds
}
