package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// LateError is the error of a helper that gave no answer within its time, though it said that it
// was alive: a Beat shows that it runs, not that it gets on.
type LateError struct {
	What  string        // was asked of it: "5 questions"
	Limit time.Duration // that it had
}

func (e *LateError) Error() string {
	return fmt.Sprintf("the helper did not answer %s within %v, though its signs of life came: something on the host hangs, or its helper is not mirrorform's. "+
		"See what runs there (ps -ef --forest), and run the command again", e.What, e.Limit.Round(time.Second))
}

const (
	// grace is what an exchange has beyond what the helper permits itself: the way there and back,
	// and a host that is busy.
	grace = 30 * time.Second
	// slowest is what the slowest line carries, in bytes a second.
	slowest = 8 << 10
	// beginTime is what Begin has beyond waiting for the lock. recoverTime is what it has where an
	// earlier transaction may have to be rolled back first, with all its packages.
	beginTime   = 10 * time.Minute
	recoverTime = 2 * time.Hour
	// commitTime is for Commit and Confirm, which write files.
	commitTime = 10 * time.Minute
)

// exchange is one question, order or other thing that is asked of a helper, until it is answered.
type exchange struct {
	s     *Session
	what  string
	room  int   // bytes of memory that a message may take
	moved int64 // bytes that were sent; those of the message that arrives are in arrived

	arrived atomic.Int64
	limit   atomic.Int64 // nanoseconds after began
	began   time.Time
	ended   chan struct{}
	expired atomic.Bool
	// complete says that its last message has come.
	complete bool
}

// begin begins an exchange that has so much time and memory, and sends its message.
func (s *Session) begin(what string, limit time.Duration, room int, m *wire.Message) (*exchange, error) {
	frame, err := wire.Frame(m)
	if err != nil {
		return nil, err
	}
	x := &exchange{s: s, what: what, room: room, moved: int64(len(frame)), began: time.Now(), ended: make(chan struct{})}
	x.allow(limit)
	go x.watch()
	s.exchanging.Store(x)
	if err = s.sendFrame(frame); err != nil {
		x.end(&err)
		return nil, err
	}
	return x, nil
}

// allow gives an exchange so much time from now on.
func (x *exchange) allow(limit time.Duration) {
	x.limit.Store(int64(time.Since(x.began) + limit + grace))
}

// left is how much time there is. What is sent or comes takes as long as on the slowest line, but
// never more than what may come.
func (x *exchange) left() time.Duration {
	bytes := x.moved + min(x.arrived.Load(), 2*int64(x.room))
	return time.Duration(x.limit.Load()) + time.Duration(bytes)*time.Second/slowest - time.Since(x.began)
}

// watch ends the session once there is no time left; whoever sends or waits then has an error.
func (x *exchange) watch() {
	timer := time.NewTimer(x.left())
	defer timer.Stop()
	for {
		select {
		case <-x.ended:
			return
		case <-timer.C:
		}
		left := x.left()
		if left <= 0 {
			x.expired.Store(true)
			_ = x.s.Close()
			return
		}
		timer.Reset(left)
	}
}

// end ends the exchange. Unless it has come to its end, the session ends with it: a late message of
// it must not be taken for one of the next exchange.
func (x *exchange) end(err *error) {
	close(x.ended)
	x.s.exchanging.Store(nil)
	if x.complete {
		return
	}
	_ = x.s.Close()
	if x.expired.Load() && *err != nil {
		*err = &LateError{x.what, time.Since(x.began)}
	}
}

// next waits for the next message that is not a Beat.
func (x *exchange) next(ctx context.Context) (*wire.Message, error) {
	s := x.s
	silence := time.NewTimer(silenceLimit)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.stop:
			return nil, ErrLost
		case <-silence.C:
			quiet := time.Since(time.Unix(0, s.heard.Load()))
			if quiet >= silenceLimit {
				return nil, fmt.Errorf("%w: nothing came for %v", ErrLost, silenceLimit)
			}
			silence.Reset(silenceLimit - quiet) // a long message is on its way
		case r := <-s.received:
			switch {
			case errors.Is(r.err, wire.ErrFrame):
				return nil, fmt.Errorf("the helper does not speak the protocol: its answer to %s is a %w", x.what, r.err)
			case r.err != nil:
				return nil, fmt.Errorf("%w: %w", ErrLost, r.err)
			case r.message.Failure != nil:
				return nil, fmt.Errorf("the helper gave up: %q", clip(s.Secrets.Hide(r.message.Failure.Message)))
			case r.message.Beat != nil:
				silence.Reset(silenceLimit)
				x.arrived.Store(0) // what came was no part of an answer
			default:
				s.Secrets.hideIn(r.message)
				return r.message, nil
			}
		}
	}
}

// listener notes what arrives.
type listener struct{ *Session }

func (l listener) Read(b []byte) (int, error) {
	n, err := l.conn.Read(b)
	if n > 0 {
		l.heard.Store(time.Now().UnixNano())
		if x := l.exchanging.Load(); x != nil {
			x.arrived.Add(int64(n))
		}
	}
	return n, err
}

// room is how much memory the message may take that begins to arrive.
func (s *Session) room() int {
	if x := s.exchanging.Load(); x != nil {
		return x.room
	}
	return wire.RoomForBeat
}

// mostWord is more than the longest word of a host that is repeated: a path has 4095 bytes.
const mostWord = 8 << 10

// longestWord is the length of the longest word of what is at a path. Plans repeat them.
func longestWord(f *wire.File) int {
	if f == nil {
		return 0
	}
	return max(len(f.Kind), len(f.Owner), len(f.Group), len(f.Target), len(f.SHA256), len(f.Fingerprint))
}

// checkHello refuses words of a greeting that are longer than any host's: they are repeated
// wherever a configuration uses them.
func checkHello(h *wire.Hello) error {
	const mostWords = 64
	f := h.Facts
	words := append([]string{h.Version, h.SHA256, h.Boot, f.Hostname, f.MachineID, f.Arch, f.Kernel, f.Username, f.Packages,
		f.OS.ID, f.OS.Name, f.OS.Version, f.OS.Family}, f.OS.IDLike[:min(len(f.OS.IDLike), mostWords)]...)
	for _, w := range words {
		if len(w) > mostWord {
			return fmt.Errorf("a fact in the helper's greeting has %d bytes, more than the limit of %d; it begins with %q", len(w), mostWord, strings.ToValidUTF8(w[:40], ""))
		}
	}
	if len(f.OS.IDLike) > mostWords {
		return fmt.Errorf("the helper's greeting has %d names of systems that the host is like, more than the limit of %d", len(f.OS.IDLike), mostWords)
	}
	return nil
}
