package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// keysPerConnection is how many keys are offered on one connection. By default (MaxAuthTries 6,
// sshd_config(5)) sshd closes the connection with the sixth refused key. More keys are offered on
// further connections.
const keysPerConnection = 5

// connection is a connection to a host that has accepted the login.
type connection struct {
	target Target
	opts   Options
	guard  *guard
	conn   *watchedConn
	via    *connection // to the jump host, or nil
	client *gossh.Client
	master *master // the operator's ssh, or nil
	// keyOrigin returns how the host's key is known.
	keyOrigin func() KeyOrigin

	// Only for Connect's goroutine:
	process *process // the last started process
	opened  bool     // a session was opened before

	closing sync.Once
	done    chan struct{} // closed by close
	dead    chan struct{} // closed when either side has ended the connection
}

// close ends the connection. Later reads and writes report cause, if it is not nil.
func (s *connection) close(cause error) {
	s.closing.Do(func() {
		if cause == nil {
			cause = errClosed
		}
		s.conn.closeFor(cause)
		close(s.done)
		if s.master != nil {
			s.master.stop(passOn)
		}
	})
}

// passOn is how long ssh may pass on to the host what was written before the connection was closed.
const passOn = 100 * time.Millisecond

// login connects and authenticates: by this package's client, or by the operator's ssh where the
// target wants that or needs it.
func (d *Dialer) login(ctx context.Context, g *guard, t Target) (*connection, error) {
	if t.ByOpenSSH || d.needsOpenSSH(t) {
		return d.loginByOpenSSH(ctx, g, t)
	}
	s, err := d.loginNatively(ctx, g, t)
	if why := lacking(err); why != "" && t.mayUseOpenSSH() && ctx.Err() == nil {
		d.useOpenSSH(t, why)
		s, byOpenSSH := d.loginByOpenSSH(ctx, g, t)
		if byOpenSSH != nil {
			return nil, fmt.Errorf("%w (tried because %s)", byOpenSSH, why)
		}
		return s, nil
	}
	return s, err
}

// loginNatively is login by this package's client. It tries up to keysPerConnection of the target's
// keys on each connection.
func (d *Dialer) loginNatively(ctx context.Context, g *guard, t Target) (*connection, error) {
	policy, err := d.knownHosts(t).policy(t)
	if err != nil {
		return nil, err
	}
	keys, problems := d.keys.candidates(t)
	keys, end, err := d.order(ctx, g, t, keys)
	if err != nil {
		return nil, err
	}
	defer end()
	tried, again, turnedAway := 0, true, 0
	for {
		if err := d.await(ctx, g, t); err != nil {
			return nil, err
		}
		batch := nextBatch(keys)
		attempt := &attempt{policy: policy, keys: batch, broken: -1, questions: &questions{ring: d.keys, host: t.Name}}
		last := len(batch) == len(keys)
		attempt.questions.mayBe = func() bool { return last || attempt.signed || !attempt.authenticating }
		s, err := d.attempt(ctx, g, t, attempt)
		if err == nil {
			if attempt.taken != nil && (tried > 0 || d.taken.known(t.login()) != "") {
				d.taken.note(t.login(), attempt.taken)
			}
			return s, nil
		}
		if attempt.offered > 0 && penalises(attempt.version) {
			d.tries.of(t.server()).failed()
		}
		var unreachable *dialError
		var jump *jumpError
		var proxy *proxyError
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &proxy):
			return nil, proxy
		case errors.As(err, &unreachable), errors.As(err, &jump):
			return nil, err
		case attempt.comeAgain(err) && wait(ctx, turnedAway):
			turnedAway++
			continue
		case attempt.broken >= 0: // a key that does not sign does not exclude those after it
			problems = append(problems, attempt.brokenErr.Error())
			tried += attempt.broken
			keys = keys[attempt.broken+1:]
		case attempt.questions.err != nil && attempt.signed:
			return nil, fmt.Errorf("%w: the host accepts the key of user %s, but asks for more: %w",
				ErrAuthentication, t.User, attempt.questions.err)
		case attempt.questions.err != nil:
			problems = append(problems, attempt.questions.err.Error())
			tried, keys = tried+len(batch), nil
		case attempt.refused(err) && attempt.questions.asked > 0:
			return nil, fmt.Errorf("%w: the host did not accept the answers for user %s", ErrAuthentication, t.User)
		case attempt.refused(err) && len(batch) > 0 && !attempt.authenticating:
			return nil, fmt.Errorf("%w: the host does not offer public key authentication to user %s "+
				"(sshd_config: PubkeyAuthentication, AuthenticationMethods)", ErrAuthentication, t.User)
		case attempt.refused(err) && attempt.signed:
			return nil, fmt.Errorf("%w: the host accepts the key, but does not let user %s log in: the account may be "+
				"locked or expired, "+
				"or the host requires a second factor that mirrorform cannot provide (sshd_config: AuthenticationMethods)",
				ErrAuthentication, t.User)
		case attempt.refused(err):
			n := attempt.refusedKeys(err)
			tried += n
			keys = keys[n:]
		case again && attempt.authenticating && g.hasAsked():
			again = false // the host did not wait for the user; now the key is decrypted
			continue
		default:
			return nil, attempt.explain(err)
		}
		if len(keys) == 0 {
			return nil, lacksKeys(problems, authenticationError(t, tried, problems))
		}
	}
}

// order moves the key that the host accepted last forward, so that it is offered on the first
// connection. If that key is unknown and more than one connection may be needed, logins to the same
// server search for their key one after the other: each waits here, and lets the next one begin
// with end.
func (d *Dialer) order(
	ctx context.Context, g *guard, t Target, keys []candidate,
) (ordered []candidate, end func(), err error) {
	end = func() {}
	if len(keys) < 2 {
		return keys, end, nil
	}
	if d.taken.known(t.login()) == "" && len(keys) > keysPerConnection {
		defer g.hold()()
		if end, err = d.tries.of(t.server()).begin(ctx); err != nil {
			return nil, nil, err
		}
	}
	return promote(keys, d.taken.known(t.login())), end, nil
}

// await waits until another failed login does not make the server reject this machine.
func (d *Dialer) await(ctx context.Context, g *guard, t Target) error {
	search := d.tries.of(t.server())
	delay := search.delay()
	if delay == 0 {
		return nil
	}
	d.opts.Log(fmt.Sprintf("host %s: waiting %v before offering more keys, so that sshd does not reject this machine "+
		"(PerSourcePenalties); "+
		"to avoid the wait, set identities to the right key", t.Name, delay.Round(time.Second)))
	defer g.hold()()
	return search.await(ctx)
}

// nextBatch returns the keys for one connection. A key that must be decrypted before it can be
// offered gets its own connection, so that the user is not asked for a passphrase as long as
// another key may be accepted.
func nextBatch(keys []candidate) []candidate {
	n := min(len(keys), keysPerConnection)
	for i, k := range keys[:n] {
		if k.pub == nil {
			return keys[:max(i, 1)]
		}
	}
	return keys[:n]
}

// authenticationError reports that no key was accepted.
func authenticationError(t Target, tried int, problems []string) error {
	text := fmt.Sprintf("the host accepted none of the %d keys offered for user %s", tried, t.User)
	switch tried {
	case 0:
		text = fmt.Sprintf("no key to offer for user %s", t.User)
	case 1:
		text = fmt.Sprintf("the host did not accept the key offered for user %s", t.User)
	}
	if len(problems) > 0 {
		text += "; not usable: " + strings.Join(problems, "; ")
	}
	only := ""
	if tried > keysPerConnection {
		only = " (IdentityFile in ssh_config), and set IdentitiesOnly yes there, since sshd (PerSourcePenalties) and " +
			"fail2ban reject " +
			"a machine that offers many wrong keys"
	}
	return fmt.Errorf("%w: %s; set identities to the right key%s, or add its public key to ~%s/.ssh/authorized_keys "+
		"on the host",
		ErrAuthentication, text, only, t.User)
}

// attempt is the state of one connection's key exchange and authentication.
type attempt struct {
	policy    policy
	keys      []candidate
	questions *questions

	keySeen        bool // the host has shown a key
	hostKeyErr     error
	hostKey        gossh.PublicKey
	authenticating bool // the host key passed the check, and authentication has begun
	broken         int  // the index of a key that could not be used, or -1
	brokenErr      error
	offered        int             // how many of the keys have been offered
	signed         bool            // the host accepted a key and got a signature
	taken          gossh.PublicKey // the key of the last signature
	text, version  string          // the server's greeting
}

// noQuestions is the library's error when a host refuses keyboard-interactive authentication at
// once (SSH_MSG_USERAUTH_FAILURE).
const noQuestions = "unexpected message type 51 (expected 60)"

// refused reports whether an error means that the host refused all keys.
func (a *attempt) refused(err error) bool {
	text := err.Error()
	return a.hostKeyErr == nil && (strings.Contains(text, "unable to authenticate") ||
		strings.Contains(text, "no common public key signature algorithm") ||
		errors.Is(err, errNotNow) || strings.Contains(text, noQuestions) || a.authenticating && tooMany(err))
}

// tooMany reports whether the host closed the connection because of MaxAuthTries.
func tooMany(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "too many authentication failures")
}

// refusedKeys returns how many of the keys the host refused: at least one, if there are any.
func (a *attempt) refusedKeys(err error) int {
	if tooMany(err) {
		return min(max(a.offered, 1), len(a.keys))
	}
	return len(a.keys)
}

// explain rewords the error of a failed handshake.
func (a *attempt) explain(err error) error {
	if a.hostKeyErr != nil {
		return a.hostKeyErr
	}
	var negotiation *gossh.AlgorithmNegotiationError
	if errors.As(err, &negotiation) {
		return a.nothingCommon(negotiation)
	}
	if a.turnedAway(err) {
		return turnedAwayError(a.text)
	}
	if a.signed { // sshd closes the connection if PAM's account check fails
		return fmt.Errorf("%w: the connection ended during authentication, after the host had accepted a key; "+
			"check that the account is not locked or expired (%s)",
			ErrAuthentication, quote(strings.TrimPrefix(err.Error(), "ssh: handshake failed: ")))
	}
	stage := "the SSH handshake failed"
	if a.authenticating {
		stage = "the connection ended during authentication"
	}
	return fmt.Errorf("%s: %s", stage, quote(strings.TrimPrefix(err.Error(), "ssh: handshake failed: ")))
}

// attempt connects and performs the handshake.
func (d *Dialer) attempt(ctx context.Context, g *guard, t Target, a *attempt) (*connection, error) {
	tcp, via, err := d.dial(ctx, g, t)
	if err != nil {
		return nil, err
	}
	conn := watch(tcp)
	stop := context.AfterFunc(ctx, func() { conn.closeFor(context.Cause(ctx)) })
	g.enter("exchanging keys")
	algorithms := gossh.SupportedAlgorithms()
	client, channels, requests, err := gossh.NewClientConn(conn, t.endpoint(), &gossh.ClientConfig{
		Config: gossh.Config{
			KeyExchanges: algorithms.KeyExchanges,
			Ciphers:      algorithms.Ciphers,
			MACs:         algorithms.MACs,
		},
		User:              t.User,
		HostKeyAlgorithms: a.policy.algorithms,
		HostKeyCallback: func(host string, remote net.Addr, key gossh.PublicKey) error {
			a.keySeen = true
			a.hostKeyErr = a.policy.check(host, remote, key)
			a.hostKey = key
			g.enter("authenticating")
			return a.hostKeyErr
		},
		Auth: []gossh.AuthMethod{gossh.PublicKeysCallback(func() ([]gossh.Signer, error) {
			a.authenticating = true
			return a.signers(ctx, g)
		}), a.questions.method(ctx, g.pause)},
	})
	if !stop() && err == nil {
		_ = client.Close()
		err = context.Cause(ctx)
	}
	a.text, a.version = conn.greetedWith()
	if err != nil {
		_ = conn.Close()
		a.hint(context.Cause(ctx))
		return nil, err
	}
	s := &connection{
		target: t, opts: d.opts, guard: g, conn: conn, via: via,
		keyOrigin: func() KeyOrigin { return d.knownHosts(t).origin(t, a.hostKey) },
		done:      make(chan struct{}), dead: make(chan struct{}),
	}
	// The client refuses the host's requests (hostkeys-00@openssh.com, its own keepalives) and
	// channels.
	s.client = gossh.NewClient(client, channels, requests)
	go func() {
		_ = client.Wait()
		close(s.dead)
	}()
	go conn.keepAlive(client, t.keepalive(d.opts.KeepaliveInterval), t.silence(d.opts.SilenceLimit), s.done)
	return s, nil
}

// signers returns the keys bound to this connection.
func (a *attempt) signers(ctx context.Context, g *guard) ([]gossh.Signer, error) {
	var signers []gossh.Signer
	for i, c := range a.keys {
		fail := func(err error) { a.broken, a.brokenErr = i, err }
		if c.pub == nil {
			opened, err := c.file.open(ctx, g.pause)
			if err != nil {
				fail(err)
				return nil, err
			}
			c.pub = opened.PublicKey()
		}
		signers = append(signers, &boundSigner{
			candidate: c, ctx: ctx, pause: g.pause, failed: fail,
			offered: func() { a.offered = max(a.offered, i+1) },
			signed:  func() { a.signed, a.taken = true, c.pub },
		})
	}
	return signers, nil
}
