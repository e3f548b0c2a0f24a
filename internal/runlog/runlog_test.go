package runlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// story is what happens on two hosts, each event one millisecond and a half after the last one.
func story(l *Log, tick func()) {
	l.Stage("fra1", "authenticating", 12345*time.Microsecond)
	for _, p := range []engine.Progress{
		{Host: "fra1", Stage: engine.Connecting},
		{Host: "fra1", Stage: engine.Connected},
		{Host: "fra1", Stage: engine.Waiting, Summary: "waiting for the lock: bob"},
		{Host: "fra1", Stage: engine.Begun},
		{Host: "ams1", Stage: engine.Connecting},
		{Host: "fra1", Stage: engine.Noted, Summary: "taken back\nfirst"},
		{Host: "fra1", Stage: engine.Observing},
		{Host: "fra1", Stage: engine.Planned},
		{Host: "ams1", Stage: engine.Unplanned, Err: errors.New("no \x1b\u202eroute")},
		{Host: "fra1", Stage: engine.StepStarted, Address: "fra1/file.x", Summary: "create /x", Total: 2},
		{Host: "fra1", Stage: engine.StepDone, Address: "fra1/file.x", Summary: "create /x", Done: 1, Total: 2},
		{Host: "fra1", Stage: engine.StepStarted, Address: "fra1/file.y", Summary: "create /y", Done: 1, Total: 2},
		{Host: "fra1", Stage: engine.StepFailed, Address: "fra1/file.y", Summary: "create /y", Done: 1, Total: 2, Err: errors.New("disk full")},
		{Host: "fra1", Stage: engine.StepUndone, Address: "fra1/file.x", Summary: "create /x", Done: 1, Total: 2},
		{Host: "fra1", Stage: engine.UndoneFailed, Address: "fra1/file.x", Summary: "create /x", Done: 1, Total: 2, Err: errors.New("disk full")},
		{Host: "fra1", Stage: engine.NotApplied, Err: errors.New("disk full")},
		{Host: "fra1", Stage: engine.Confirming, Done: 2, Total: 2},
		{Host: "fra1", Stage: engine.Committing, Done: 2, Total: 2},
		{Host: "fra1", Stage: engine.Applied},
		{Host: "new", Stage: "something-new"},
	} {
		tick()
		l.Report(p)
	}
	l.Frame("fra1", engine.NewFrame(&wire.Message{Hello: &wire.Hello{Protocol: 1, Nonce: "secret", Manifest: []byte("secret")}}))
	l.Frame("fra1", engine.Frame{Sent: true, Kind: "ask", Size: 9, Took: 2 * time.Millisecond, Fields: []engine.FrameField{{Name: "queries", Size: 5, Items: 2}}})
}

func tell(asJSON bool, level slog.Level) string {
	var b bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := newLog(&b, asJSON, level, func() time.Time { return at })
	story(l, func() { at = at.Add(1500 * time.Microsecond) })
	return b.String()
}

const wantText = `time=2026-01-02T03:04:05.000Z level=INFO msg=connection host=fra1 stage=authenticating took_ms=12.35
time=2026-01-02T03:04:05.003Z level=INFO msg=connected host=fra1 took_ms=1.5
time=2026-01-02T03:04:05.004Z level=INFO msg=waiting host=fra1 summary="waiting for the lock: bob"
time=2026-01-02T03:04:05.006Z level=INFO msg="lock taken" host=fra1 took_ms=3
time=2026-01-02T03:04:05.009Z level=WARN msg=noted host=fra1 summary="taken back\nfirst"
time=2026-01-02T03:04:05.012Z level=INFO msg="observed and planned" host=fra1 took_ms=1.5
time=2026-01-02T03:04:05.013Z level=ERROR msg="not planned" host=ams1 took_ms=6 error="no \x1b\u202eroute"
time=2026-01-02T03:04:05.016Z level=INFO msg="step done" host=fra1 address=fra1/file.x summary="create /x" step=1/2 took_ms=1.5
time=2026-01-02T03:04:05.019Z level=ERROR msg="step failed" host=fra1 address=fra1/file.y summary="create /y" step=1/2 took_ms=1.5 error="disk full"
time=2026-01-02T03:04:05.021Z level=WARN msg="rolled back" host=fra1 address=fra1/file.x summary="create /x" step=1/2
time=2026-01-02T03:04:05.022Z level=ERROR msg="could not be rolled back" host=fra1 address=fra1/file.x summary="create /x" step=1/2 error="disk full"
time=2026-01-02T03:04:05.024Z level=ERROR msg="not applied" host=fra1 took_ms=9 error="disk full"
time=2026-01-02T03:04:05.025Z level=INFO msg="all steps done" host=fra1 step=2/2 took_ms=10.5
time=2026-01-02T03:04:05.027Z level=INFO msg="observed again" host=fra1 step=2/2 took_ms=1.5
time=2026-01-02T03:04:05.028Z level=INFO msg=committed host=fra1 took_ms=1.5 apply_ms=13.5
time=2026-01-02T03:04:05.030Z level=INFO msg=something-new host=new
`

const wantTrace = `time=2026-01-02T03:04:05.030Z level=TRACE msg=received host=fra1 kind=hello bytes=67 took_ms=0 fields.manifest="10 bytes" fields.nonce="8 bytes" fields.protocol="1 bytes"
time=2026-01-02T03:04:05.030Z level=TRACE msg=sent host=fra1 kind=ask bytes=9 took_ms=2 fields.queries="2 items, 5 bytes"
`

func TestText(t *testing.T) {
	t.Parallel()
	if got := tell(false, slog.LevelInfo); got != wantText {
		t.Errorf("got\n%swant\n%s", got, wantText)
	}
	if got := tell(false, LevelTrace); got != wantText+wantTrace {
		t.Errorf("got\n%swant\n%s", got, wantText+wantTrace)
	}
	got := tell(false, slog.LevelError)
	if n := strings.Count(got, "\n"); n != strings.Count(got, "level=ERROR") || n != 4 {
		t.Errorf("got\n%s", got)
	}
}

// TestJSON checks that each record of the text is one in JSON, and that nothing could act on a terminal.
func TestJSON(t *testing.T) {
	t.Parallel()
	got := tell(true, LevelTrace)
	n := 0
	for line := range strings.Lines(got) {
		n++
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || record["msg"] == "" || record["host"] == "" {
			t.Errorf("%v: %s", err, line)
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !unicode.IsPrint(r) {
				t.Errorf("%q in %s", r, line)
			}
		}
	}
	if want := strings.Count(wantText+wantTrace, "\n"); n != want {
		t.Errorf("%d records, want %d:\n%s", n, want, got)
	}
	if strings.Contains(got, "secret") {
		t.Errorf("got\n%s", got)
	}
}

func TestNone(t *testing.T) {
	t.Parallel()
	var l *Log
	story(l, func() {})
	if l.Traces() || l.Conn("a", nil) != nil {
		t.Error("no log traces")
	}
}
