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

// Proxy is a TCP proxy on the loopback interface that simulates a bad network: it delays,
// throttles, cuts and swallows. All settings may be changed at any time, also concurrently, and
// apply to open connections too.
type Proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context // cancelled by Close
	stop     context.CancelFunc
	wait     sync.WaitGroup

	mu          sync.Mutex
	up, down    time.Duration // delays
	rate        int           // bytes per second in each direction; 0 is unlimited
	cut         int64         // bytes until the cut; negative is never
	swallow     bool
	sent, got   int64
	connections int
	open        map[*net.TCPConn]bool
}

// NewProxy starts a proxy to target ("host:port") on a free port of the loopback interface. Close
// ends it.
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

// Delay sets the delay of bytes to the target (up) and from it (down). Opening a connection takes
// one round trip, as in a real network.
func (p *Proxy) Delay(up, down time.Duration) { p.set(func() { p.up, p.down = up, down }) }

// Rate limits each direction of each connection to this many bytes per second. 0 removes the limit.
func (p *Proxy) Rate(bytesPerSecond int) { p.set(func() { p.rate = max(0, bytesPerSecond) }) }

// CutAfter resets all connections (TCP RST) after n more bytes, counted over all connections and
// both directions. It does so once; later connections are not affected. 0 resets at the next byte.
// A negative n disables it.
func (p *Proxy) CutAfter(n int64) { p.set(func() { p.cut = n }) }

// Swallow makes the proxy discard all bytes and ends of connections, like a network that drops
// every packet. Discarded bytes are lost.
func (p *Proxy) Swallow() { p.set(func() { p.swallow = true }) }

// Resume ends Swallow. It is meant for new connections, since open ones may have lost bytes.
func (p *Proxy) Resume() { p.set(func() { p.swallow = false }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// Bytes returns the number of bytes passed to the target and back.
func (p *Proxy) Bytes() (up, down int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent, p.got
}

// Connections returns the number of accepted connections.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections
}

// Close resets all connections and ends the proxy. It waits for all goroutines of the proxy.
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

// Reset resets all connections (TCP RST).
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

// adopt registers a connection for Reset, unless the proxy has ended.
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

// connect connects to the target and passes bytes until both directions have ended.
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
	// Both directions have ended regularly, so close without a reset.
	p.set(func() {
		for _, conn := range []*net.TCPConn{client, server} {
			if p.open[conn] {
				_ = conn.Close()
				delete(p.open, conn)
			}
		}
	})
}

// chunk is a piece of a stream with its arrival time. Empty data is the end of the stream.
type chunk struct {
	data []byte
	due  time.Time
}

// queueLimit is the longest queue of a throttled link before the sender has to wait. It stands for
// the buffers of routers.
const queueLimit = 200 * time.Millisecond

// pass moves the bytes of one direction. It keeps reading while chunks are delayed, so that a delay
// does not reduce the throughput.
func (p *Proxy) pass(from, to *net.TCPConn, up bool) {
	chunks := make(chan chunk, 1024)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(chunks)
		var free time.Time // when the link has sent all bytes so far
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
	for c := range chunks { // receive all chunks, since the reader blocks otherwise
		if !failed && (!p.sleep(time.Until(c.due)) || !p.write(to, c.data, up)) {
			failed = true
			p.dropBoth(from, to)
		}
	}
	reader.Wait()
	if p.weather(up).swallow {
		<-p.ctx.Done() // do not close the connection, so that the other side sees no end
	}
}

func (p *Proxy) dropBoth(a, b *net.TCPConn) {
	p.set(func() {
		p.drop(a)
		p.drop(b)
	})
}

// bufferSize returns the size of chunks: small for a low rate, so that the flow is even.
func (p *Proxy) bufferSize() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate > 0 {
		return min(32<<10, max(1, p.rate/50))
	}
	return 32 << 10
}

// weather has the current settings for one direction.
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

// write passes data or the end of a stream on, unless it is swallowed, up to the cut. It reports
// whether the connection is still usable.
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
		_ = to.CloseWrite() // ignore the error of a peer that has already closed
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

// sleep waits, and reports whether the proxy is still open.
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
