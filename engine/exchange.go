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

// LateError is the error of a helper that did not answer in time although its beats arrived. A beat
// shows that the helper runs, not that it makes progress.
type LateError struct {
	What  string        // what was asked: "5 questions"
	Limit time.Duration // how long it took
}

func (e *LateError) Error() string {
	return fmt.Sprintf("the helper did not answer %s within %v, though the connection is alive: "+
		"an operation on the host hangs, or the helper is not mirrorform's. "+
		"List the processes on the host with `ps -ef --forest`, then run the command again",
		e.What, e.Limit.Round(time.Second))
}

const (
	// grace is added to the helper's own limits: it covers the network and a busy host.
	grace = 30 * time.Second
	// slowest is the speed of the slowest supported connection, in bytes per second.
	slowest = 8 << 10
	// beginTime is added to the time that Begin waits for the lock. recoverTime replaces it where an
	// earlier transaction may have to be rolled back first, with all its packages.
	beginTime   = 10 * time.Minute
	recoverTime = 2 * time.Hour
	// commitTime is the limit of Commit and Confirm, which write files.
	commitTime = 10 * time.Minute
)

// exchange is one request to a helper and its answer.
type exchange struct {
	s     *Session
	what  string
	room  int   // bytes of memory that one message may take
	moved int64 // bytes sent; arrived counts the bytes of the message being received

	arrived atomic.Int64
	limit   atomic.Int64 // nanoseconds since began
	began   time.Time
	ended   chan struct{}
	expired atomic.Bool
	beat    func(*wire.Beat) // what receives beats; may be nil
	// complete is set when the last message has arrived.
	complete bool
}

// begin starts an exchange with these limits of time and memory, and sends its message.
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

// allow extends the exchange: it may take this long from now on.
func (x *exchange) allow(limit time.Duration) {
	x.limit.Store(int64(time.Since(x.began) + limit + grace))
}

// left returns the remaining time. Bytes sent and received extend it by what the slowest connection
// needs, but received bytes count only up to twice the expected size: a host cannot extend an
// exchange without end.
func (x *exchange) left() time.Duration {
	bytes := x.moved + min(x.arrived.Load(), 2*int64(x.room))
	return time.Duration(x.limit.Load()) + time.Duration(bytes)*time.Second/slowest - time.Since(x.began)
}

// watch closes the session when the time is up, so that a blocked send or receive returns an error.
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

// end ends the exchange. If it is not complete, end closes the session: a late message must not be
// taken for the answer to the next request.
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

// next returns the next message that is not a Beat.
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
				return nil, fmt.Errorf("%w: nothing received for %v", ErrLost, silenceLimit)
			}
			silence.Reset(silenceLimit - quiet) // a long message is being received
		case r := <-s.received:
			switch {
			case errors.Is(r.err, wire.ErrFrame):
				return nil, fmt.Errorf("the helper does not speak the protocol: its answer to %s is invalid: %w", x.what, r.err)
			case r.err != nil:
				return nil, fmt.Errorf("%w: %w", ErrLost, r.err)
			case r.message.Failure != nil:
				return nil, fmt.Errorf("the helper gave up: %q", clip(s.Secrets.Hide(r.message.Failure.Message)))
			case r.message.Beat != nil:
				silence.Reset(silenceLimit)
				x.arrived.Store(0) // these bytes were not part of an answer
				if x.beat != nil {
					x.beat(r.message.Beat)
				}
			default:
				s.Secrets.hideIn(r.message)
				return r.message, nil
			}
		}
	}
}

// listener records when bytes arrive, and how many.
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

// room returns how much memory the next message may take.
func (s *Session) room() int {
	if x := s.exchanging.Load(); x != nil {
		return x.room
	}
	return wire.RoomForBeat
}

// mostWord limits every single value from a host that plans and messages repeat. A path has at most
// 4095 bytes, see PATH_MAX.
const mostWord = 8 << 10

// longestWord returns the length of the longest value of a path's answer that plans repeat.
func longestWord(f *wire.File) int {
	if f == nil {
		return 0
	}
	return max(len(f.Kind), len(f.Owner), len(f.Group), len(f.Target), len(f.SHA256), len(f.Fingerprint))
}

// checkHello limits the values of a greeting, since configurations can use them anywhere.
func checkHello(h *wire.Hello) error {
	const mostWords = 64
	f := h.Facts
	words := append([]string{h.Version, h.SHA256, h.Boot, f.Hostname, f.MachineID, f.Arch, f.Kernel, f.Username, f.Packages,
		f.OS.ID, f.OS.Name, f.OS.Version, f.OS.Family}, f.OS.IDLike[:min(len(f.OS.IDLike), mostWords)]...)
	for _, w := range words {
		if len(w) > mostWord {
			return fmt.Errorf("a fact in the helper's greeting has %d bytes, more than the limit of %d; it begins with %q",
				len(w), mostWord, strings.ToValidUTF8(w[:40], ""))
		}
	}
	if len(f.OS.IDLike) > mostWords {
		return fmt.Errorf("the helper's greeting lists %d similar systems (ID_LIKE), more than the limit of %d",
			len(f.OS.IDLike), mostWords)
	}
	return nil
}
