package publish_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/publish"
)

// patch plans an entry as publish --patch does, without a token, and returns its patch.
func (w *world) patch(e publish.Entry) string {
	w.Helper()
	o := w.options
	o.Token, o.UpstreamOnly = publish.Token{}, true
	s, err := publish.Open(w.Context(), o)
	if err != nil {
		w.Fatal(err)
	}
	c, err := s.Plan(w.Context(), e)
	if err != nil {
		w.Fatal(err)
	}
	patch, err := s.Patch(c)
	if err != nil {
		w.Fatal(err)
	}
	return string(patch)
}

// am applies patches to a clone of upstream, and returns the clone.
func (w *world) am(patches string, flags ...string) string {
	w.Helper()
	dir := w.TempDir()
	mbox := filepath.Join(dir, "mbox")
	if err := os.WriteFile(mbox, []byte(patches), 0o600); err != nil {
		w.Fatal(err)
	}
	clone := filepath.Join(dir, "clone")
	for _, args := range [][]string{
		{"clone", "-q", w.Dir(up), clone},
		append(append([]string{"-C", clone, "am", "-q"}, flags...), mbox),
	} {
		if _, err := w.Git(dir, args...); err != nil {
			w.Fatal(err)
		}
	}
	return clone
}

// TestPatch compares the commit that git am makes of a patch with the one that publish makes.
func TestPatch(t *testing.T) {
	t.Parallel()
	const text = "---\nname: fra1.example.org\naddress:\n  http: http://fra1.example.org/almalinux/\n" +
		"update_frequency: 3h\nsponsor: Öld Org # ✓\nsponsor_url: https://example.org\n"
	const sponsor = `"Old\nFrom 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n` +
		`Subject: x\n---\ndiff --git a/x b/x"`
	crlf := strings.ReplaceAll(text, "\n", "\r\n")
	for what, c := range map[string]struct {
		files map[string]string
		entry publish.Entry
		flags []string
	}{
		"new":                {nil, entry(), nil},
		"changed":            {map[string]string{file: text}, entry(), nil},
		"three-way":          {map[string]string{file: text}, entry(), []string{"--3way"}},
		"without a line end": {map[string]string{file: strings.TrimSuffix(text, "\n")}, entry(), nil},
		"CRLF":               {map[string]string{file: crlf}, entry(), []string{"--keep-cr"}},
		"removed":            {map[string]string{file: text}, gone(), nil},
		"strange name":       {map[string]string{"mirrors.d/a \"é\\\t.yml": text}, entry(), nil},
		"message":            {map[string]string{file: strings.Replace(text, "Öld Org # ✓", sponsor, 1)}, entry(), nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.options.Environ = []string{"GIT_AUTHOR_NAME=Öp Erator, Ltd.", "GIT_AUTHOR_EMAIL=operator@example.org"}
			if c.files != nil {
				w.commit(up, "master", "Files", c.files)
			}
			patch := w.patch(c.entry)
			if got := w.Requests(); len(got) > 5 {
				t.Errorf("requests: %q", got)
			}
			clone := w.am(patch, c.flags...)
			made := w.publish(c.entry, publish.Create)
			for _, format := range []string{"%T", "%an <%ae>", "%B"} {
				got, err := w.Git(clone, "log", "-1", "--format="+format)
				want := w.git(fork, "log", "-1", "--format="+format, made.Branch)
				if err != nil || got != want {
					t.Errorf("%s: %v, got %q, want %q", format, err, got, want)
				}
			}
			if n, err := w.Git(clone, "rev-list", "--count", "origin/master..HEAD"); err != nil || n != "1" {
				t.Errorf("%s commits, %v", n, err)
			}
		})
	}
}

// TestPatches: git am applies several patches of one file in order.
func TestPatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.options.Environ = []string{}
	second := with(func(f *mirrorsd.File) { f.Name = "ams.example.org" })
	clone := w.am(w.patch(entry()) + w.patch(second))
	got, err := w.Git(clone, "log", "--reverse", "--format=%an <%ae> %s", "origin/master..HEAD")
	const who = "Example Org <mirror@example.org> "
	if want := who + "Add mirror fra1.example.org\n" + who + "Add mirror ams.example.org"; err != nil || got != want {
		t.Errorf("%v, got %s", err, got)
	}
	w.options.UpstreamOnly = true
	s, err := publish.Open(t.Context(), w.options)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Plan(t.Context(), with(func(f *mirrorsd.File) { f.Email = "" }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Patch(c); err == nil || !strings.Contains(err.Error(), "GIT_AUTHOR_NAME") {
		t.Errorf("got %v", err)
	}
}
