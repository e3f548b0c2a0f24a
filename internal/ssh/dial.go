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

// retryDelays are how long is waited before each further attempt to reach a host that refuses at once: it may be booting, or have too many others at its
// door (sshd_config(5), MaxStartups). There is nothing that such an attempt can have done. A host that does not answer at all has had its ConnectTimeout.
var retryDelays = []time.Duration{200 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond}

// wait waits before a further attempt, the nth from zero, or for the end of ctx. It tells whether there is one.
func wait(ctx context.Context, n int) bool {
	if n >= len(retryDelays) {
		return false
	}
	delay := retryDelays[n]
	timer := time.NewTimer(delay/2 + rand.N(delay)) // so that many do not come back at once
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// transient tells whether an error of dial may be gone in a second: the address exists and nobody listens, or its name could not be looked up now.
func transient(err error) bool {
	var refused *gossh.OpenChannelError
	var dns *net.DNSError
	var jump *jumpError
	if errors.As(err, &jump) { // which has been tried again, if it was worth it
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.As(err, &refused) && refused.Reason == gossh.ConnectionFailed || errors.As(err, &dns) && dns.IsTemporary && !dns.IsTimeout
}

// networks are net's names for address families.
var networks = map[string]string{"": "tcp", "inet": "tcp4", "inet6": "tcp6"}

// dial opens the TCP connection, from here or from the jump host.
func (d *Dialer) dial(ctx context.Context, g *guard, t Target) (net.Conn, *session, error) {
	// Looking up a name may take longer than its share of the dialer's time-out.
	g.enterFor("connecting", t.ConnectTimeout+t.ConnectTimeout/2)
	begin := time.Now()
	for n := 0; ; n++ {
		conn, via, err := d.dialOnce(ctx, g, t)
		// What took long has had its time: an address that does not answer is not asked again.
		if err == nil || !transient(err) || time.Since(begin) > min(t.ConnectTimeout, 5*time.Second) || !wait(ctx, n) {
			return conn, via, err
		}
	}
}

func (d *Dialer) dialOnce(ctx context.Context, g *guard, t Target) (net.Conn, *session, error) {
	if t.Jump != nil {
		return d.dialThrough(ctx, g, t)
	}
	// With a time-out of its own the dialer gives each of a name's addresses its share of it.
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

// dialThrough connects by way of the jump host. Its connection may have ended while nobody used it: then there is one more try.
func (d *Dialer) dialThrough(ctx context.Context, g *guard, t Target) (net.Conn, *session, error) {
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

// dialError is the error of a host that cannot be reached. It ends login: other keys make no difference.
type dialError struct {
	via string // the jump host's name, if there is one
	err error
}

func (e *dialError) Error() string {
	if e.via != "" {
		return fmt.Sprintf("jump host %s cannot connect to %v; check the address and port as the jump host sees them, and that sshd runs there", quote(e.via), e.err)
	}
	return fmt.Sprintf("cannot connect: %v; check the address and port, and that sshd runs and no firewall is in between", e.err)
}

func (e *dialError) Unwrap() error { return e.err }

// turnedAway tells whether the host ended the connection before it had shown a host key. Nothing but a list of algorithms was sent to it then.
func (a *attempt) turnedAway(err error) bool {
	return !a.keySeen && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET))
}

// What sshd says to those whom it turns away, from OpenSSH 9.8 on.
const (
	notAllowed  = "Not allowed at this time"
	maxStartups = "Exceeded MaxStartups"
)

// comeAgain tells whether it is of use to connect again at once to a host that turned this machine
// away: penalties last longer.
func (a *attempt) comeAgain(err error) bool {
	return a.turnedAway(err) && !strings.Contains(a.text, notAllowed)
}

// turnedAwayError is the error of a host that ends connections before it shows a host key, and what
// it said.
func turnedAwayError(text string) error {
	switch {
	case strings.Contains(text, notAllowed):
		return fmt.Errorf("the host turns this machine away for a time, because of failed logins from this address (sshd_config: PerSourcePenalties; "+
			"it said %s): wait a minute, up to ten after many failures, and name the right key in identities, so that no other is offered first", quote(text))
	case strings.Contains(text, maxStartups):
		return fmt.Errorf("the host has too many connections that are not logged in yet (sshd_config: MaxStartups; it said %s): try again, "+
			"with a smaller --parallelism", quote(text))
	}
	said := ""
	if text != "" {
		said = " (it said " + quote(text) + ")"
	}
	return fmt.Errorf("the host closed the connection before the key exchange%s: it may turn this machine away because of failed logins "+
		"(sshd_config: PerSourcePenalties, \"drop connection … penalty\" in its log; fail2ban), have too many connections at once (MaxStartups), "+
		"or refuse this address (hosts.deny, a firewall); wait a minute, and look at sshd's log on the host", said)
}
