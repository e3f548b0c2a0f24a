package main

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/cli"
)

// TestRoff: text stays text, whatever it begins with.
func TestRoff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		".hcl files":    `\&.hcl files`,
		"'quoted'":      `\(aqquoted\(aq`,
		"--out=FILE":    `\-\-out=FILE`,
		`a\nb`:          `a\enb`,
		"~/.ssh/config": `\(ti/.ssh/config`,
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestPages: each command has a page, with its flags and its place among the others.
func TestPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writePages(cli.Command(), dir); err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{
		"mirrorform.1.gz": {".SH NAME\nmirrorform \\- Provision", "\\fBmirrorform\\-plan\\fR(1)"},
		"mirrorform-plan.1.gz": {
			".TH MIRRORFORM\\-PLAN 1", "\\fB\\-\\-limit\\fR \\fIHOSTS\\fR", ".SH HOSTS\n", ".SH EXAMPLES\n.nf\n",
			".SH SEE ALSO\n\\fBmirrorform\\fR(1)",
		},
		"mirrorform-state-list.1.gz": {"\\fBmirrorform\\-state\\fR(1), \\fBmirrorform\\fR(1)"},
	} {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		defer file.Close()
		r, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: no %q in\n%s", name, want, text)
			}
		}
	}
}

// TestLicenses: the list has Go, the program's modules, and their terms.
func TestLicenses(t *testing.T) {
	t.Parallel()
	text, err := licenses()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nGo go1.", "\ngithub.com/hashicorp/hcl/v2 v", "\ngolang.org/x/sys v", "Mozilla Public License"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q", want)
		}
	}
	for _, unwanted := range []string{"\ngithub.com/chromedp/", "\ngithub.com/mirrorform/"} {
		if strings.Contains(string(text), unwanted) {
			t.Errorf("there is %q, which is not in the program", unwanted)
		}
	}
}

// TestNoLicense: a module without its terms is an error.
func TestNoLicense(t *testing.T) {
	t.Parallel()
	err := writeLicenses(nil, module{Path: "example.org/m", Version: "v1.0.0", Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "example.org/m v1.0.0 has no file with its licence") {
		t.Errorf("error %v", err)
	}
}
