// Package events writes what happens in a run as JSON lines, for other programs to read while it goes on. docs/events.md describes the format.
package events

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// Format is the version of the format. Additions raise the second number, everything else the first.
const Format = "1.1"

const (
	// maxQueue is how many events wait for a slow reader. Those that come when there are more are counted, and left out.
	maxQueue = 10_000
	// maxFlush is how long the end of a run waits for a reader that takes nothing.
	maxFlush = 10 * time.Second
)

// The types of the events that are not stages of a host.
const (
	typeStart  = "start"
	typeHosts  = "hosts"
	typePlan   = "plan"
	typeLost   = "lost"
	typeResult = "result"
)

// notStarted is what a host of the run ends as of which nothing was heard.
const notStarted = "not-started"

// event is one line. Which fields are there depends on the type.
type event struct {
	Seq  int    `json:"seq"`
	Time string `json:"time"`
	Type string `json:"type"`

	FormatVersion string   `json:"format_version,omitempty"` // start
	Version       string   `json:"version,omitempty"`        // start
	Command       string   `json:"command,omitempty"`        // start
	Hosts         []string `json:"hosts,omitempty"`          // hosts

	Host    string `json:"host,omitempty"`
	Address string `json:"address,omitempty"`
	Summary string `json:"summary,omitempty"`
	Done    *int   `json:"done,omitempty"`
	Total   *int   `json:"total,omitempty"`
	Error   string `json:"error,omitempty"`

	Mirror   string        `json:"mirror,omitempty"`   // those of a sync
	Transfer *transfer     `json:"transfer,omitempty"` // sync-progress
	Record   *syncs.Record `json:"record,omitempty"`   // sync-done, sync-failed

	Changes    *changes       `json:"changes,omitempty"`     // plan, result
	HostCounts map[string]int `json:"host_counts,omitempty"` // result
	ExitStatus *int           `json:"exit_status,omitempty"` // result
	Lost       int            `json:"lost,omitempty"`        // lost
}

type changes struct {
	Create    int `json:"create"`
	Update    int `json:"update"`
	Delete    int `json:"delete"`
	Replace   int `json:"replace"`
	Unchanged int `json:"unchanged"`
}

// Stream writes events. Its methods may be called by several goroutines at once; none but Close waits for the reader. A nil Stream takes events and writes
// none.
type Stream struct {
	w     io.WriteCloser
	now   func() time.Time
	limit int           // maxQueue
	flush time.Duration // maxFlush

	mu      sync.Mutex
	queue   []event
	lost    int // events left out since the queue was taken
	seq     int
	closed  bool
	changes *changes
	ended   map[string]string // how far each host is
	wake    chan struct{}
	done    chan error
}

// NewStream returns a Stream to w, which it will close, and writes the event that every stream begins with. version is mirrorform's.
func NewStream(w io.WriteCloser, version, command string) *Stream {
	return newStream(w, time.Now, maxQueue, maxFlush).begin(version, command)
}

func newStream(w io.WriteCloser, now func() time.Time, limit int, flush time.Duration) *Stream {
	return &Stream{
		w: w, now: now, limit: limit, flush: flush,
		ended: map[string]string{}, wake: make(chan struct{}, 1), done: make(chan error, 1),
	}
}

func (s *Stream) begin(version, command string) *Stream {
	s.add(event{Type: typeStart, FormatVersion: Format, Version: version, Command: command})
	go s.write()
	return s
}

// add puts an event into the queue; no lock is held. The last event of a stream finds room always.
func (s *Stream) add(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.seq++
	if len(s.queue) >= s.limit && e.Type != typeResult {
		s.lost++
		return
	}
	s.queue = append(s.queue, s.stamp(e, s.seq))
	s.closed = e.Type == typeResult
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// stamp gives an event its number and the time.
func (s *Stream) stamp(e event, seq int) event {
	e.Seq, e.Time = seq, s.now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return e
}

// Hosts tells which hosts the run is about.
func (s *Stream) Hosts(names []string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	for _, n := range names {
		s.ended[n] = notStarted
	}
	s.mu.Unlock()
	s.add(event{Type: typeHosts, Hosts: names})
}

// Report takes in what an engine.Fleet reports.
func (s *Stream) Report(p engine.Progress) {
	if s == nil {
		return
	}
	e := event{Type: string(p.Stage), Host: p.Host, Address: p.Address, Summary: p.Summary}
	if p.Total > 0 {
		e.Done, e.Total = &p.Done, &p.Total
	}
	if p.Err != nil {
		e.Error = p.Err.Error()
	}
	if p.Stage != engine.Noted && p.Stage != engine.Waiting {
		s.mu.Lock()
		s.ended[p.Host] = e.Type
		s.mu.Unlock()
	}
	s.add(e)
}

// Plan tells what a plan comes to.
func (s *Stream) Plan(c engine.Counts) {
	if s == nil {
		return
	}
	counts := changes{c.Create, c.Update, c.Delete, c.Replace, c.Unchanged}
	s.mu.Lock()
	s.changes = &counts
	s.mu.Unlock()
	s.add(event{Type: typePlan, Changes: &counts})
}

// Close writes the last event, and waits until all are written, but no longer than 10 s for a reader that takes nothing. err is why the command failed, where
// that is not about a host; it may be nil. The error says that not all events were written.
func (s *Stream) Close(exitStatus int, err error) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	counts := map[string]int{}
	for stage := range maps.Values(s.ended) {
		counts[stage]++
	}
	e := event{Type: typeResult, ExitStatus: &exitStatus, Changes: s.changes, HostCounts: counts}
	s.mu.Unlock()
	if err != nil {
		e.Error = err.Error()
	}
	s.add(e)
	timer := time.NewTimer(s.flush)
	defer timer.Stop()
	select {
	case err := <-s.done:
		return err
	case <-timer.C:
		return errors.New("events: the reader does not read: the last events were not written")
	}
}

// write writes what is in the queue until the stream ends. After an error the rest is dropped.
func (s *Stream) write() {
	var failed error
	for range s.wake {
		s.mu.Lock()
		batch, lost, seq, closed := s.queue, s.lost, s.seq, s.closed
		s.queue, s.lost = nil, 0
		if lost > 0 {
			// They came after those in the queue, but for the last event of all.
			e := s.stamp(event{Type: typeLost, Lost: lost}, seq)
			if closed {
				e.Seq--
				batch = append(batch[:len(batch)-1], e, batch[len(batch)-1])
			} else {
				batch = append(batch, e)
			}
		}
		s.mu.Unlock()
		if failed == nil {
			failed = s.writeBatch(batch)
		}
		if closed {
			s.done <- errors.Join(failed, s.close())
			return
		}
	}
}

func (s *Stream) close() error {
	if err := s.w.Close(); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	return nil
}

func (s *Stream) writeBatch(batch []event) error {
	var b bytes.Buffer
	for i := range batch {
		line, err := plain.JSON(batch[i])
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	if _, err := s.w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	return nil
}
