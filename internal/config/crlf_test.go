package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// loadFiles loads a configuration of these files.
func loadFiles(t *testing.T, files map[string]string) (*Config, hcl.Diagnostics) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(Options{Dir: dir, Registry: testRegistry()})
}

// summaries are what diagnostics are about: SEVERITY FILE:LINE SUMMARY.
func summaries(diags hcl.Diagnostics) []string {
	var list []string
	for _, d := range diags {
		text := map[hcl.DiagnosticSeverity]string{hcl.DiagError: "error", hcl.DiagWarning: "warning"}[d.Severity]
		if d.Subject != nil {
			text += " " + sourceOf(*d.Subject)
		}
		list = append(list, text+" "+d.Summary)
	}
	return list
}

// TestCarriageReturns loads files whose lines end as on Windows. Only what reaches a host, and is
// not written as \r, is a warning.
func TestCarriageReturns(t *testing.T) {
	t.Parallel()
	windows := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	const head = `host "a" { address = "192.0.2.1" }
`
	thing := func(text string) string {
		return head + "resource \"thing\" \"x\" {\n  hosts = [host.a]\n  name = \"x\"\n  text = " + text + "\n}\n"
	}
	for name, tc := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"no heredoc":       {map[string]string{"a.hcl": windows(thing(`"a"`))}, nil},
		"heredoc":          {map[string]string{"a.hcl": windows(thing("<<E\n#!/bin/sh\ntrue\nE"))}, []string{"warning a.hcl:5 Lines end with CRLF"}},
		"indented heredoc": {map[string]string{"a.hcl": windows(thing("<<-E\n  true\nE"))}, []string{"warning a.hcl:5 Lines end with CRLF"}},
		"two heredocs":     {map[string]string{"a.hcl": windows(thing("\"${<<E\na\nE\n}${<<E\nb\nE\n}\""))}, []string{"warning a.hcl:5 Lines end with CRLF"}},
		"file":             {map[string]string{"a.hcl": thing(`file("s")`), "s": "#!/bin/sh\r\n"}, []string{"warning a.hcl:5 Lines end with CRLF"}},
		"template":         {map[string]string{"a.hcl": thing(`templatefile("s", {})`), "s": "#!/bin/sh\r\n"}, []string{"warning a.hcl:5 Lines end with CRLF"}},
		"meant":            {map[string]string{"a.hcl": thing(`"a\r\nb"`)}, nil},
		"mended":           {map[string]string{"a.hcl": thing(`replace(file("s"), "\r", "")`), "s": "a\r\n"}, nil},
		"source": {map[string]string{"a.hcl": head + "resource \"file\" \"f\" {\n  hosts = [host.a]\n  path = \"/f\"\n  source = \"s\"\n}\n", "s": "a\r\n"},
			[]string{"warning a.hcl:5 Lines end with CRLF"}},
		"unused": {map[string]string{"a.hcl": thing(`"a"`) + `locals { x = file("s") }`, "s": "a\r\n"}, nil},
	} {
		_, diags := loadFiles(t, tc.files)
		if got := summaries(diags); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// TestUnreadFiles looks for files that look as if they were read.
func TestUnreadFiles(t *testing.T) {
	t.Parallel()
	_, diags := loadFiles(t, map[string]string{"a.hcl": "", "hosts.hcl.json": "{}", "mirrorform.hclvars.json": "{}", "x.auto.hclvars.json": "{}", "data.json": "{}", ".b.hcl.json": ""})
	want := []string{"warning JSON file ignored", "warning JSON file ignored", "warning JSON file ignored"}
	if got := summaries(diags); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for i, name := range []string{"hosts.hcl.json", "mirrorform.hclvars.json", "x.auto.hclvars.json"} {
		if !strings.Contains(diags[i].Detail, name) {
			t.Errorf("%q does not name %s", diags[i].Detail, name)
		}
	}
}
