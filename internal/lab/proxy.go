package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy is a TCP proxy on the loopback interface that behaves like a bad
// network: it delays, throttles, cuts and swallows. All settings may be
// changed at any time, concurrently, and act on open connections too.
type Proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context // ended by Close
	stop     context.CancelFunc
	wait     sync.WaitGroup

	mu          sync.Mutex
	up, down    time.Duration // delays
	rate        int           // bytes a second in each direction, 0 is unlimited
	cut         int64         // bytes until the cut, negative is never
	swallow     bool
	sent, got   int64
	connections int
	open        map[*net.TCPConn]bool
}

// NewProxy starts a proxy to target ("host:port") on a free port of the
// loopback interface. Close ends it.
func NewProxy(target string) (*Proxy, error) {
	if _, _, err := net.SplitHostPort(target); err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a proxy to %s: %w", target, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{target: target, listener: listener, ctx: ctx, stop: stop, cut: -1, open: map[*net.TCPConn]bool{}}
	p.wait.Go(p.serve)
	return p, nil
}

// Addr returns the proxy's address, "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Delay sets how long bytes to the target (up) and back (down) are under way.
// A new connection takes one round trip to open, as in a real network.
func (p *Proxy) Delay(up, down time.Duration) { p.set(func() { p.up, p.down = up, down }) }

// Rate limits each direction of each connection to so many bytes a second; 0
// lifts the limit.
func (p *Proxy) Rate(bytesPerSecond int) { p.set(func() { p.rate = max(0, bytesPerSecond) }) }

// CutAfter resets all connections (TCP RST) when n more bytes have passed,
// over all connections and in both directions together. It does so once: later
// connections pass. With n = 0 it resets at the next byte; negative n takes
// the setting back.
func (p *Proxy) CutAfter(n int64) { p.set(func() { p.cut = n }) }

// Swallow makes the proxy take all bytes and ends of connections without
// passing them on, as a network does that drops every packet. What is
// swallowed is lost.
func (p *Proxy) Swallow() { p.set(func() { p.swallow = true }) }

// Resume ends Swallow for new connections; old ones may have lost bytes.
func (p *Proxy) Resume() { p.set(func() { p.swallow = false }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// Bytes returns how many bytes were passed to the target and back so far.
func (p *Proxy) Bytes() (up, down int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent, p.got
}

// Connections returns how many connections were accepted so far.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections
}

// Close resets all connections and ends the proxy; it returns when nothing of
// it runs any more.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.Reset()
	p.wait.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("ending a proxy: %w", err)
	}
	return nil
}

// Reset resets all connections at once (TCP RST).
func (p *Proxy) Reset() {
	p.set(p.dropAll)
}

// dropAll is Reset for a caller that holds mu.
func (p *Proxy) dropAll() {
	for conn := range p.open {
		p.drop(conn)
	}
}

// drop resets a connection; the caller holds mu.
func (p *Proxy) drop(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // makes Close send a reset
	_ = conn.Close()
	delete(p.open, conn)
}

// adopt enters a connection for Reset, unless the proxy has ended.
func (p *Proxy) adopt(conn net.Conn) (*net.TCPConn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	tcp, ok := conn.(*net.TCPConn)
	if !ok || p.ctx.Err() != nil {
		_ = conn.Close()
		return nil, false
	}
	p.open[tcp] = true
	return tcp, true
}

func (p *Proxy) serve() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		client, ok := p.adopt(conn)
		if !ok {
			return
		}
		p.mu.Lock()
		p.connections++
		p.mu.Unlock()
		p.wait.Go(func() { p.connect(client) })
	}
}

// connect opens the way to the target and passes bytes until both directions
// have ended.
func (p *Proxy) connect(client *net.TCPConn) {
	p.mu.Lock()
	trip := p.up + p.down
	p.mu.Unlock()
	defer p.set(func() { p.drop(client) })
	if !p.sleep(trip) {
		return
	}
	conn, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		return // the client sees a reset
	}
	server, ok := p.adopt(conn)
	if !ok {
		return
	}
	defer p.set(func() { p.drop(server) })
	var both sync.WaitGroup
	both.Go(func() { p.pass(client, server, true) })
	both.Go(func() { p.pass(server, client, false) })
	both.Wait()
	// Both directions have ended in order, so close in order.
	p.set(func() {
		for _, conn := range []*net.TCPConn{client, server} {
			if p.open[conn] {
				_ = conn.Close()
				delete(p.open, conn)
			}
		}
	})
}

// chunk is a piece of a stream and when it arrives; empty data is its end.
type chunk struct {
	data []byte
	due  time.Time
}

// queueLimit is how far a throttled link may be behind, as the buffers of
// routers allow, before the sender has to wait.
const queueLimit = 200 * time.Millisecond

// pass moves one direction of a connection. Reading goes on while chunks are
// under way, so that a delay does not lower the throughput.
func (p *Proxy) pass(from, to *net.TCPConn, up bool) {
	chunks := make(chan chunk, 1024)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(chunks)
		var free time.Time // when the link has sent what it took
		for {
			buffer := make([]byte, p.bufferSize())
			n, err := from.Read(buffer)
			w := p.weather(up)
			now := time.Now()
			if free.Before(now) {
				free = now
			}
			if w.rate > 0 {
				free = free.Add(time.Duration(n) * time.Second / time.Duration(w.rate))
			}
			if n > 0 && !w.swallow {
				chunks <- chunk{buffer[:n], free.Add(w.delay)}
			}
			if errors.Is(err, io.EOF) && !w.swallow {
				chunks <- chunk{nil, free.Add(w.delay)}
			} else if err != nil && !w.swallow {
				p.dropBoth(from, to)
			}
			if err != nil || !p.sleep(free.Sub(now)-queueLimit) {
				return
			}
		}
	})
	failed := false
	for c := range chunks { // to the end, or the reader could not end
		if !failed && (!p.sleep(time.Until(c.due)) || !p.write(to, c.data, up)) {
			failed = true
			p.dropBoth(from, to)
		}
	}
	reader.Wait()
	if p.weather(up).swallow {
		<-p.ctx.Done() // the other side must not see an end
	}
}

func (p *Proxy) dropBoth(a, b *net.TCPConn) {
	p.set(func() {
		p.drop(a)
		p.drop(b)
	})
}

// bufferSize keeps chunks small when the rate is low, so that it is even.
func (p *Proxy) bufferSize() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate > 0 {
		return min(32<<10, max(1, p.rate/50))
	}
	return 32 << 10
}

// weather is what a direction of the proxy is like at the moment.
type weather struct {
	delay   time.Duration
	rate    int
	swallow bool
}

func (p *Proxy) weather(up bool) weather {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := weather{p.down, p.rate, p.swallow}
	if up {
		w.delay = p.up
	}
	return w
}

// write passes data or an end on, unless it is swallowed, up to the cut; it
// reports whether the connection is still good.
func (p *Proxy) write(to *net.TCPConn, data []byte, up bool) bool {
	p.mu.Lock()
	if p.swallow || !p.open[to] {
		defer p.mu.Unlock()
		return p.swallow
	}
	cut := p.cut >= 0 && int64(len(data)) > p.cut
	if cut {
		data = data[:p.cut]
	}
	if p.cut >= 0 {
		p.cut -= int64(len(data))
	}
	if up {
		p.sent += int64(len(data))
	} else {
		p.got += int64(len(data))
	}
	p.mu.Unlock()
	if len(data) == 0 && !cut {
		_ = to.CloseWrite() // an end; if the peer is gone, so much the better
		return true
	}
	_, err := to.Write(data)
	if cut {
		p.set(func() {
			p.cut = -1
			p.dropAll()
		})
	}
	return err == nil && !cut
}

// sleep waits and reports whether the proxy is still up.
func (p *Proxy) sleep(d time.Duration) bool {
	if d <= 0 {
		return p.ctx.Err() == nil
	}
	select {
	case <-p.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
