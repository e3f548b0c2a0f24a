package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/internal/wire"
)

// Both sides send a Beat every beatInterval; a host from which nothing came for silenceLimit is lost.
const (
	beatInterval = 5 * time.Second
	silenceLimit = 45 * time.Second
)

// ErrLost is the error of a connection that ended before the answer came: what was ordered may or may not have been done.
var ErrLost = errors.New("connection lost")

// Session is a conversation with one host's helper. It carries one exchange at a time.
type Session struct {
	Facts wire.Facts

	conn     io.ReadWriteCloser
	sending  sync.Mutex
	exchange sync.Mutex
	received chan received
	stop     chan struct{}
	closing  sync.Once
	nextID   int
}

type received struct {
	message *wire.Message
	err     error
}

// NewNonce returns a fresh random value for Hello, in hexadecimal digits.
func NewNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// NewSession takes over a connection on which both sides have said Hello; hello is the helper's.
func NewSession(conn io.ReadWriteCloser, hello *wire.Hello) (*Session, error) {
	if hello.Facts == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the helper sent no facts")
	}
	s := &Session{Facts: *hello.Facts, conn: conn, received: make(chan received), stop: make(chan struct{})}
	go s.read()
	go s.beat()
	return s, nil
}

// Close ends the session; the helper on the host ends with it.
func (s *Session) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.stop)
		err = s.conn.Close()
	})
	return err
}

// read hands on what arrives. It ends with the first error, which everyone who still waits gets.
func (s *Session) read() {
	for {
		m, err := wire.Read(s.conn)
		select {
		case s.received <- received{m, err}:
		case <-s.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *Session) beat() {
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.send(&wire.Message{Beat: &wire.Beat{}}) != nil {
				return
			}
		case <-s.stop:
			return
		}
	}
}

func (s *Session) send(m *wire.Message) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := wire.Write(s.conn, m); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

// next waits for the next message that is no Beat.
func (s *Session) next(ctx context.Context) (*wire.Message, error) {
	silence := time.NewTimer(silenceLimit)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.stop:
			return nil, ErrLost
		case <-silence.C:
			return nil, fmt.Errorf("%w: nothing came for %v", ErrLost, silenceLimit)
		case r := <-s.received:
			switch {
			case errors.Is(r.err, wire.ErrFrame):
				return nil, fmt.Errorf("the helper does not speak the protocol: %w", r.err)
			case r.err != nil:
				return nil, fmt.Errorf("%w: %w", ErrLost, r.err)
			case r.message.Failure != nil:
				return nil, fmt.Errorf("the helper gave up: %q", clip(r.message.Failure.Message))
			case r.message.Beat != nil:
				silence.Reset(silenceLimit)
			default:
				return r.message, nil
			}
		}
	}
}

// clip bounds what a host said, for an error.
func clip(s string) string {
	const most = 4 << 10
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Ask puts all questions in one message and returns the answers to them.
func (s *Session) Ask(ctx context.Context, queries []wire.Query) (Answers, error) {
	if len(queries) == 0 {
		return NewAnswers(nil, nil)
	}
	s.exchange.Lock()
	defer s.exchange.Unlock()
	if err := s.send(&wire.Message{Ask: &wire.Ask{Queries: queries}}); err != nil {
		return Answers{}, err
	}
	m, err := s.next(ctx)
	if err != nil {
		return Answers{}, err
	}
	if m.Answers == nil {
		return Answers{}, errors.New("the helper sent no answers")
	}
	// Without a fingerprint an operation would not be checked for what it expects.
	for _, a := range m.Answers.Answers {
		if a.File != nil && a.File.Fingerprint == "" {
			return Answers{}, errors.New("the helper sent what is at a path without its fingerprint")
		}
	}
	return NewAnswers(queries, m.Answers.Answers)
}

// Do performs orders, whose IDs are indexes into the slice given, and reports each event. It returns the index of the one that failed, or -1.
// An error means that the outcome is not known.
func (s *Session) Do(ctx context.Context, orders []wire.Order, report func(wire.Event)) (failed int, err error) {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	base := s.nextID
	s.nextID += len(orders)
	renumbered := make([]wire.Order, len(orders))
	for i, o := range orders {
		o.ID = base + i
		renumbered[i] = o
	}
	if err := s.send(&wire.Message{Do: &wire.Do{Ops: renumbered}}); err != nil {
		return -1, err
	}
	return s.follow(ctx, base, len(orders), report)
}

// Undo takes back the operations of the last Do that were done, in reverse order.
func (s *Session) Undo(ctx context.Context, orders int, report func(wire.Event)) (failed int, err error) {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	base := s.nextID - orders
	ids := make([]int, orders)
	for i := range ids {
		ids[i] = base + i
	}
	if err := s.send(&wire.Message{Undo: &wire.Undo{IDs: ids}}); err != nil {
		return -1, err
	}
	return s.follow(ctx, base, orders, report)
}

// follow reports the events of an order until it is done.
func (s *Session) follow(ctx context.Context, base, n int, report func(wire.Event)) (failed int, err error) {
	for {
		m, err := s.next(ctx)
		if err != nil {
			return -1, err
		}
		switch {
		case m.Event != nil:
			e := *m.Event
			e.ID -= base
			if e.ID < 0 || e.ID >= n {
				return -1, fmt.Errorf("the helper reports on operation %d, which was not ordered", m.Event.ID)
			}
			e.Error, e.Output = clip(e.Error), clip(e.Output)
			report(e)
		case m.Done != nil:
			if m.Done.Failed == nil {
				return -1, nil
			}
			return *m.Done.Failed - base, nil
		default:
			return -1, errors.New("the helper sent a message that does not belong here")
		}
	}
}
