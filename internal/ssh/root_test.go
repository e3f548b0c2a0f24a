package ssh

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// asRoot has the server's targets become root, by a sudo that asks nothing.
func asRoot(s *server) {
	s.become = "sudo"
	s.program("sudo", `shift; shift; exec "$@"`)
}

// TestRootsCopy: root runs the helper from its own place alone, whatever the login account has in
// its directories.
func TestRootsCopy(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	name := helperName(b.ID())
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Error(err)
		}
	}
	put := func(data []byte) func(*server) {
		return func(s *server) {
			must(os.MkdirAll(s.roots[0].dir(), 0o711))
			must(os.WriteFile(filepath.Join(s.roots[0].dir(), name), data, 0o500))
		}
	}
	for label, c := range map[string]struct {
		setUp func(*server)
		place int    // where the helper must be afterwards
		log   string // what must be logged
	}{
		"nothing there": {nil, 0, "pushed the helper to"},
		"a state directory for root alone": {func(s *server) {
			must(os.MkdirAll(s.roots[0][0], 0o700))
		}, 0, "pushed"},
		"a wrapper in the account's directories": {func(s *server) {
			for _, dir := range s.places() {
				must(os.MkdirAll(dir, 0o700))
				must(os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\ntouch "+s.home+"/ran\n"), 0o500))
			}
		}, 0, "pushed"},
		"a link in place of the directory": {func(s *server) {
			must(os.MkdirAll(s.roots[0][0], 0o700))
			must(os.Symlink(t.TempDir(), s.roots[0].dir()))
		}, 1, "pushed"},
		"a file in place of the directory": {func(s *server) { must(os.WriteFile(s.roots[0][0], nil, 0o600)) }, 1, "pushed"},
		"another program":                  {put([]byte("#!/bin/sh\necho hello\n")), 0, "wrong helper: it ended at once: exit status 0"},
		"another build":                    {put(append(bytes.Clone(b.data), 0)), 0, "its SHA-256 is"},
		"cut off":                          {put(b.data[:len(b.data)/2]), 0, "replacing it"},
		"an empty file":                    {put(nil), 0, "replacing it"},
		"no SFTP":                          {func(s *server) { s.noSFTP = true }, 0, "pushed"},
		"no sha256sum":                     {func(s *server) { s.program("sha256sum", "exit 127") }, 0, "pushed"},
		"noise":                            {func(s *server) { s.noise = "Welcome!\n\x00\x00 you have\nno mail" }, 0, "pushed"},
		"another helper of long ago": {func(s *server) {
			must(os.MkdirAll(s.roots[0].dir(), 0o711))
			for _, old := range []string{"helper-0001", ".helper-0002"} {
				must(os.WriteFile(filepath.Join(s.roots[0].dir(), old), nil, 0o500))
				must(os.Chtimes(filepath.Join(s.roots[0].dir(), old), longAgo, longAgo))
			}
		}, 0, "pushed"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			s, connect := fresh(t, func(s *server) {
				asRoot(s)
				if c.setUp != nil {
					c.setUp(s)
				}
			})
			log, err := connect(b)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log, c.log) {
				t.Errorf("no %q in the log: %s", c.log, log)
			}
			for _, dir := range s.roots[c.place] {
				if info, err := os.Lstat(dir); err != nil || info.Mode() != os.ModeDir|0o711 {
					t.Errorf("%s: %v, %v", dir, info.Mode(), err)
				}
			}
			place := s.roots[c.place].dir()
			if got := names(t, place); !slices.Equal(got, []string{name}) {
				t.Errorf("%s has %q", place, got)
			}
			if info, err := os.Lstat(filepath.Join(place, name)); err != nil || info.Mode() != 0o500 {
				t.Errorf("%v, %v", info, err)
			}
			if !bytes.Equal([]byte(readFile(t, filepath.Join(place, name))), b.data) {
				t.Error("the helper is not what was pushed")
			}
			if _, err := os.Lstat(filepath.Join(s.home, "ran")); err == nil {
				t.Error("what the login account had in its directory ran as root")
			}
			s.again(connect, b)
		})
	}
}

// TestRootsCopyTogether: several connections make root's copy at the same time.
func TestRootsCopyTogether(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	s, connect := fresh(t, asRoot)
	together(t, connect, b)
	if got := names(t, s.roots[0].dir()); !slices.Equal(got, []string{helperName(b.ID())}) {
		t.Errorf("left: %q", got)
	}
}

// TestNoRootsCopy: what keeps root from having a copy is said of each place, and nothing half-made
// stays.
func TestNoRootsCopy(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	script := bundleOf([]byte("#!/proc/nonexistent/sh\n"))
	for name, c := range map[string]struct {
		bundle Bundle
		setUp  func(*server)
		parts  []string
	}{
		"digest differs": {b, func(s *server) { s.program("sha256sum", "echo 1234  -") }, []string{"/state/helper: what arrived", "/opt: what arrived", "noexec"}},
		"size differs": {b, func(s *server) { s.program("sha256sum", "exit 1"); s.program("head", "echo x") },
			[]string{"/state/helper: what arrived"}},
		"disk full":    {b, func(s *server) { s.program("head", "echo head: no space >&2; exit 1") }, []string{"/opt: the helper cannot be written there", "no space"}},
		"does not run": {script, nil, []string{"programs cannot be executed there", "not found", "/opt"}},
		"wrong":        {standIn(t, "-X main.protocol=9"), nil, []string{"speaks protocol 9, not 1"}},
		"no binary":    {noBinary{b}, nil, []string{"out of binaries"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, connect := fresh(t, func(s *server) {
				asRoot(s)
				if c.setUp != nil {
					c.setUp(s)
				}
			})
			_, err := connect(c.bundle)
			wantError(t, err, nil, append(c.parts, "host web1")...)
			for _, place := range s.roots {
				for _, n := range names(t, place.dir()) {
					if strings.HasPrefix(n, ".") {
						t.Errorf("left: %s/%s", place.dir(), n)
					}
				}
			}
		})
	}
}

// TestForgedSend: the helper's bytes go to no program that was not started to have them, and once
// only.
func TestForgedSend(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	d, target := scriptedServer(t, Options{}, func(_ *server, command string, ch gossh.Channel) int {
		switch {
		case command == surveyCommand():
			_, _ = io.WriteString(ch, missing+"\nx86_64\n0\n/a\n/b\n/c\n/d\n")
			return 127
		case strings.Contains(command, send):
			// It asks twice.
			_, _ = io.WriteString(ch, send+"\n")
			if _, err := io.ReadFull(ch, make([]byte, len(b.data))); err != nil {
				return 1
			}
			_, _ = io.WriteString(ch, send+"\n")
			return 9
		}
		_, _ = io.WriteString(ch, send+"\n"+missing+"\n")
		return 127
	})
	target.Become = "sudo"
	_, err := connect(t, d, target, b)
	wantError(t, err, nil, "ended at once: exit status 9")
}
