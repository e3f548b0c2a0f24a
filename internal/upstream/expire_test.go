//go:build unix

package upstream

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// expirer ends requests as their time limit would, at once and only those that a server does not
// answer: no test depends on how fast the machine is.
type expirer struct {
	mu      sync.Mutex
	pending map[pending][]*deadline
}

// deadline is a context with a deadline that a test lets come.
type deadline struct {
	context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	late   bool
}

// Err is that of a deadline if it came.
func (e *deadline) Err() error {
	err := e.Context.Err()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil && e.late {
		return context.DeadlineExceeded
	}
	return err
}

// expiring makes the time limits of a fake's requests those of an expirer.
func expiring(f *fake) *expirer {
	e := &expirer{pending: map[pending][]*deadline{}}
	f.tune = func(v *Verifier) {
		v.pace.pause = time.Millisecond
		v.within = e.within
	}
	return e
}

func (e *expirer) within(ctx context.Context, _ time.Duration, p pending) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	one := &deadline{Context: ctx, cancel: cancel}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pending[p] = append(e.pending[p], one)
	return one, cancel
}

// stall does not answer a request, so that its time ends, and waits until the client is gone.
func (e *expirer) stall(r *http.Request) {
	e.expire(r)
	<-r.Context().Done()
}

// expire ends the time of the requests that this one can be.
func (e *expirer) expire(r *http.Request) {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	f, scheme := ipv6, "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if netip.MustParseAddrPort(local.String()).Addr().Unmap().Is4() {
		f = ipv4
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range []family{0, f} {
		for _, one := range e.pending[pending{r.UserAgent(), scheme, r.URL.Path, f}] {
			one.mu.Lock()
			one.late = true
			one.mu.Unlock()
			one.cancel()
		}
	}
}
