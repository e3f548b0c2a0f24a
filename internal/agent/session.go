package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

var (
	errSilent  = errors.New("the controller was silent for 30s")
	errCut     = errors.New("the connection ended in the middle of a message")
	errGone    = errors.New("the connection to the controller was lost")
	errStopped = errors.New("the helper was stopped")
)

// session is one connection.
type session struct {
	in      io.Reader
	out     *outbox
	host    *host
	version string
	nonce   string // see Options
	silence time.Duration
	beat    time.Duration

	digested chan struct{} // closed once digest is set
	digest   string

	heard    atomic.Int64 // when the last byte arrived, in nanoseconds since the epoch
	messages chan received
	greeted  bool
	// present ends after silence or when the helper is stopped. alive also ends with the input, though
	// messages that arrived before that are still handled.
	present, alive context.Context
	leave, lose    context.CancelCauseFunc // end them

	tx           *transaction       // nil: none is open
	past         *wire.Done         // the result of the last transaction, if it was rolled back
	confirmation *wire.Confirmation // what the open transaction has to be confirmed with
	late         <-chan time.Time   // fires when the confirmation is overdue
	after        func(time.Duration) <-chan time.Time

	// Tests that feed arbitrary messages set harmless functions here.
	answer  func(context.Context, []wire.Query) []wire.Answer
	perform func(job) error
}

// received is a message, or the error that ends the messages.
type received struct {
	message *wire.Message
	err     error
}

func newSession(in io.Reader, out io.Writer, o Options) *session {
	h := newHost(o.stateDir())
	s := &session{
		out: newOutbox(out), host: h, version: o.Version, nonce: o.Nonce, silence: silence, beat: beat,
		digested: make(chan struct{}), messages: make(chan received, 4), after: time.After,
	}
	s.present, s.leave = context.WithCancelCause(context.Background())
	s.alive, s.lose = context.WithCancelCause(s.present)
	s.in = listener{in, &s.heard}
	s.answer = h.answer
	return s
}

// listener records when data arrives.
type listener struct {
	io.Reader
	heard *atomic.Int64
}

func (l listener) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// digestSelf computes the digest of the running executable while the controller's Hello is under
// way.
func (s *session) digestSelf() {
	defer close(s.digested)
	if e := self(); e != nil {
		s.digest, _ = e.digest() // the controller refuses a helper without a digest
	}
}

func (s *session) serve(ctx context.Context) error {
	s.heard.Store(time.Now().UnixNano())
	s.out.raw([]byte(wire.Preamble))
	go s.read()
	go s.watch(ctx)

	var err error
	if s.nonce != "" {
		err = s.hello(&wire.Hello{Protocol: wire.Protocol, Nonce: s.nonce})
	}
	if err == nil {
		err = s.loop()
	}
	if s.tx != nil {
		// The controller may still be connected and wait for the result: keep it waiting.
		stop := s.sendBeats()
		s.rollBackOpen()
		stop()
	}
	s.out.close(2 * time.Second)
	s.leave(errStopped)
	return err
}

// read receives messages until the input ends.
func (s *session) read() {
	for {
		m, err := wire.Read(s.in)
		if err != nil {
			s.lose(errGone)
		} else if m.Beat != nil {
			continue
		}
		select {
		case s.messages <- received{m, err}:
		case <-s.present.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// watch ends the session when the controller is silent.
func (s *session) watch(ctx context.Context) {
	for {
		why := errSilent
		left := s.silence - time.Since(time.Unix(0, s.heard.Load()))
		if left > 0 {
			select {
			case <-time.After(left):
				continue
			case <-s.present.Done():
				return
			case <-ctx.Done():
				why = errStopped
			}
		}
		s.lose(why)
		s.leave(why)
		return
	}
}

func (s *session) loop() error {
	for {
		select {
		case r := <-s.messages:
			err := r.err
			if err == nil {
				err = s.handle(r.message)
			}
			switch {
			case err == nil:
				continue
			case errors.Is(err, io.EOF):
				return nil
			case errors.Is(err, io.ErrUnexpectedEOF):
				return errCut
			}
			if s.tx != nil {
				stop := s.sendBeats()
				s.rollBackOpen()
				stop()
			}
			_ = s.send(&wire.Message{Failure: &wire.Failure{Message: printable(err.Error())}})
			return err
		case <-s.late:
			s.overdue()
		case <-s.present.Done():
			return context.Cause(s.present)
		}
	}
}

// handle obeys one message. An error ends the connection.
func (s *session) handle(m *wire.Message) error {
	stop := s.sendBeats()
	defer stop()
	switch {
	case m.Hello != nil:
		return s.hello(m.Hello)
	case !s.greeted:
		return errors.New("the first message must be hello")
	case m.Ask != nil:
		answers := s.answer(s.alive, m.Ask.Queries)
		s.awaitConfirmation()
		return s.send(&wire.Message{Answers: &wire.Answers{Answers: answers}})
	case m.Begin != nil:
		return s.begin(m.Begin)
	case m.Do != nil:
		return s.send(&wire.Message{Done: s.do(m.Do)})
	case m.Rollback != nil:
		return s.send(&wire.Message{Done: s.rollback()})
	case m.Commit != nil:
		return s.send(&wire.Message{Done: s.commit(m.Commit)})
	case m.Confirm != nil:
		done := &wire.Done{}
		if err := guard(func() error { return s.host.confirm(m.Confirm) }); err != nil {
			done.Error = printable(err.Error())
		}
		return s.send(&wire.Message{Done: done})
	}
	return errors.New("unknown type of message: replace the helper")
}

func (s *session) hello(h *wire.Hello) error {
	if h.Protocol != wire.Protocol {
		return fmt.Errorf("protocol mismatch: the helper speaks version %d and the controller version %d: replace the helper",
			wire.Protocol, h.Protocol)
	}
	if len(h.Nonce) > 256 {
		return errors.New("the nonce is too long")
	}
	<-s.digested
	s.greeted = true
	own := &wire.Hello{
		Protocol: wire.Protocol, Nonce: h.Nonce, Version: s.version, SHA256: s.digest, Facts: &s.host.facts,
		Boot: firstLine("/proc/sys/kernel/random/boot_id"),
	}
	manifest, err := s.host.state.readManifest()
	if own.Manifest = manifest; err != nil {
		own.Unread = printable(err.Error())
	}
	if who := s.host.lock.held(); who != nil {
		own.Holder = &who.Holder
	} else {
		own.Unfinished = s.host.state.unfinished()
	}
	return s.send(&wire.Message{Hello: own})
}

// sendBeats sends beats until stop is called.
func (s *session) sendBeats() (stop func()) {
	end := make(chan struct{})
	go func() {
		due := time.NewTicker(s.beat)
		defer due.Stop()
		for {
			select {
			case <-due.C:
				_ = s.send(&wire.Message{Beat: &wire.Beat{Files: s.host.labelled.files.Load()}})
			case <-end:
				return
			}
		}
	}()
	return func() { close(end) }
}

// send queues a message. It fails only for a message that is too large.
func (s *session) send(m *wire.Message) error {
	b, err := wire.Frame(m)
	if err == nil {
		s.out.raw(b)
	}
	return err
}

// outbox writes in the background, so that operations never wait for a controller that does not
// read.
type outbox struct {
	w       io.Writer
	mu      sync.Mutex
	frames  [][]byte
	wake    chan struct{} // holds one token when there is something to write
	closed  bool
	drained chan struct{}
}

func newOutbox(w io.Writer) *outbox {
	o := &outbox{w: w, wake: make(chan struct{}, 1), drained: make(chan struct{})}
	go o.run()
	return o
}

func (o *outbox) raw(frame []byte) {
	o.mu.Lock()
	o.frames = append(o.frames, frame)
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) run() {
	defer close(o.drained)
	for range o.wake {
		o.mu.Lock()
		frames, closed := o.frames, o.closed
		o.frames = nil
		o.mu.Unlock()
		for _, f := range frames {
			if _, err := o.w.Write(f); err != nil {
				// The controller is gone, which the input shows as well: the running operation continues
				// without output.
				o.w = io.Discard
			}
		}
		if closed {
			return
		}
	}
}

// close waits until everything is written, but no longer than patience.
func (o *outbox) close(patience time.Duration) {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.signal()
	select {
	case <-o.drained:
	case <-time.After(patience):
	}
}

// guard turns a panic into an error, so that a bug in one answer or operation is reported and does
// not end the helper.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := make([]byte, 4096)
			err = &failure{message: fmt.Sprintf("bug in the helper: %v", p), output: string(stack[:runtime.Stack(stack, false)])}
		}
	}()
	return f()
}
