package ui

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/internal/plain"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// hostile is what a host or a configuration might send to take over a terminal.
const hostile = "a\x1b]52;c;Zm9v\x07b\x9bc\u009b31md\u202ee\u200bf\rg\x00h\ufeffi\U000e0041j"

// golden compares got with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update makes it)", err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update rewrites it):\n%s", path, got)
	}
}

// variants are the ways in which golden files are made.
var variants = []struct {
	name    string
	options Options
}{
	{"plain", Options{Color: "never"}},
	{"color", Options{Color: "always", Width: 100}},
	{"narrow", Options{Color: "never", Width: 40}},
}

// checkSafe fails if text could do more to a terminal than show characters and end lines.
func checkSafe(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("output is not UTF-8: %q", text)
	}
	for _, r := range text {
		if r != '\n' && !plain.Visible(r) || unicode.In(r, unicode.Bidi_Control) {
			t.Fatalf("output holds %q: %q", r, text)
		}
	}
}

// newTest returns a UI that prints to two buffers.
func newTest(o Options) (u *UI, out, err *bytes.Buffer) {
	out, err = new(bytes.Buffer), new(bytes.Buffer)
	if o.Environ == nil {
		o.Environ = []string{"TERM=xterm"}
	}
	if o.In == nil {
		o.In = strings.NewReader("")
	}
	return New(out, err, o), out, err
}
