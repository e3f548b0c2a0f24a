package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// collector keeps what was written.
type collector struct {
	bytes.Buffer
	closed bool
}

func (c *collector) Close() error { c.closed = true; return nil }

// lines decodes events, and checks that each is an object on a line of its own that a terminal can show.
func lines(t *testing.T, text string) []event {
	t.Helper()
	var list []event
	for line := range strings.Lines(text) {
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q in %q", r, line)
			}
		}
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		var e event
		if err := d.Decode(&e); err != nil || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("%v: %q", err, line)
		}
		if _, err := time.Parse(time.RFC3339Nano, e.Time); err != nil {
			t.Error(err)
		}
		list = append(list, e)
	}
	return list
}

func TestStream(t *testing.T) {
	t.Parallel()
	out := &collector{}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 3600))
	s := newStream(out, func() time.Time { return at }, maxQueue, maxFlush).begin("1.2.3", "state list")
	s.Hosts([]string{"a", "b", "c"})
	s.Report(engine.Progress{Host: "a", Stage: engine.Connecting})
	s.Report(engine.Progress{Host: "a", Stage: engine.Planned})
	s.Plan(engine.Counts{Create: 1, Unchanged: 2})
	s.Report(engine.Progress{Host: "a", Stage: engine.StepStarted, Address: "a/file.x", Summary: "write \x1b\u202e<x>", Total: 2})
	s.Report(engine.Progress{Host: "a", Stage: engine.NotApplied, Err: errors.New("two\nlines")})
	s.Report(engine.Progress{Host: "a", Stage: engine.Noted, Summary: "noted"})
	s.Report(engine.Progress{Host: "b", Stage: engine.Unplanned})
	if err := s.Close(1, errors.New("why")); err != nil {
		t.Fatal(err)
	}
	s.Report(engine.Progress{Host: "late", Stage: engine.Planned})
	want := `{"seq":1,"time":"2026-01-02T02:04:05.006Z","type":"start","format_version":"1.2","version":"1.2.3","command":"state list"}
{"seq":2,"time":"2026-01-02T02:04:05.006Z","type":"hosts","hosts":["a","b","c"]}
{"seq":3,"time":"2026-01-02T02:04:05.006Z","type":"connecting","host":"a"}
{"seq":4,"time":"2026-01-02T02:04:05.006Z","type":"planned","host":"a"}
{"seq":5,"time":"2026-01-02T02:04:05.006Z","type":"plan","changes":{"create":1,"update":0,"delete":0,"replace":0,"unchanged":2}}
{"seq":6,"time":"2026-01-02T02:04:05.006Z","type":"step-started","host":"a","address":"a/file.x","summary":"write \u001b\u202e<x>","done":0,"total":2}
{"seq":7,"time":"2026-01-02T02:04:05.006Z","type":"not-applied","host":"a","error":"two\nlines"}
{"seq":8,"time":"2026-01-02T02:04:05.006Z","type":"noted","host":"a","summary":"noted"}
{"seq":9,"time":"2026-01-02T02:04:05.006Z","type":"unplanned","host":"b"}
{"seq":10,"time":"2026-01-02T02:04:05.006Z","type":"result","error":"why","changes":{"create":1,"update":0,"delete":0,"replace":0,"unchanged":2},"host_counts":{"not-applied":1,"not-started":1,"unplanned":1},"exit_status":1}
`
	if got := out.String(); got != want || !out.closed {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	lines(t, out.String())
}

func TestNone(t *testing.T) {
	t.Parallel()
	var s *Stream
	s.Hosts([]string{"a"})
	s.Report(engine.Progress{})
	s.Plan(engine.Counts{})
	if err := s.Close(0, nil); err != nil {
		t.Error(err)
	}
}

// gate lets a write through when it is told to.
type gate struct {
	collector
	entered, open chan struct{}
}

func (g *gate) Write(b []byte) (int, error) {
	g.entered <- struct{}{}
	<-g.open
	return g.collector.Write(b)
}

// TestSlowReader sees that reports do not wait for a reader, that what is left out is counted, and that the last event comes all the same.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const limit, reports = 50, 400
	g := &gate{entered: make(chan struct{}, 10), open: make(chan struct{})}
	s := newStream(g, time.Now, limit, maxFlush).begin("v", "apply")
	<-g.entered // the first event is being written, and stays so
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range reports / 4 {
				s.Report(engine.Progress{Host: "a", Stage: engine.StepDone, Total: 1})
			}
		})
	}
	all.Wait()
	g.open <- struct{}{}
	<-g.entered // what the queue held is being written
	s.Report(engine.Progress{Host: "a", Stage: engine.Applied})
	for range reports {
		s.Report(engine.Progress{Host: "a", Stage: engine.StepDone, Total: 1})
	}
	close(g.open)
	if err := s.Close(0, nil); err != nil {
		t.Fatal(err)
	}
	seq, lost := 0, 0
	list := lines(t, g.String())
	for _, e := range list {
		seq += max(e.Lost, 1)
		lost += e.Lost
		if e.Seq != seq {
			t.Fatalf("%+v, want number %d", e, seq)
		}
	}
	if want := reports*2 - limit*2 + 1; lost != want || list[len(list)-1].Type != typeResult || seq != reports*2+3 {
		t.Errorf("%d lost, want %d; %d in all; the last is %+v", lost, want, seq, list[len(list)-1])
	}
}

// TestStuckReader sees that a reader that takes nothing does not keep the program for ever.
func TestStuckReader(t *testing.T) {
	t.Parallel()
	g := &gate{entered: make(chan struct{}, 10), open: make(chan struct{})}
	s := newStream(g, time.Now, 10, time.Millisecond).begin("v", "apply")
	<-g.entered
	if err := s.Close(0, nil); err == nil || !strings.Contains(err.Error(), "did not read") {
		t.Errorf("got %v", err)
	}
	close(g.open)
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

// full is a disk that is.
type full struct{ closeErr error }

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
func (f full) Close() error            { return f.closeErr }

func TestWriteFails(t *testing.T) {
	t.Parallel()
	for _, w := range []io.WriteCloser{full{}, full{syscall.EIO}} {
		s := NewStream(w, "v", "plan")
		for range 100 {
			s.Report(engine.Progress{Host: "a", Stage: engine.Planned})
		}
		if err := s.Close(0, nil); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("old"), 0o600), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for destination, want := range map[string]string{
		"":                            "empty",
		pipe:                          "start the reader first",
		filepath.Join(dir, "no", "x"): "no such file",
		dir:                           "is a directory",
		"fd:":                         "as in fd:3",
		"fd:2":                        "as in fd:3",
		"fd:x":                        "as in fd:3",
		"fd:65000":                    "not open when mirrorform started",
	} {
		if _, err := Open(destination); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", destination, err, want)
		}
	}
	s := func(destination string) {
		t.Helper()
		w, err := Open(destination)
		if err != nil {
			t.Fatal(err)
		}
		if err := NewStream(w, "v", "plan").Close(0, nil); err != nil {
			t.Error(err)
		}
	}
	s(file)
	text, err := os.ReadFile(file)
	if list := lines(t, string(text)); err != nil || len(list) != 2 {
		t.Errorf("%v: %s", err, text)
	}
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s(pipe)
	text, err = io.ReadAll(reader)
	if list := lines(t, string(text)); err != nil || len(list) != 2 {
		t.Errorf("%v: %s", err, text)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	out := &collector{}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newStream(out, func() time.Time { return at }, maxQueue, maxFlush).begin("1.2.3", "sync")
	s.Hosts([]string{"a", "b"})
	bytes := int64(7)
	s.Sync(syncs.Event{Stage: syncs.HostUnsynced, Host: "b", Err: errors.New("far \x1b")})
	s.Sync(syncs.Event{Stage: syncs.Started, Host: "a", Mirror: "almalinux"})
	s.Sync(syncs.Event{Stage: syncs.InProgress, Host: "a", Mirror: "almalinux", Transfer: &syncs.Transfer{Phase: "syncing", Bytes: 1, Total: 4, Speed: 3}})
	s.Sync(syncs.Event{Stage: syncs.InProgress, Host: "a", Mirror: "almalinux", Transfer: &syncs.Transfer{Phase: "starting"}})
	s.Sync(syncs.Event{Stage: syncs.HostSynced, Host: "a"})
	s.Sync(syncs.Event{Stage: syncs.Done, Host: "a", Mirror: "almalinux", Record: &syncs.Record{Start: 1, End: 2, By: "sync", Bytes: &bytes}})
	if err := s.Close(1, nil); err != nil {
		t.Fatal(err)
	}
	var none *Stream
	none.Sync(syncs.Event{Stage: syncs.Started, Host: "a", Mirror: "m"})
	want := []string{
		`"type":"not-synced","host":"b","error":"far \u001b"}`,
		`"type":"sync-started","host":"a","mirror":"almalinux"}`,
		`"type":"sync-progress","host":"a","mirror":"almalinux","transfer":{"phase":"syncing","bytes":1,"total_bytes":4,"percent":25,"bytes_per_second":3}}`,
		`"type":"sync-progress","host":"a","mirror":"almalinux","transfer":{"phase":"starting","bytes":0,"percent":0}}`,
		`"type":"synced","host":"a"}`,
		`"type":"sync-done","host":"a","mirror":"almalinux","record":{"start":1,"end":2,"exit":0,"by":"sync","bytes":7,"files":null,"size":null,"available":null}}`,
		`"type":"result","host_counts":{"not-synced":1,"synced":1},"exit_status":1}`,
	}
	got := strings.Split(out.String(), "\n")[2:]
	for i, line := range want {
		if !strings.HasSuffix(got[i], line) {
			t.Errorf("got %s, want %s", got[i], line)
		}
	}
	lines(t, out.String())
}
