// Package runlog logs what is done on each host, and how long it takes, as records of log/slog.
package runlog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// LevelTrace is the level of records about messages between controller and helper.
const LevelTrace = slog.LevelDebug - 4

// Log writes records. Several goroutines may call its methods at once. A nil Log writes nothing.
type Log struct {
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	hosts map[string]*clock
}

// clock has the start times of a host's activities.
type clock struct {
	connecting, stage, step, applying time.Time
}

// New returns a Log that writes records of the given level and above to w, as JSON or as KEY=VALUE
// text. It escapes characters that are not visible.
func New(w io.Writer, asJSON bool, level slog.Level) *Log {
	return newLog(w, asJSON, level, time.Now)
}

func newLog(w io.Writer, asJSON bool, level slog.Level, now func() time.Time) *Log {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: nameTrace}
	var h slog.Handler = slog.NewTextHandler(safe{w, func(b []byte) []byte { return []byte(plain.Escape(string(b))) }}, o)
	if asJSON {
		h = slog.NewJSONHandler(safe{w, plain.VisibleJSON}, o)
	}
	return &Log{logger: slog.New(fixedTime{h, now}), now: now, hosts: map[string]*clock{}}
}

// fixedTime sets the time of records by the Log's clock.
type fixedTime struct {
	slog.Handler
	now func() time.Time
}

func (h fixedTime) Handle(ctx context.Context, r slog.Record) error {
	r.Time = h.now().UTC().Truncate(time.Millisecond)
	return h.Handler.Handle(ctx, r)
}

// nameTrace names LevelTrace, which slog has no name for.
func nameTrace(_ []string, a slog.Attr) slog.Attr {
	if v, ok := a.Value.Any().(slog.Level); ok && v == LevelTrace {
		a.Value = slog.StringValue("TRACE")
	}
	return a
}

// safe escapes characters that could change a terminal: slog's handlers leave some of them.
type safe struct {
	w      io.Writer
	escape func(line []byte) []byte
}

func (s safe) Write(b []byte) (int, error) {
	line := s.escape(bytes.TrimSuffix(b, []byte{'\n'}))
	if _, err := s.w.Write(append(line, '\n')); err != nil {
		return 0, err
	}
	return len(b), nil
}

// took is the attribute of a duration, in milliseconds.
func took(d time.Duration) slog.Attr {
	return millis("took_ms", d)
}

func millis(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Round(10*time.Microsecond))/float64(time.Millisecond))
}

// Stage logs a finished stage of connecting.
func (l *Log) Stage(host, stage string, d time.Duration) {
	if l != nil {
		l.logger.Info("connection", "host", host, "stage", stage, took(d))
	}
}

// Report is an engine.Report that logs events.
func (l *Log) Report(p engine.Progress) {
	if l == nil {
		return
	}
	level, message, attrs := l.record(p, l.now())
	if message == "" {
		return
	}
	all := []slog.Attr{slog.String("host", p.Host)}
	if p.Address != "" {
		all = append(all, slog.String("address", p.Address))
	}
	if p.Summary != "" {
		all = append(all, slog.String("summary", p.Summary))
	}
	if p.Total > 0 {
		all = append(all, slog.String("step", fmt.Sprintf("%d/%d", p.Done, p.Total)))
	}
	all = append(all, attrs...)
	if p.Err != nil {
		all = append(all, slog.Any("error", p.Err))
	}
	l.logger.LogAttrs(context.Background(), level, message, all...)
}

// record updates the host's clock and returns the record to write. An empty message means no
// record.
func (l *Log) record(p engine.Progress, now time.Time) (level slog.Level, message string, attrs []slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.hosts[p.Host]
	if c == nil {
		c = &clock{connecting: now, stage: now}
		l.hosts[p.Host] = c
	}
	since := func(t time.Time) []slog.Attr { return []slog.Attr{took(now.Sub(t))} }
	stage := c.stage
	switch p.Stage {
	case engine.Noted, engine.Waiting, engine.StepStarted, engine.StepProgress, engine.StepDone, engine.StepFailed, engine.StepUndone,
		engine.UndoneFailed:
	default:
		c.stage = now
	}
	switch p.Stage {
	case engine.Connecting:
		c.connecting, c.applying = now, time.Time{}
		return 0, "", nil
	case engine.Observing, engine.StepProgress:
		return 0, "", nil
	case engine.StepStarted:
		c.step = now
		if c.applying.IsZero() {
			c.applying = now
		}
		return 0, "", nil
	case engine.Confirming:
		return slog.LevelInfo, "all steps done", since(c.applying)
	case engine.Committing:
		return slog.LevelInfo, "observed again", since(stage)
	case engine.Applied:
		return slog.LevelInfo, "committed", append(since(stage), millis("apply_ms", now.Sub(c.applying)))
	case engine.Connected, engine.Begun, engine.Planned:
		return slog.LevelInfo, messages[p.Stage], since(stage)
	case engine.StepDone:
		return slog.LevelInfo, "step done", since(c.step)
	case engine.StepFailed:
		return slog.LevelError, "step failed", since(c.step)
	case engine.UndoneFailed:
		return slog.LevelError, "could not be rolled back", nil
	case engine.Unplanned:
		return slog.LevelError, "not planned", since(c.connecting)
	case engine.NotApplied:
		if c.applying.IsZero() {
			c.applying = c.connecting
		}
		return slog.LevelError, "not applied", since(c.applying)
	case engine.StepUndone:
		return slog.LevelWarn, "rolled back", nil
	case engine.Noted:
		return slog.LevelWarn, "noted", nil
	}
	return slog.LevelInfo, string(p.Stage), nil // with Waiting, the summary names the holder of the lock
}

// messages are those of stages that end with a duration.
var messages = map[engine.Stage]string{
	engine.Connected: "connected",
	engine.Begun:     "lock taken",
	engine.Planned:   "observed and planned",
}

// Traces reports whether messages are logged.
func (l *Log) Traces() bool {
	return l != nil && l.logger.Enabled(context.Background(), LevelTrace)
}

// Frame logs a message between controller and helper.
func (l *Log) Frame(host string, f engine.Frame) {
	if !l.Traces() {
		return
	}
	message := "received"
	if f.Sent {
		message = "sent"
	}
	var fields []any
	for _, field := range f.Fields {
		if field.Items >= 0 {
			fields = append(fields, slog.String(field.Name, fmt.Sprintf("%d items, %d bytes", field.Items, field.Size)))
		} else {
			fields = append(fields, slog.String(field.Name, fmt.Sprintf("%d bytes", field.Size)))
		}
	}
	l.logger.LogAttrs(context.Background(), LevelTrace, message,
		slog.String("host", host), slog.String("kind", f.Kind), slog.Int("bytes", f.Size), took(f.Took), slog.Group("fields", fields...))
}

// Conn returns a connection whose messages are logged at LevelTrace.
func (l *Log) Conn(host string, conn io.ReadWriteCloser) io.ReadWriteCloser {
	if !l.Traces() {
		return conn
	}
	return engine.Traced(conn, func(f engine.Frame) { l.Frame(host, f) })
}
