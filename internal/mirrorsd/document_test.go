package mirrorsd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Each file of testdata/edit holds a document, the wanted file in canonical form, and what Edit, Compare and Foreign make of them.
func TestEdit(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("testdata/edit: %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Files) != 4 || archive.Files[0].Name != "have.yml" || archive.Files[1].Name != "want.yml" || archive.Files[2].Name != "out.yml" || archive.Files[3].Name != "notes" {
				t.Fatal("the sections are have.yml, want.yml, out.yml and notes")
			}
			want, err := Parse(archive.Files[1].Data)
			if err != nil {
				t.Fatal(err)
			}
			out, notes := editOnce(t, archive.Files[0].Data, want)
			if *update {
				archive.Files[2].Data, archive.Files[3].Data = out, []byte(notes)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(out, archive.Files[2].Data) {
				t.Errorf("got:\n%s\nwant:\n%s", out, archive.Files[2].Data)
			}
			if notes != string(archive.Files[3].Data) {
				t.Errorf("got:\n%s\nwant:\n%s", notes, archive.Files[3].Data)
			}
			crlf := bytes.ReplaceAll(archive.Files[0].Data, []byte("\n"), []byte("\r\n"))
			if got, _ := editOnce(t, crlf, want); !bytes.Equal(got, bytes.ReplaceAll(out, []byte("\n"), []byte("\r\n"))) {
				t.Errorf("with CRLF got:\n%q", got)
			}
		})
	}
}

// editOnce edits a document, and tests what holds for every edit.
func editOnce(t testing.TB, data []byte, want File) (out []byte, notes string) {
	t.Helper()
	d, err := ParseDocument(data)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, k := range d.Foreign() {
		fmt.Fprintf(&b, "foreign %s on line %d\n", k.Key, k.Line)
	}
	diffs := d.Compare(want)
	for _, diff := range diffs {
		fmt.Fprintf(&b, "%s: %s -> %s\n", diff.Key, diff.Have, diff.Want)
	}
	out, err = d.Edit(want)
	if err != nil {
		fmt.Fprintf(&b, "error: %v\n", err)
		return nil, b.String()
	}
	if len(diffs) == 0 && !bytes.Equal(out, data) {
		t.Errorf("without a difference the text changed:\n%s", out)
	}
	again, err := ParseDocument(out)
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.Edit(want)
	if err != nil || !bytes.Equal(second, out) {
		t.Errorf("a second edit changes the text again: %v\n%s", err, second)
	}
	for _, c := range commentsOf(data) {
		if !slices.Contains(commentsOf(out), c) {
			t.Errorf("the comment %q is gone from:\n%s", c, out)
		}
	}
	return out, b.String()
}

// commentsOf finds comments as a reader does; a # in a quoted value would count as one, too.
func commentsOf(data []byte) []string {
	var list []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if i := strings.Index(line, "#"); i == 0 || i > 0 && line[i-1] == ' ' {
			list = append(list, line[i:])
		}
	}
	return list
}

func TestParseDocumentErrors(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"":                                    "the file is empty",
		"- a\n":                               "line 1: the file is not a YAML mapping",
		"name: a\nname: b\n":                  `line 2: "name" is already set on line 1`,
		"name: &n a\n":                        "has the YAML anchor",
		"name: !!str a\n":                     "has the YAML tag",
		"a: &n {}\nb: *n\n":                   "has the YAML anchor",
		"<<: {name: a}\n":                     "line 1: the key is not a plain string",
		"? [a]\n: b\n":                        "line 1: the key is not a plain string",
		"name: a\n---\nname: b\n":             "more than one YAML document",
		"name: \xff\n":                        "not valid UTF-8",
		strings.Repeat("#", MaxSize+1):        "more than the limit",
		"a: " + strings.Repeat("[", 5000):     "not readable YAML",
		"a: " + nested(60) + "\n":             "nested deeper than 50 levels",
		"name: [a\n":                          "not readable YAML",
		"address:\n  http: a\n  http: b\n":    `line 3: "http" is already set on line 2`,
		"other:\n  - a: 1\n    a: 2\n":        `line 3: "a" is already set on line 2`,
		"name: a\nother: !!python/object x\n": "has the YAML tag",
	} {
		if _, err := ParseDocument([]byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", data, err, want)
		}
	}
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// TestEditLineBreaks edits files with each of the line breaks that YAML 1.1 has: an edit changes the value alone.
func TestEditLineBreaks(t *testing.T) {
	t.Parallel()
	const text = "# one|# two|name: a.example.org|address:|  http: http://a.example.org/ # three|update_frequency: 3h|sponsor: 'Old' # four|sponsor_url: https://example.org|# five|email: m@example.org|"
	for _, end := range []string{"\n", "\r\n", "\r", "\u0085", "\u2028", "\u2029"} {
		have := strings.ReplaceAll(text, "|", end)
		d, err := ParseDocument([]byte(have))
		if err != nil {
			t.Fatalf("%q: %v", end, err)
		}
		want := File{Name: "a.example.org", Address: Address{HTTP: "http://a.example.org/x/"}, UpdateFrequency: "3h", Sponsor: "It's new", SponsorURL: "https://example.org", Email: "m@example.org"}
		out, err := d.Edit(want)
		changed := strings.NewReplacer("example.org/ #", "example.org/x/ #", "'Old'", "'It''s new'").Replace(have)
		if err != nil || string(out) != changed {
			t.Errorf("%q: got %q, %v", end, out, err)
		}
	}
}

func TestEditUnwritable(t *testing.T) {
	t.Parallel()
	d, err := ParseDocument([]byte("name: a\n"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := d.Edit(File{Sponsor: "a\xff"}); err == nil || out != nil {
		t.Errorf("got %q, %v", out, err)
	}
}

// FuzzEdit edits any text towards any file: the result is an error or reads as wanted, and nothing panics.
func FuzzEdit(f *testing.F) {
	files, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data, archive.Files[1].Data)
	}
	f.Fuzz(func(t *testing.T, have, canonical []byte) {
		want, err := Parse(canonical)
		if err != nil {
			return // only what Parse takes is ever wanted
		}
		d, err := ParseDocument(have)
		if err != nil {
			return
		}
		out, err := d.Edit(want)
		if err != nil {
			return
		}
		again, err := ParseDocument(out)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, out)
		}
		if diffs := again.Compare(want); len(diffs) > 0 {
			t.Fatalf("%v in:\n%s", diffs, out)
		}
	})
}
