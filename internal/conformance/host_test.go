package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/helper"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// helperPath is the path of the helper on the hosts, outside the compared trees.
const helperPath = "/opt/mirrorform-helper"

// helperBinary is the helper for this machine's architecture, which is also the architecture of the
// hosts.
var helperBinary = sync.OnceValues(func() ([]byte, error) {
	bundle, err := helper.Open(context.Background())
	if err != nil {
		return nil, err
	}
	data, _, err := bundle.Binary(context.Background(), runtime.GOARCH)
	return data, err
})

// host is a lab host with the helper on it.
type host struct {
	*lab.Host
	lab  *lab.Lab
	t    *testing.T // the test that booted it, and ends with its sessions
	s    *session   // the one in use
	open bool       // a transaction is open
}

// boot boots a host for the test.
func boot(t *testing.T, spec lab.HostSpec) *host {
	t.Helper()
	labtest.Require(t)
	binary, err := helperBinary()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{lab: labtest.Lab(t), Host: labtest.Host(t, spec), t: t}
	if err := h.Write(helperPath, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return h
}

// run runs programs on the host and returns their output. The programs must succeed.
func (h *host) run(t *testing.T, argvs ...[]string) string {
	t.Helper()
	var all strings.Builder
	for _, argv := range argvs {
		out, err := h.Run(t.Context(), argv...)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(out)
	}
	return all.String()
}

// session is a conversation with the helper on a host.
type session struct {
	*engine.Session
	target  engine.Target
	ordered int // operations so far
}

// session returns the current session.
func (h *host) session(t *testing.T) *session {
	t.Helper()
	if h.s == nil {
		h.s = h.connect(t)
	}
	return h.s
}

// hangUp ends the current session, which must leave nothing on the host.
func (h *host) hangUp(t *testing.T) {
	t.Helper()
	if h.s == nil {
		return
	}
	if err := h.s.Close(); err != nil {
		t.Errorf("ending the helper: %v", err)
	}
	h.s = nil
	if left := h.run(t, []string{"find", "/var/lib", "-maxdepth", "3", "-path", "/var/lib/mirrorform/journal/*"}); left != "" {
		t.Errorf("the helper ended and left\n%s", left)
	}
}

// connect starts the helper on the host over SSH.
func (h *host) connect(t *testing.T) *session {
	t.Helper()
	argv := h.lab.SSHCommand(h.Host, "root", helperPath)
	l := &link{cmd: exec.Command(argv[0], argv[1:]...)}
	var stdout *io.PipeWriter
	l.reader, stdout = io.Pipe()
	l.cmd.Stdout, l.cmd.Stderr = stdout, &l.stderr
	var err error
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.ended = make(chan struct{})
	go func() {
		defer close(l.ended)
		l.err = l.cmd.Wait()
		_ = stdout.CloseWithError(io.EOF)
	}()
	h.t.Cleanup(func() { _ = l.Close() })
	hello, err := greet(l)
	if err != nil {
		_ = l.Close()
		t.Fatalf("starting the helper on %s: %v: %s", h.Name, err, l.stderr.String())
	}
	s, err := engine.NewSession(l, hello)
	if err != nil {
		t.Fatal(err)
	}
	return &session{Session: s, target: engine.Target{Name: h.Name, Facts: *s.Hello.Facts, Helper: s.Hello.SHA256}}
}

// greet finds the preamble and exchanges Hello.
func greet(l *link) (*wire.Hello, error) {
	preamble := make([]byte, len(wire.Preamble))
	if _, err := io.ReadFull(l, preamble); err != nil {
		return nil, err
	}
	if string(preamble) != wire.Preamble {
		return nil, fmt.Errorf("the helper begins with %q", preamble)
	}
	nonce := engine.NewNonce()
	if err := wire.Write(l, &wire.Message{Hello: &wire.Hello{Protocol: wire.Protocol, Nonce: nonce}}); err != nil {
		return nil, err
	}
	m, err := wire.Read(l)
	if err != nil {
		return nil, err
	}
	if m.Hello == nil || m.Hello.Nonce != nonce {
		return nil, errors.New("the helper does not answer the greeting")
	}
	return m.Hello, nil
}

// link is the helper's standard input and output.
type link struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	reader *io.PipeReader
	stderr bytes.Buffer // to be read after ended
	ended  chan struct{}
	err    error // how it ended
	once   sync.Once
}

func (l *link) Read(p []byte) (int, error)  { return l.reader.Read(p) }
func (l *link) Write(p []byte) (int, error) { return l.stdin.Write(p) }

// Close ends the helper by closing its input, and waits for it.
func (l *link) Close() error {
	l.once.Do(func() {
		_ = l.stdin.Close()
		go func() { _, _ = io.Copy(io.Discard, l.reader) }() // it must not wait for a reader
		select {
		case <-l.ended:
		case <-time.After(20 * time.Second):
			_ = l.cmd.Process.Kill()
			<-l.ended
			l.err = errors.New("the helper did not end with its input")
		}
	})
	if l.err != nil {
		return fmt.Errorf("%w: %s", l.err, l.stderr.String())
	}
	return nil
}

// listed are the compared trees.
var listed = []string{"/etc", "/srv", "/usr/local"}

// volatile are files in these trees that programs rewrite at any time: backups and the lock of
// shadow-utils, and caches.
var volatile = []string{
	"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock", "/etc/ld.so.cache",
}

// listing has the kind, mode, owner, link target and content digest of each file, by path.
type listing map[string]string

func (h *host) listing(t *testing.T) listing {
	t.Helper()
	find := append(append([]string{"find"}, listed...), "-printf", `%p\t%y %m %U:%G %l\0`, "-type", "f", "-exec", "sha256sum", "-z", "--", "{}", "+")
	all, sums := listing{}, map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(h.run(t, find), "\x00"), "\x00") {
		if p, what, ok := strings.Cut(entry, "\t"); ok {
			all[p] = what
		} else if sum, p, ok := strings.Cut(entry, "  "); ok {
			sums[p] = sum
		}
	}
	for p, what := range all {
		if strings.HasPrefix(what, "f ") != (sums[p] != "") {
			t.Fatalf("listing %s: %s is %q and has the digest %q", h.Name, p, what, sums[p])
		}
		all[p] += sums[p]
	}
	maps.DeleteFunc(all, func(p, _ string) bool { return slices.Contains(volatile, p) })
	if len(all) < 50 {
		t.Fatalf("listing %s: only %d files", h.Name, len(all))
	}
	for p := range all {
		if strings.HasPrefix(path.Base(p), ".mirrorform-") {
			if h.open {
				delete(all, p) // an original, kept until the end
				continue
			}
			t.Errorf("a temporary file is left: %s", p)
		}
	}
	return all
}

// changes returns the differences in after, except at and below the paths of except.
func (before listing) changes(after listing, except []string) []string {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(before)) {
		switch now, ok := after[p]; {
		case below(p, except) || now == before[p]:
		case !ok:
			out = append(out, p+" is gone")
		default:
			out = append(out, fmt.Sprintf("%s was %s, now %s", p, before[p], now))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[p]; !ok && !below(p, except) {
			out = append(out, p+" is new")
		}
	}
	return out
}

func below(p string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return p == tree || strings.HasPrefix(p, tree+"/") })
}

// snapshot is a host's answers to questions, and its listing.
type snapshot struct {
	answers map[string]string
	files   listing
}

// differs returns the differences in a later snapshot.
func (before *snapshot) differs(after *snapshot) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(before.answers)) {
		if was, is := untimed(before.answers[key]), untimed(after.answers[key]); was != is {
			out = append(out, fmt.Sprintf("%s\n  was %s\n  now %s", key, was, is))
		}
	}
	return append(out, before.files.changes(after.files, nil)...)
}

// ask returns the answers as text, by question.
func (s *session) ask(t *testing.T, queries []wire.Query) map[string]string {
	t.Helper()
	got, err := s.Ask(t.Context(), queries)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, q := range queries {
		v, err := answerTo(got, q)
		if err != nil {
			all[q.Key()] = "error: " + err.Error()
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all[q.Key()] = string(text)
	}
	return all
}

// answerTo returns the answer to a question, without values that change by themselves.
func answerTo(got engine.Answers, q wire.Query) (any, error) {
	switch q.Verb {
	case wire.AskFile:
		f, err := got.File(q)
		if strings.HasPrefix(q.Arg, "/proc/") {
			f.Fingerprint = "" // has the time of the last write, and nobody can set that
		}
		return f, err
	case wire.AskFilesystem:
		f, err := got.Filesystem(q)
		f.Available = 0
		return f, err
	case wire.AskMount:
		return got.Mount(q)
	case wire.AskBlock:
		return got.Block(q)
	case wire.AskPackage:
		return got.Package(q)
	case wire.AskUnit:
		u, err := got.Unit(q)
		if u.ActiveState == "failed" {
			u.ActiveState = "inactive" // no operation makes a unit one that failed
		}
		return u, err
	case wire.AskUser:
		return got.User(q)
	case wire.AskGroup:
		return got.Group(q)
	case wire.AskLoaded:
		return got.Loaded(q)
	case wire.AskHTTP:
		return got.HTTP(q)
	case wire.AskListeners:
		l, err := got.Listeners(q)
		for i := range l.Sockets {
			l.Sockets[i].PID = 0 // of a program that was started again
		}
		return l, err
	case wire.AskRun:
		return got.Run(q)
	}
	return nil, fmt.Errorf("unknown question %s", q.Verb)
}
