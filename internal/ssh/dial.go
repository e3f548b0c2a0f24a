package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// retryDelays are the waits before each further attempt to reach a host that refuses at once: it
// may be booting, or have too many unauthenticated connections (sshd_config(5), MaxStartups).
// Repeating such an attempt is safe, since it changed nothing. A host that does not answer at all
// is not tried again: it has had its ConnectTimeout.
var retryDelays = []time.Duration{200 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond}

// wait waits before the nth further attempt, counted from 0, or until ctx ends. It returns false if
// there is no further attempt.
func wait(ctx context.Context, n int) bool {
	if n >= len(retryDelays) {
		return false
	}
	delay := retryDelays[n]
	timer := time.NewTimer(delay/2 + rand.N(delay)) // so that not all retry at once
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// transient reports whether an error of dial may be gone a second later: nothing listens on the
// port, or the name lookup failed temporarily.
func transient(err error) bool {
	var refused *gossh.OpenChannelError
	var dns *net.DNSError
	var jump *jumpError
	if errors.As(err, &jump) { // its own attempts were repeated already
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.As(err, &refused) && refused.Reason == gossh.ConnectionFailed ||
		errors.As(err, &dns) && dns.IsTemporary && !dns.IsTimeout
}

// networks are net's names for address families.
var networks = map[string]string{"": "tcp", "inet": "tcp4", "inet6": "tcp6"}

// dial opens the TCP connection, from this machine or from the jump host.
func (d *Dialer) dial(ctx context.Context, g *guard, t Target) (net.Conn, *connection, error) {
	// A name lookup may exceed its share of the dialer's timeout.
	g.enterFor("connecting", t.ConnectTimeout+t.ConnectTimeout/2)
	begin := time.Now()
	for n := 0; ; n++ {
		conn, via, err := d.dialOnce(ctx, g, t)
		// After a long attempt there is no other: an address that does not answer is not tried
		// again.
		if err == nil || !transient(err) || time.Since(begin) > min(t.ConnectTimeout, 5*time.Second) || !wait(ctx, n) {
			return conn, via, err
		}
	}
}

func (d *Dialer) dialOnce(ctx context.Context, g *guard, t Target) (net.Conn, *connection, error) {
	if t.Jump != nil {
		return d.dialThrough(ctx, g, t)
	}
	if t.ProxyCommand != "" {
		conn, err := dialCommand(t)
		return conn, nil, err
	}
	// With a Timeout, the dialer gives each address of a name its share of the time.
	dialer := net.Dialer{Timeout: t.ConnectTimeout}
	conn, err := dialer.DialContext(ctx, networks[t.AddressFamily], t.endpoint())
	var network net.Error
	switch {
	case err == nil:
		return conn, nil, nil
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case errors.As(err, &network) && network.Timeout():
		return nil, nil, &dialError{err: &timeoutError{stage: "connecting", limit: t.ConnectTimeout}}
	default:
		return nil, nil, &dialError{err: err}
	}
}

// dialThrough connects through the jump host. If the shared connection to it has ended in the
// meantime, it tries once more.
func (d *Dialer) dialThrough(ctx context.Context, g *guard, t Target) (net.Conn, *connection, error) {
	for again := true; ; again = false {
		via, err := d.through(ctx, g, *t.Jump)
		if err != nil {
			return nil, nil, err
		}
		g.enter("connecting through jump host " + quote(via.target.Name))
		conn, err := via.direct(ctx, t.endpoint())
		var lost *jumpError
		if err == nil || !again || ctx.Err() != nil || !errors.As(err, &lost) || !via.endsSoon() {
			return conn, via, err
		}
	}
}

// dialError is the error of an unreachable host. It ends login, since other keys make no
// difference.
type dialError struct {
	via string // the jump host's name, or ""
	err error
}

func (e *dialError) Error() string {
	if e.via != "" {
		return fmt.Sprintf("jump host %s cannot connect to %v; check that sshd runs on the host, and that the jump host "+
			"can reach "+
			"this address and port", quote(e.via), e.err)
	}
	return fmt.Sprintf("cannot connect: %v; check the address and port, that sshd runs, and that no firewall blocks "+
		"the port", e.err)
}

func (e *dialError) Unwrap() error { return e.err }

// turnedAway reports whether the host closed the connection before it showed a host key. By then,
// only a list of algorithms was sent to it.
func (a *attempt) turnedAway(err error) bool {
	return !a.keySeen && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET))
}

// Messages of sshd to a client that it rejects, since OpenSSH 9.8.
const (
	notAllowed  = "Not allowed at this time"
	maxStartups = "Exceeded MaxStartups"
)

// comeAgain reports whether to connect again soon to a host that rejected the connection. After
// failed logins it does not: the penalties last longer.
func (a *attempt) comeAgain(err error) bool {
	return a.turnedAway(err) && !strings.Contains(a.text, notAllowed)
}

// turnedAwayError is the error of a host that closes the connection before it shows a host key.
// text is what it sent.
func turnedAwayError(text string) error {
	switch {
	case strings.Contains(text, notAllowed):
		return fmt.Errorf("the host rejects connections from this address for now, because of failed logins "+
			"(sshd_config: PerSourcePenalties; "+
			"sshd sent %s): wait 1 to 10 minutes, and set identities to the right key, so that no other key is offered "+
			"first", quote(text))
	case strings.Contains(text, maxStartups):
		return fmt.Errorf("the host has too many unauthenticated connections (sshd_config: MaxStartups; sshd sent %s): "+
			"try again with a smaller --parallelism", quote(text))
	}
	said := ""
	if text != "" {
		said = " (it sent " + quote(text) + ")"
	}
	return fmt.Errorf("the host closed the connection before the key exchange%s: it may reject this address after "+
		"failed logins "+
		"(sshd_config: PerSourcePenalties, \"drop connection … penalty\" in its log; fail2ban), have too many "+
		"connections (MaxStartups), "+
		"or block this address (hosts.deny, a firewall); wait a minute, and check sshd's log on the host", said)
}
