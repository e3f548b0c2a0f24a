package ssh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// fresh returns a server without a helper, and a function that connects to it and returns what was logged.
func fresh(t testing.TB, setUp func(*server)) (*server, func(Bundle) (string, error)) {
	t.Helper()
	key, pub, _ := newKeyFile(t)
	s := newServer(t, pub)
	if setUp != nil {
		setUp(s)
	}
	s.serve()
	known := s.knownHosts(edKey())
	return s, func(b Bundle) (string, error) {
		var mu sync.Mutex
		var log strings.Builder
		d := testDialer(t, Options{KnownHostsFiles: []string{known}, Log: func(m string) {
			mu.Lock()
			defer mu.Unlock()
			log.WriteString(m + "\n")
		}})
		target := s.target(key)
		if s.become != "" {
			target.Become = s.become
		}
		_, err := connect(t, d, target, b)
		mu.Lock()
		defer mu.Unlock()
		return log.String(), err
	}
}

// places are the directories for helpers on the server.
func (s *server) places() []string {
	return []string{
		filepath.Join(s.home, ".cache/mirrorform"), "/var/tmp/mirrorform-" + s.logname,
		filepath.Join(s.runtime, "mirrorform"), "/dev/shm/mirrorform-" + s.logname,
	}
}

// again holds that one command is all that it takes to connect where the helper is.
func (s *server) again(connect func(Bundle) (string, error), b Bundle) {
	s.t.Helper()
	before := s.commands.Load()
	if log, err := connect(b); err != nil || log != "" {
		s.t.Errorf("the second time: %v, %s", err, log)
	}
	if n := s.commands.Load() - before; n != 1 {
		s.t.Errorf("the second time took %d commands", n)
	}
}

// together connects several times at once.
func together(t *testing.T, connect func(Bundle) (string, error), b Bundle) {
	t.Helper()
	var g errgroup.Group
	for range 5 {
		g.Go(func() error { _, err := connect(b); return err })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// names lists a directory.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestPush(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	name := helperName(b.ID())
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Error(err)
		}
	}
	// put writes a file where the helper belongs.
	put := func(data string, mode os.FileMode) func(*server) {
		return func(s *server) {
			must(os.MkdirAll(s.places()[0], 0o700))
			must(os.WriteFile(filepath.Join(s.places()[0], name), []byte(data), mode))
		}
	}
	cases := map[string]struct {
		setUp func(*server)
		place int    // where the helper must be afterwards
		log   string // what must be logged
	}{
		"nothing there":               {nil, 0, "pushed the helper to"},
		"a directory others can read": {func(s *server) { must(os.MkdirAll(s.places()[0], 0o755)) }, 0, "pushed"},
		"a link in place of the directory": {func(s *server) {
			must(os.Mkdir(filepath.Join(s.home, ".cache"), 0o700))
			must(os.Symlink(t.TempDir(), s.places()[0]))
		}, 1, "pushed the helper to /var/tmp/mirrorform-test-"},
		"a link in place of the helper": {func(s *server) {
			must(os.MkdirAll(s.places()[0], 0o700))
			must(os.Symlink("/bin/true", filepath.Join(s.places()[0], name)))
		}, 0, "pushed"},
		"a file in place of the directories": {func(s *server) {
			must(os.WriteFile(filepath.Join(s.home, ".cache"), nil, 0o600))
			must(os.WriteFile(s.places()[1], nil, 0o600))
		}, 2, "pushed"},
		"only the last place": {func(s *server) {
			must(os.WriteFile(filepath.Join(s.home, ".cache"), nil, 0o600))
			must(os.WriteFile(s.places()[1], nil, 0o600))
			must(os.WriteFile(s.places()[2], nil, 0o600))
		}, 3, "pushed"},
		"another program":     {put("#!/bin/sh\necho hello\n", 0o500), 0, "wrong helper: it ended at once: exit status 0"},
		"an empty file":       {put("", 0o500), 0, "wrong helper"},
		"not executable":      {put("x", 0o400), 0, "pushed"},
		"cut off":             {put(string(b.data[:len(b.data)/2]), 0o500), 0, "replacing it"},
		"no such interpreter": {put("#!/proc/nonexistent/sh\n", 0o500), 0, "replacing it"},
		"another protocol":    {put(string(standIn(t, "-X main.protocol=9").data), 0o500), 0, "speaks protocol 9"},
		"another build":       {put(string(append(bytes.Clone(b.data), 0)), 0o500), 0, "its SHA-256 is"},
		"noise":               {func(s *server) { s.noise = "Welcome!\n\x00\x00 you have\nno mail" }, 0, "pushed"},
		"no sha256sum":        {func(s *server) { s.program("sha256sum", "exit 127") }, 0, "pushed"},
	}
	for label, c := range cases {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			s, connect := fresh(t, c.setUp)
			log, err := connect(b)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log, c.log) {
				t.Errorf("no %q in the log: %s", c.log, log)
			}
			for i, dir := range s.places() {
				info, err := os.Lstat(dir)
				if i != c.place {
					if err == nil && info.IsDir() && len(names(t, dir)) > 0 {
						t.Errorf("%s has %q", dir, names(t, dir))
					}
					continue
				}
				if err != nil || info.Mode() != os.ModeDir|0o700 {
					t.Fatalf("%s: %v, %v", dir, info.Mode(), err)
				}
				if got := names(t, dir); !slices.Equal(got, []string{name}) {
					t.Errorf("%s has %q", dir, got)
				}
				file := filepath.Join(dir, name)
				info, err = os.Lstat(file)
				if err != nil || info.Mode() != 0o500 {
					t.Fatalf("%s: %v, %v", file, info, err)
				}
				if !bytes.Equal([]byte(readFile(t, file)), b.data) {
					t.Errorf("%s is not what was pushed", file)
				}
			}
			s.again(connect, b)
		})
	}
}

// TestPushTogether: several connections push to one host at the same time.
func TestPushTogether(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	s, connect := fresh(t, nil)
	together(t, connect, b)
	if got := names(t, s.places()[0]); !slices.Equal(got, []string{helperName(b.ID())}) {
		t.Errorf("left: %q", got)
	}
}

func TestPushFails(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	packet := func(text string) func(*server) {
		return func(s *server) {
			s.sftp = func(ch gossh.Channel) {
				_, _ = io.WriteString(ch, text)
				_, _ = io.Copy(io.Discard, ch)
			}
		}
	}
	script := bundleOf([]byte("#!/proc/nonexistent/sh\n"))
	for name, c := range map[string]struct {
		bundle Bundle
		setUp  func(*server)
		parts  []string
	}{
		"no SFTP":          {b, func(s *server) { s.noSFTP = true }, []string{"Subsystem sftp internal-sftp"}},
		"SFTP prints text": {b, packet(strings.Repeat("hello\n", 20000)), []string{"SFTP subsystem", "more than 64 KiB"}},
		"SFTP ends":        {b, func(s *server) { s.sftp = func(ch gossh.Channel) { _, _ = io.WriteString(ch, "no\x1bway") } }, []string{"SFTP subsystem"}},
		"SFTP length":      {b, packet("\x00\x00\x00\x05\x02\x00\x00\x00\x03\xff\xff\xff\xff\x65"), []string{"packet too long"}},
		"digest differs":   {b, func(s *server) { s.program("sha256sum", "echo 1234  -") }, []string{"/.cache/mirrorform: what arrived", "/var/tmp/mirrorform-", "/dev/shm/mirrorform-", "user admin", "noexec"}},
		"does not run":     {script, nil, []string{"cannot be executed there", "not found", "/dev/shm/mirrorform-"}},
		"wrong for ever":   {standIn(t, "-X main.protocol=9"), nil, []string{"speaks protocol 9, not 1"}},
		"no binary":        {noBinary{b}, nil, []string{"out of binaries"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, connect := fresh(t, c.setUp)
			_, err := connect(c.bundle)
			wantError(t, err, nil, append(c.parts, "host web1")...)
			for _, dir := range s.places() {
				for _, n := range names(t, dir) {
					if strings.HasPrefix(n, ".") {
						t.Errorf("left: %s/%s", dir, n)
					}
				}
			}
		})
	}
}

var errOutOfBinaries = errors.New("out of binaries")

// noBinary is a bundle that cannot give its binary.
type noBinary struct{ Bundle }

func (noBinary) Binary(context.Context, string) ([]byte, string, error) {
	return nil, "", errOutOfBinaries
}

func TestSweep(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	s, connect := fresh(t, nil)
	dir := s.places()[0]
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	day := 24 * time.Hour
	for name, age := range map[string][2]time.Duration{ // since it was read, and since it was written
		"helper-0001":  {40 * day, 40 * day},
		"helper-0003":  {40 * day, 1 * day},
		".helper-0004": {2 * day, 2 * day},
		".helper-0005": {0, 0},
		"notes":        {400 * day, 400 * day},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Now().Add(-age[0]), time.Now().Add(-age[1])); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := connect(b); err != nil {
		t.Fatal(err)
	}
	want := []string{".helper-0005", "helper-0003", helperName(b.ID()), "notes"}
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("left are %q, not %q", got, want)
	}
}

func TestVersionReader(t *testing.T) {
	t.Parallel()
	const first = "\x00\x00\x00\x09\x02\x00\x00\x00\x03rest"
	for _, noise := range []string{"", "hello\n", "\x00", "\x00\x00\x00\x05\x02\x00\x00", strings.Repeat("n", 60<<10)} {
		for _, slow := range []bool{false, true} {
			var r io.Reader = strings.NewReader(noise + first + "more")
			if slow {
				r = iotest.OneByteReader(r)
			}
			got, err := io.ReadAll(&versionReader{r: r})
			if err != nil || string(got) != first+"more" {
				t.Errorf("after %.20q: %q, %v", noise, got, err)
			}
		}
	}
	if _, err := io.ReadAll(&versionReader{r: strings.NewReader(strings.Repeat("n", 70<<10))}); err == nil {
		t.Error("endless noise was read")
	}
}
