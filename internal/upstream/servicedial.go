package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// dialError is an error of making a connection, which is not tried again unless it took too long.
type dialError struct {
	err  error
	late bool
	host string // that the certificate is for
}

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dial connects to a host as the service does, which prefers IPv6: to its addresses one by one,
// beginning with the next when one fails or does not answer at once.
func (c *serviceClient) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.v.pace.connect)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &dialError{err: err}
	}
	var lists [2][]netip.Addr
	for i, f := range []family{ipv6, ipv4} {
		found, failed := c.v.lookup(ctx, f, host)
		if err = errors.Join(err, failed); host == c.host {
			found = c.permitted(ctx, host, found)
		}
		lists[i] = found
	}
	var addrs []netip.Addr
	for i := range max(len(lists[0]), len(lists[1])) {
		for _, list := range lists {
			if i < len(list) {
				addrs = append(addrs, list[i])
			}
		}
	}
	if len(addrs) == 0 {
		return nil, &dialError{err: cmp.Or(err, fmt.Errorf("the name %q has no addresses", host))}
	}
	conn, err := c.race(ctx, host, port, addrs)
	if err != nil {
		return nil, &dialError{err: err, late: ctx.Err() != nil}
	}
	return conn, nil
}

// race connects to the first address that answers.
func (c *serviceClient) race(ctx context.Context, host, port string, addrs []netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn net.Conn
		err  error
	}
	outcomes := make(chan outcome)
	next, running := 0, 0
	start := func() {
		to := net.JoinHostPort(addrs[next].String(), port)
		next, running = next+1, running+1
		go func() {
			d := net.Dialer{Control: c.control(host)}
			conn, err := d.DialContext(ctx, "tcp", to)
			select {
			case outcomes <- outcome{conn, err}:
			case <-ctx.Done():
				if conn != nil {
					_ = conn.Close()
				}
			}
		}()
	}
	start()
	var errs []error
	for {
		var later <-chan time.Time
		if next < len(addrs) {
			later = time.After(c.v.pace.stagger)
		}
		select {
		case o := <-outcomes:
			if o.err == nil {
				return o.conn, nil
			}
			errs = append(errs, o.err)
			if running--; next < len(addrs) {
				start()
			} else if running == 0 {
				return nil, errors.Join(errs...)
			}
		case <-later:
			start()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// control refuses connections to special addresses, unless the mirror is at one.
func (c *serviceClient) control(host string) func(string, string, syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		a := addressOf(address)
		kind := c.v.special(a)
		if kind == "" || host == c.host || c.v.given(host) {
			return nil
		}
		for _, f := range []family{ipv4, ipv6} {
			own, _ := c.v.lookup(context.Background(), f, c.host) // known by now
			if slices.ContainsFunc(own, func(a netip.Addr) bool { return c.v.special(a) == "" }) {
				return &leftError{a, kind}
			}
		}
		return nil
	}
}

// dialTLS is dial with TLS.
func (c *serviceClient) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.v.pace.connect)
	defer cancel()
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(address) // dial has done it
	secure := tls.Client(conn, &tls.Config{
		ServerName: host, InsecureSkipVerify: true, // VerifyConnection verifies instead
		VerifyConnection: func(s tls.ConnectionState) error {
			return verifyChain(s.PeerCertificates, host, c.v.o.Roots, c.v.now())
		},
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &dialError{err: err, late: ctx.Err() != nil, host: host}
	}
	return secure, nil
}
