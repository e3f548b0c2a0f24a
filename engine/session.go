package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Both sides send a Beat every beatInterval. A host that sends nothing for silenceLimit counts as
// lost.
const (
	beatInterval = 5 * time.Second
	silenceLimit = 30 * time.Second
)

// ErrLost is the error of a connection that ended before the answer came: it is not known whether
// the request was performed.
var ErrLost = errors.New("connection lost")

// Session is a connection to one host's helper. It carries one exchange at a time.
type Session struct {
	// Hello is the greeting of the helper: the host's facts, which are never nil, and the manifest and
	// the lock's holder at that time.
	Hello wire.Hello
	// Secrets are hidden in error texts from the host. Set it before the first exchange.
	Secrets *Secrets

	conn     io.ReadWriteCloser
	sending  chan struct{} // holds a token while a frame is sent
	exchange sync.Mutex
	received chan received
	stop     chan struct{}
	closing  sync.Once
	nextID   int
	longest  time.Duration // time limit of the slowest operation, or undo, of the transaction

	exchanging atomic.Pointer[exchange] // the current exchange
	heard      atomic.Int64             // when the last byte arrived, in nanoseconds since the epoch
}

type received struct {
	message *wire.Message
	err     error
}

// NewNonce returns a new random value for Hello, in hex.
func NewNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// NewSession returns a session on a connection after both sides sent Hello. hello is the helper's.
func NewSession(conn io.ReadWriteCloser, hello *wire.Hello) (*Session, error) {
	if hello.Facts == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the helper sent no facts")
	}
	if err := checkHello(hello); err != nil {
		_ = conn.Close()
		return nil, err
	}
	s := &Session{Hello: *hello, conn: conn, sending: make(chan struct{}, 1), received: make(chan received), stop: make(chan struct{})}
	go s.read()
	go s.beat()
	return s, nil
}

// Close closes the session, which ends the helper on the host.
func (s *Session) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.stop)
		err = s.conn.Close()
	})
	return err
}

// read passes on received messages until the first error, which the waiting exchange receives.
func (s *Session) read() {
	for {
		m, err := wire.ReadWithin(listener{s}, s.room)
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
	frame, err := wire.Frame(&wire.Message{Beat: &wire.Beat{}})
	if err != nil {
		return // cannot happen: the message has a few bytes
	}
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.sendFrame(frame) != nil {
				return
			}
		case <-s.stop:
			return
		}
	}
}

func (s *Session) sendFrame(frame []byte) error {
	select {
	case s.sending <- struct{}{}:
	case <-s.stop:
		return ErrLost
	}
	defer func() { <-s.sending }()
	if _, err := s.conn.Write(frame); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

// clip limits the length of a text from a host, for an error.
func clip(s string) string {
	const most = 4 << 10
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Ask sends all questions in one message and returns their answers.
func (s *Session) Ask(ctx context.Context, queries []wire.Query) (answers Answers, err error) {
	if len(queries) == 0 {
		return NewAnswers(nil, nil)
	}
	s.exchange.Lock()
	defer s.exchange.Unlock()
	ask := &wire.Ask{Queries: queries}
	x, err := s.begin(fmt.Sprintf("%d questions", len(queries)), ask.Time(), ask.Room(), &wire.Message{Ask: ask})
	if err != nil {
		return Answers{}, err
	}
	defer x.end(&err)
	m, err := x.next(ctx)
	if err != nil {
		return Answers{}, err
	}
	if m.Answers == nil {
		return Answers{}, errors.New("the helper sent no answers")
	}
	x.complete = true
	// Without a fingerprint, an operation on the path would not check what it expects.
	for _, a := range m.Answers.Answers {
		if a.File != nil && a.File.Fingerprint == "" {
			return Answers{}, errors.New("the helper sent an answer about a path without its fingerprint")
		}
		if n := longestWord(a.File); n > mostWord {
			return Answers{}, fmt.Errorf("the helper sent %d bytes as an owner, target or fingerprint of a file, more "+
				"than the limit of %d",
				n, mostWord)
		}
	}
	return NewAnswers(queries, m.Answers.Answers)
}

// Begin takes the host's lock and makes the helper finish what an earlier transaction left behind.
// waiting receives the holder while the lock is not free.
func (s *Session) Begin(ctx context.Context, b wire.Begin, waiting func(wire.Holder)) (begun *wire.Begun, err error) {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	s.longest = 0
	wait := time.Duration(b.Wait) * time.Second
	limit := wait + beginTime
	if s.Hello.Holder != nil || s.Hello.Unfinished != nil {
		limit = wait + recoverTime
	}
	x, err := s.begin("the request for the host's lock", limit, wire.RoomForManifest, &wire.Message{Begin: &b})
	if err != nil {
		return nil, err
	}
	defer x.end(&err)
	if begun, err = s.awaitBegun(ctx, x, b.Wait, waiting); err != nil {
		return nil, err
	}
	if begun.ID == "" && begun.Held == nil && (begun.Recovered == nil || len(begun.Recovered.Errors) == 0) {
		return nil, errors.New("the helper began a transaction without an ID")
	}
	return begun, nil
}

// awaitBegun waits until the host's lock is taken, or was not free for wait seconds.
func (s *Session) awaitBegun(ctx context.Context, x *exchange, wait int, waiting func(wire.Holder)) (*wire.Begun, error) {
	for reports := 0; ; {
		m, err := x.next(ctx)
		switch {
		case err != nil:
			return nil, err
		case m.Waiting != nil:
			if reports++; reports > 16+wait {
				return nil, errors.New("the helper reports too often that it waits for the lock")
			}
			if reports == 1 { // the holder may leave a transaction that must be rolled back
				x.allow(time.Duration(wait)*time.Second + recoverTime)
			}
			waiting(m.Waiting.Holder)
		case m.Begun != nil:
			x.complete = true
			return m.Begun, nil
		default:
			return nil, errMisplaced
		}
	}
}

// Do performs orders and reports each event. Event IDs, and Done.Failed if set, are indexes into
// do.Ops. An error means that the outcome is not known.
func (s *Session) Do(ctx context.Context, do wire.Do, report func(wire.Event)) (*wire.Done, error) {
	base := s.nextID
	s.nextID += len(do.Ops)
	renumbered := make([]wire.Order, len(do.Ops))
	for i, o := range do.Ops {
		o.ID = base + i
		renumbered[i] = o
	}
	do.Ops = renumbered
	s.longest = max(s.longest, do.Time())
	done, err := s.finish(ctx, "the request to perform steps", s.longest, &wire.Message{Do: &do}, base, report)
	if err != nil {
		return nil, err
	}
	if done.Failed != nil {
		i := *done.Failed - base
		if i < 0 || i >= len(do.Ops) {
			return nil, fmt.Errorf("the helper reports that operation %d failed, which was not sent to it", *done.Failed)
		}
		done.Failed = &i
	}
	return done, nil
}

// Rollback rolls back all operations since Begin. The IDs of its events count the operations of
// this connection.
func (s *Session) Rollback(ctx context.Context, report func(wire.Event)) (*wire.Done, error) {
	return s.finish(ctx, "the request to roll back", max(s.longest, commitTime), &wire.Message{Rollback: &wire.Rollback{}}, 0, report)
}

// Confirm confirms a transaction that another session has open.
func (s *Session) Confirm(ctx context.Context, id, nonce string) error {
	done, err := s.finish(ctx, "the confirmation", commitTime, &wire.Message{Confirm: &wire.Confirm{ID: id, Nonce: nonce}}, 0, func(wire.Event) {})
	if err == nil && done.Error != "" {
		err = fmt.Errorf("the host rejects the confirmation: %q", clip(done.Error))
	}
	return err
}

// Commit commits the transaction. Done.Error is why it could not. Done.Next is the transaction that
// follows, if c.Next asks for one.
func (s *Session) Commit(ctx context.Context, c wire.Commit, report func(wire.Event)) (*wire.Done, error) {
	done, err := s.finish(ctx, "the request to commit", max(s.longest, commitTime), &wire.Message{Commit: &c}, 0, report)
	switch {
	case err != nil || done.Error != "" || done.Undone:
	case c.Next && done.Next == "":
		return nil, errors.New("the helper began a transaction without an ID")
	case c.Next:
		s.longest = 0
	}
	return done, err
}

var errMisplaced = errors.New("the helper sent a message that is not an answer to this request")

// finish sends an order and reports its events until it is done. each is the time limit of one
// operation. It subtracts base from event IDs.
func (s *Session) finish(ctx context.Context, what string, each time.Duration, order *wire.Message, base int, report func(wire.Event)) (done *wire.Done, err error) {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	x, err := s.begin(what, each, wire.RoomForWords, order)
	if err != nil {
		return nil, err
	}
	defer x.end(&err)
	return s.awaitDone(ctx, x, each, base, report)
}

// awaitDone reports events until an order is done.
func (s *Session) awaitDone(ctx context.Context, x *exchange, each time.Duration, base int, report func(wire.Event)) (*wire.Done, error) {
	events := map[int]int{}
	working := wire.Event{ID: -1}
	x.beat = func(b *wire.Beat) {
		if working.ID >= 0 && b.Files > working.Files { // a host cannot report without end
			working.Files = b.Files
			report(working)
		}
	}
	for {
		m, err := x.next(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case m.Event != nil:
			e := *m.Event
			if e.ID < 0 || e.ID >= s.nextID {
				return nil, fmt.Errorf("the helper reports on operation %d, which was not sent to it", e.ID)
			}
			// An operation starts, ends and is rolled back. A host that reports more could keep the session
			// busy without end.
			if events[e.ID]++; events[e.ID] > 3 {
				return nil, fmt.Errorf("the helper reports on operation %d too often", e.ID)
			}
			x.allow(each)
			e.ID -= base
			e.Error, e.Said, e.Output = clip(e.Error), clip(e.Said), clip(e.Output)
			if working = (wire.Event{ID: -1}); e.State == wire.Started {
				working = wire.Event{ID: e.ID, State: wire.Working}
			}
			report(e)
		case m.Done != nil:
			x.complete = true
			return m.Done, nil
		default:
			return nil, errMisplaced
		}
	}
}
