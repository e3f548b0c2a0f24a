// Package events writes the events of a run as JSON lines, for other programs to read while the run
// goes on. docs/events.md describes the format.
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

// Format is the version of the format. Additions increase the second number, other changes the
// first.
const Format = "1.2"

const (
	// maxQueue is how many events wait for a slow reader. Further ones are dropped and counted.
	maxQueue = 10_000
	// maxFlush is how long the end of a run waits for a reader that does not read.
	maxFlush = 10 * time.Second
)

// The types of events other than the stages of a host.
const (
	typeStart  = "start"
	typeHosts  = "hosts"
	typePlan   = "plan"
	typeLost   = "lost"
	typeResult = "result"
)

// notStarted is the final stage of a host that reported none.
const notStarted = "not-started"

// event is one line. Its fields depend on the type.
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
	Files   int64  `json:"files,omitempty"` // step-progress
	Error   string `json:"error,omitempty"`

	Mirror   string        `json:"mirror,omitempty"`   // with events of a sync
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

// Stream writes events. Several goroutines may call its methods at once. Only Close waits for the
// reader. A nil Stream drops all events.
type Stream struct {
	w     io.WriteCloser
	now   func() time.Time
	limit int           // maxQueue
	flush time.Duration // maxFlush

	mu      sync.Mutex
	queue   []event
	lost    int // events dropped since the queue was last taken
	seq     int
	closed  bool
	changes *changes
	ended   map[string]string // by host: the type of its last event
	wake    chan struct{}
	done    chan error
}

// NewStream returns a Stream that writes to w, and starts it with the first event. Close closes w.
// version is the version of mirrorform.
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

// add queues an event. The caller must not hold the lock. The last event of a stream is queued even
// if the queue is full.
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

// stamp sets the number and time of an event.
func (s *Stream) stamp(e event, seq int) event {
	e.Seq, e.Time = seq, s.now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return e
}

// Hosts writes the hosts of the run.
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

// Report is an engine.Report that writes events.
func (s *Stream) Report(p engine.Progress) {
	if s == nil {
		return
	}
	e := event{Type: string(p.Stage), Host: p.Host, Address: p.Address, Summary: p.Summary}
	if p.Total > 0 {
		e.Done, e.Total = &p.Done, &p.Total
	}
	e.Files = p.Files
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

// Plan writes the totals of a plan.
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

// Close writes the last event and waits until all events are written, but not longer than 10
// seconds for a reader that does not read. err is why the command failed, apart from errors of
// hosts; it may be nil. Close returns an error if not all events were written.
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
		return errors.New("events: the reader did not read for 10 seconds: the last events were not written")
	}
}

// write writes queued events until the stream ends. After an error it drops the rest.
func (s *Stream) write() {
	var failed error
	for range s.wake {
		s.mu.Lock()
		batch, lost, seq, closed := s.queue, s.lost, s.seq, s.closed
		s.queue, s.lost = nil, 0
		if lost > 0 {
			// The dropped events came after those in the queue, but before the last event of all.
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
