package lab_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// echo serves a TCP echo until the test ends, and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wait.Wait()
	})
	return listener.Addr().String()
}

func newProxy(t *testing.T, target string) *lab.Proxy {
	t.Helper()
	p, err := lab.NewProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, p *lab.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// exchange sends data with an end and returns all that comes back.
func exchange(t *testing.T, conn *net.TCPConn, data []byte) ([]byte, error) {
	t.Helper()
	var wait sync.WaitGroup
	wait.Go(func() {
		_, _ = conn.Write(data)
		_ = conn.CloseWrite()
	})
	defer wait.Wait()
	return io.ReadAll(conn)
}

func noise(n int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	_, _ = random.Read(data)
	return data
}

func TestProxyPassesEverything(t *testing.T) {
	t.Parallel()
	target := echo(t)
	for name, prepare := range map[string]func(*lab.Proxy){
		"plain":   func(*lab.Proxy) {},
		"delayed": func(p *lab.Proxy) { p.Delay(20*time.Millisecond, 30*time.Millisecond) },
		"slow":    func(p *lab.Proxy) { p.Rate(4 << 20) },
		"both":    func(p *lab.Proxy) { p.Delay(time.Millisecond, 0); p.Rate(8 << 20) },
		"far cut": func(p *lab.Proxy) { p.CutAfter(1 << 40) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, target)
			prepare(p)
			data := noise(2<<20 + 17)
			var wait sync.WaitGroup
			for range 3 {
				conn := dial(t, p)
				wait.Go(func() {
					got, err := exchange(t, conn, data)
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("%d of %d bytes came back, %v", len(got), len(data), err)
					}
				})
			}
			wait.Wait()
			if up, down := p.Bytes(); up != 3*int64(len(data)) || down != up || p.Connections() != 3 {
				t.Errorf("counted %d and %d bytes, %d connections", up, down, p.Connections())
			}
		})
	}
}

// Only lower bounds hold on a busy machine.
func TestProxyTakesTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(*lab.Proxy)
		size    int
		least   time.Duration
	}{
		// One round trip to connect, one for the bytes.
		"delay": {func(p *lab.Proxy) { p.Delay(30*time.Millisecond, 50*time.Millisecond) }, 1, 160 * time.Millisecond},
		"rate":  {func(p *lab.Proxy) { p.Rate(100_000) }, 50_000, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, echo(t))
			test.prepare(p)
			begin := time.Now()
			data := noise(test.size)
			got, err := exchange(t, dial(t, p), data)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes came back, %v", len(got), err)
			}
			if took := time.Since(begin); took < test.least {
				t.Errorf("took %s, less than %s", took, test.least)
			}
		})
	}
}

func TestProxyCutAfter(t *testing.T) {
	t.Parallel()
	target := echo(t)
	for _, n := range []int64{0, 1, 1000, 70_000} {
		p := newProxy(t, target)
		other := dial(t, p) // idle, cut all the same
		if _, err := other.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(other, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		p.CutAfter(n)
		conn := dial(t, p)
		_, err := exchange(t, conn, noise(200_000))
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %d bytes: %v, want a reset", n, err)
		}
		if up, down := p.Bytes(); up+down != n+2 {
			t.Errorf("%d bytes passed before the cut, want %d", up+down-2, n)
		}
		if _, err := other.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the idle connection: %v, want a reset", err)
		}
		if got, err := exchange(t, dial(t, p), []byte("again")); err != nil || string(got) != "again" {
			t.Errorf("after the cut: %q, %v", got, err)
		}
	}
}

func TestProxySwallow(t *testing.T) {
	t.Parallel()
	p := newProxy(t, echo(t))
	conn := dial(t, p)
	echoed := make([]byte, 3)
	if _, err := conn.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, echoed); err != nil {
		t.Fatal(err)
	}
	p.Swallow()
	late := dial(t, p)
	for name, c := range map[string]*net.TCPConn{"open": conn, "new": late} {
		if _, err := c.Write([]byte("two")); err != nil {
			t.Errorf("%s connection: writing: %v", name, err)
		}
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if n, err := c.Read(echoed); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s connection: read %d bytes, %v; want silence", name, n, err)
		}
	}
	p.Resume()
	if got, err := exchange(t, dial(t, p), []byte("three")); err != nil || string(got) != "three" {
		t.Errorf("after Resume: %q, %v", got, err)
	}
}

func TestProxyEnds(t *testing.T) {
	t.Parallel()
	t.Run("target refuses", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		target := listener.Addr().String()
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", newProxy(t, target).Addr())
		if err == nil { // the reset may come before the dial has ended
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
	})
	t.Run("close", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, echo(t))
		p.Delay(time.Hour, time.Hour)
		conn := dial(t, p)
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the connection outlived the proxy")
		}
	})
	t.Run("bad target", func(t *testing.T) {
		t.Parallel()
		if p, err := lab.NewProxy("nowhere"); err == nil {
			_ = p.Close()
			t.Error("a target without a port was taken")
		}
	})
}
