package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a configuration reads by itself is confined as well: a link in place of one of its files, a
// file of values, a source, an identity, a database, and what a plan shows of this machine.
func TestReadingByItselfIsConfined(t *testing.T) {
	t.Parallel()
	const host = "host \"h\" {\n  address = \"h.example.org\"\n%s}\n"
	for name, write := range map[string]func(dir string) error{
		"a file of the configuration": func(dir string) error { return os.Symlink("/proc/self/environ", filepath.Join(dir, "more.hcl")) },
		"a file of values": func(dir string) error {
			return os.Symlink("/proc/self/environ", filepath.Join(dir, "mirrorform.hclvars"))
		},
		"a source": func(dir string) error {
			return add(dir, "resource \"file\" \"f\" {\n  hosts = [host.h]\n  path = \"/etc/f\"\n  source = \"/proc/self/environ\"\n}\n")
		},
		"an identity": func(dir string) error {
			return add(dir, strings.Replace(strings.ReplaceAll(host, "\"h\"", "\"i\""), "%s", "  identities = [\"/proc/self/fd/0\"]\n", 1))
		},
		"a database": func(dir string) error { return add(dir, "geoip {\n  databases = [\"/proc/self/environ\"]\n}\n") },
		"this machine": func(dir string) error {
			return add(dir, "resource \"file\" \"f\" {\n  hosts = [host.local]\n  path = \"/proc/self/environ\"\n  content = \"x\"\n}\n")
		},
	} {
		dir := t.TempDir()
		if err := add(dir, strings.Replace(host, "%s", "", 1)); err != nil {
			t.Fatal(err)
		}
		if err := write(dir); err != nil {
			t.Fatal(err)
		}
		c, diags := Load(Options{Dir: dir, Registry: testRegistry()})
		if !diags.HasErrors() {
			_, diags = c.Resources("local", nil)
		}
		if !diags.HasErrors() || !strings.Contains(diags.Error(), "/proc, /sys and /dev") {
			t.Errorf("%s: %v", name, diags)
		}
	}
}

// add adds a file to a configuration.
func add(dir, text string) error {
	f, err := os.CreateTemp(dir, "*.hcl")
	if err != nil {
		return err
	}
	if _, err = f.WriteString(text); err != nil {
		return err
	}
	return f.Close()
}
