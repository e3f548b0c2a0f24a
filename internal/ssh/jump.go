package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// jumpHosts are the connections to jump hosts. All hosts behind a jump host share one, which stays
// open until the Dialer is closed.
type jumpHosts struct {
	mu   sync.Mutex
	open map[string]*jumpHost
}

// jumpHost is a connection to a jump host, or the attempt to open one.
type jumpHost struct {
	cancel  context.CancelCauseFunc // ends the attempt
	waiting int                     // number of callers that wait for it; guarded by jumpHosts.mu

	ready chan struct{} // closed when connection or err is set
	*connection
	err error
}

// over reports whether the attempt failed or the connection has ended.
func (j *jumpHost) over() bool {
	select {
	case <-j.ready:
	default:
		return false
	}
	return j.err != nil || j.ended()
}

// ended reports whether either side has ended the connection.
func (s *connection) ended() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// endsSoon reports whether the connection ends within 200 ms: its channels end first.
func (s *connection) endsSoon() bool {
	select {
	case <-s.dead:
		return true
	case <-time.After(200 * time.Millisecond):
		return false
	}
}

// jumpError is the error of a jump host, for a host behind it.
type jumpError struct {
	via Target
	err error
}

func (e *jumpError) Error() string {
	return fmt.Sprintf("jump host %s (%s): %v", quote(e.via.Name), e.via.endpoint(), e.err)
}

func (e *jumpError) Unwrap() error { return e.err }

// through returns the shared connection to a jump host, and opens it if needed. Meanwhile the
// caller's clock stops, since the jump host has its own ConnectTimeout. When all waiting callers
// have given up, the attempt ends.
func (d *Dialer) through(ctx context.Context, g *guard, via Target) (*connection, error) {
	defer g.hold()()
	id := via.identity()
	d.jumps.mu.Lock()
	j := d.jumps.open[id]
	if j == nil || j.over() {
		j = d.startJump(ctx, via)
		d.jumps.open[id] = j
	}
	j.waiting++
	d.jumps.mu.Unlock()
	defer func() {
		d.jumps.mu.Lock()
		defer d.jumps.mu.Unlock()
		if j.waiting--; j.waiting > 0 {
			return
		}
		select {
		case <-j.ready:
		default:
			j.cancel(context.Canceled)
			delete(d.jumps.open, id)
		}
	}()
	select {
	case <-j.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if j.err != nil {
		return nil, &jumpError{via, j.err}
	}
	return j.connection, nil
}

// startJump starts to connect to a jump host. Callers share the attempt, so the cancellation of ctx
// does not end it.
func (d *Dialer) startJump(ctx context.Context, via Target) *jumpHost {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	j := &jumpHost{cancel: cancel, ready: make(chan struct{})}
	go func() {
		defer close(j.ready)
		defer cancel(nil)
		g := d.guard(via, cancel)
		defer g.stop()
		if j.connection, j.err = d.login(ctx, g, via); j.err != nil && context.Cause(ctx) != nil {
			j.err = context.Cause(ctx)
		}
	}()
	return j
}

// Close closes the connections to jump hosts, and with them the Links that go through them. It ends
// the ssh programs, and waits for them.
func (d *Dialer) Close() {
	d.jumps.mu.Lock()
	defer d.jumps.mu.Unlock()
	for _, j := range d.jumps.open {
		j.cancel(errClosed)
		go func() {
			<-j.ready
			if j.connection != nil {
				j.close(nil)
			}
		}()
	}
	clear(d.jumps.open)
	d.masters.close()
}

// identity returns a string that is equal only for targets that can share a connection.
func (t Target) identity() string {
	id := fmt.Sprintf("%q", slices.Concat(
		[]string{t.Name, t.endpoint(), t.User, t.HostKey, t.HostKeyAlias, t.AgentSocket,
			fmt.Sprint(t.IdentitiesOnly, t.ByOpenSSH)},
		t.Identities, []string{""}, t.Certificates, []string{""}, t.KnownHostsFiles))
	if t.Jump != nil {
		id += t.Jump.identity()
	}
	return id
}

// direct opens a TCP connection from the jump host (RFC 4254, section 7.2).
func (s *connection) direct(ctx context.Context, endpoint string) (net.Conn, error) {
	conn, err := s.client.DialContext(ctx, "tcp", endpoint)
	var refused *gossh.OpenChannelError
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !errors.As(err, &refused):
		return nil, &jumpError{s.target, s.lostError(ctx, err)}
	case refused.Reason == gossh.Prohibited:
		return nil, &jumpError{s.target, fmt.Errorf("it does not permit a connection to %s (%s); check "+
			"AllowTcpForwarding and PermitOpen "+
			"in its sshd_config, and the options of the key in authorized_keys", endpoint, quote(refused.Message))}
	default:
		return nil, &dialError{via: s.target.Name, err: &forwardError{endpoint, refused}}
	}
}

// forwardError is a jump host's error for an address that it cannot connect to.
type forwardError struct {
	endpoint string
	refused  *gossh.OpenChannelError
}

func (e *forwardError) Error() string {
	return fmt.Sprintf("%s: %s", e.endpoint, quote(e.refused.Message))
}

func (e *forwardError) Unwrap() error { return e.refused }

// lost returns why the connection was closed, or nil if unknown: this side closed it, or the jump
// host's connection has ended. In that case the end of this connection may arrive first.
func (s *connection) lost() error {
	if err := s.conn.lost(); err != nil {
		return err
	}
	if s.master != nil {
		if err := s.master.failure(200 * time.Millisecond); err != nil {
			return fmt.Errorf("connection lost: %w", err)
		}
		return nil
	}
	if s.via == nil || !s.via.endsSoon() {
		return nil
	}
	reason := "it ended"
	if err := s.via.lost(); err != nil {
		reason = strings.TrimPrefix(err.Error(), "connection lost: ")
	}
	return fmt.Errorf("connection lost: jump host %s (%s): %s", quote(s.via.target.Name), s.via.target.endpoint(), reason)
}
