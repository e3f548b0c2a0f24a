package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// timeoutError is the error of a stage that exceeded its time limit.
type timeoutError struct {
	stage   string
	limit   time.Duration
	printed string // the host's output so far, quoted, or ""
	hint    string // the likely cause, or ""
}

func (e *timeoutError) Error() string {
	text := fmt.Sprintf("timed out after %v while %s", e.limit, e.stage)
	if e.printed != "" {
		text += "; the host printed " + e.printed
	}
	if e.hint != "" {
		text += "; " + e.hint
	}
	return text
}

// Is makes errors.Is(err, ErrTimeout) true.
func (e *timeoutError) Is(target error) bool { return target == ErrTimeout }

// guard limits the duration of each stage of a connection: it cancels a context when a stage
// exceeds its limit. The clock stops while the user is asked.
type guard struct {
	cancel  context.CancelCauseFunc
	regular time.Duration // the limit of ordinary stages

	// ended, if not nil, is called at the end of each stage with its duration.
	ended func(stage string, took time.Duration)

	mu     sync.Mutex
	stage  string
	began  time.Time
	limit  time.Duration
	paused int
	asked  bool // the user was asked
	timer  *time.Timer
}

func newGuard(regular time.Duration, cancel context.CancelCauseFunc) *guard {
	g := &guard{cancel: cancel, regular: regular, limit: regular}
	g.timer = time.AfterFunc(regular, g.expire)
	return g
}

// enter starts a stage with the ordinary limit.
func (g *guard) enter(stage string) { g.enterFor(stage, g.regular) }

// enterFor starts a stage with its own limit.
func (g *guard) enterFor(stage string, limit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endStage()
	g.stage, g.limit = stage, limit
	if g.paused == 0 {
		g.timer.Reset(limit)
	}
}

// endStage reports the end of the current stage. The caller holds g.mu.
func (g *guard) endStage() {
	now := time.Now()
	if g.ended != nil && g.stage != "" {
		g.ended(g.stage, now.Sub(g.began))
	}
	g.stage, g.began = "", now
}

// pause stops the clock while the user is asked. resume restarts it with the stage's full limit.
func (g *guard) pause() (resume func()) {
	g.mu.Lock()
	g.asked = true
	g.mu.Unlock()
	return g.hold()
}

// hold stops the clock like pause, for waits that have their own time limit.
func (g *guard) hold() (resume func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused++
	g.timer.Stop()
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.paused--; g.paused == 0 {
			g.timer.Reset(g.limit)
		}
	}
}

// hasAsked reports whether the user was asked since the last call.
func (g *guard) hasAsked() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.asked
	g.asked = false
	return asked
}

func (g *guard) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused == 0 {
		g.cancel(&timeoutError{stage: g.stage, limit: g.limit})
	}
}

// stop ends the guard.
func (g *guard) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endStage()
	g.paused = 1 // makes an expire that already runs do nothing
	g.timer.Stop()
}

// watchedConn records when bytes last arrived, and why it was closed.
type watchedConn struct {
	net.Conn
	start   time.Time
	arrived atomic.Int64 // nanoseconds after start
	cause   atomic.Pointer[error]

	greeted  atomic.Bool // the greeting is complete
	mu       sync.Mutex
	greeting []byte // sent before the key exchange: lines of text, then the version (RFC 4253, 4.2)
}

// maxGreeting is how many bytes of text in a greeting are kept.
const maxGreeting = 4 << 10

func watch(c net.Conn) *watchedConn { return &watchedConn{Conn: c, start: time.Now()} }

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.arrived.Store(int64(time.Since(c.start)))
		if !c.greeted.Load() {
			c.greet(b[:n])
		}
	}
	return n, err
}

// greet keeps the start of the server's output.
func (c *watchedConn) greet(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greeting = append(c.greeting, b...)
	text, version := splitGreeting(c.greeting)
	c.greeted.Store(strings.HasSuffix(version, "\n") || len(text) > maxGreeting)
}

// greetedWith returns the text before the server's version, and the version; "" if missing.
func (c *watchedConn) greetedWith() (text, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, version = splitGreeting(c.greeting)
	return strings.TrimSpace(text), strings.TrimSpace(version)
}

// splitGreeting splits a greeting at the line that starts with SSH-.
func splitGreeting(greeting []byte) (text, version string) {
	for line := range strings.Lines(string(greeting)) {
		if strings.HasPrefix(line, "SSH-") {
			return text, line
		}
		text += line
	}
	return text, ""
}

// silence returns the time since the last byte arrived.
func (c *watchedConn) silence() time.Duration {
	return time.Since(c.start) - time.Duration(c.arrived.Load())
}

// closeFor closes the connection. lost reports the first cause that is not nil.
func (c *watchedConn) closeFor(cause error) {
	if cause != nil {
		c.cause.CompareAndSwap(nil, &cause)
	}
	_ = c.Close()
}

// lost returns why this side closed the connection, or nil.
func (c *watchedConn) lost() error {
	if p := c.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// keepAlive sends keepalive requests to a silent host, and closes the connection if no answer
// comes. It returns when done is closed.
func (c *watchedConn) keepAlive(client gossh.Conn, interval, limit time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(max(min(interval, limit)/3, time.Millisecond))
	defer tick.Stop()
	var asking atomic.Bool
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		idle := c.silence()
		switch {
		case idle >= limit:
			c.closeFor(fmt.Errorf("connection lost: no data from the host for %v", limit))
			return
		case idle >= interval && asking.CompareAndSwap(false, true):
			// Any answer will do, also a refusal. SendRequest may block until the connection ends.
			go func() {
				defer asking.Store(false)
				_, _, _ = client.SendRequest("keepalive@openssh.com", true, nil)
			}()
		}
	}
}

// errClosed is the error of a Link after Close.
var errClosed = errors.New("the connection is closed")
