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

// keysPerConnection is how many keys are offered on one connection: sshd's MaxAuthTries is 6, and ends the connection
// with the sixth refusal (sshd_config(5)). More keys are offered on further connections.
const keysPerConnection = 5

// session is an authenticated connection.
type session struct {
	target Target
	opts   Options
	guard  *guard
	conn   *watchedConn
	via    *session // the jump host's, or nil
	client *gossh.Client
	// keyOrigin says by what the host's key is known.
	keyOrigin func() KeyOrigin

	// For Connect's goroutine alone:
	process *process // the one that was started last
	opened  bool     // a session has been opened before

	closing sync.Once
	done    chan struct{} // closed by close
	dead    chan struct{} // closed when the connection has ended, from either side
}

// close ends the connection. cause, if not nil, is what later reads and writes report.
func (s *session) close(cause error) {
	s.closing.Do(func() {
		if cause == nil {
			cause = errClosed
		}
		s.conn.closeFor(cause)
		close(s.done)
	})
}

// login connects and authenticates. It tries the target's keys a few to a connection.
func (d *Dialer) login(ctx context.Context, g *guard, t Target) (*session, error) {
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
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &unreachable), errors.As(err, &jump):
			return nil, err
		case attempt.comeAgain(err) && wait(ctx, turnedAway):
			turnedAway++
			continue
		case attempt.broken >= 0: // a key that does not sign is no reason to leave out those after it
			problems = append(problems, attempt.brokenErr.Error())
			tried += attempt.broken
			keys = keys[attempt.broken+1:]
		case attempt.questions.err != nil && attempt.signed:
			return nil, fmt.Errorf("%w: the host knows the key, and wants more of user %s: %w", ErrAuthentication, t.User, attempt.questions.err)
		case attempt.questions.err != nil:
			problems = append(problems, attempt.questions.err.Error())
			tried, keys = tried+len(batch), nil
		case attempt.refused(err) && attempt.questions.asked > 0:
			return nil, fmt.Errorf("%w: the host did not accept the answers for user %s", ErrAuthentication, t.User)
		case attempt.refused(err) && len(batch) > 0 && !attempt.authenticating:
			return nil, fmt.Errorf("%w: the host does not offer to authenticate user %s by public key (sshd_config: PubkeyAuthentication, AuthenticationMethods)",
				ErrAuthentication, t.User)
		case attempt.refused(err) && attempt.signed:
			return nil, fmt.Errorf("%w: the host knows the key, and still does not let user %s in: the account is locked or expired, "+
				"or a second factor is wanted that cannot be given here (sshd_config: AuthenticationMethods)", ErrAuthentication, t.User)
		case attempt.refused(err):
			n := attempt.refusedKeys(err)
			tried += n
			keys = keys[n:]
		case again && attempt.authenticating && g.hasAsked():
			again = false // the host did not wait for the human; the key is open now
			continue
		default:
			return nil, attempt.explain(err)
		}
		if len(keys) == 0 {
			return nil, authenticationError(t, tried, problems)
		}
	}
}

// order puts the key that the host took last where it is offered on the first connection. Where it
// is not known, and more than one connection may be needed, logins to the same server search one
// after the other, until end is called.
func (d *Dialer) order(ctx context.Context, g *guard, t Target, keys []candidate) (ordered []candidate, end func(), err error) {
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

// await waits for as long as a server would turn this machine away for its failed logins.
func (d *Dialer) await(ctx context.Context, g *guard, t Target) error {
	search := d.tries.of(t.server())
	delay := search.delay()
	if delay == 0 {
		return nil
	}
	d.opts.Log(fmt.Sprintf("host %s: waiting %v before more keys are offered, so that sshd does not turn this machine away (PerSourcePenalties): "+
		"name the right key in identities", t.Name, delay.Round(time.Second)))
	defer g.hold()()
	return search.await(ctx)
}

// nextBatch is the keys for one connection. A key that has to be decrypted before it can even be offered gets a
// connection of its own, so that nobody is asked for a passphrase while another key may do.
func nextBatch(keys []candidate) []candidate {
	n := min(len(keys), keysPerConnection)
	for i, k := range keys[:n] {
		if k.pub == nil {
			return keys[:max(i, 1)]
		}
	}
	return keys[:n]
}

// authenticationError says that no key was accepted.
func authenticationError(t Target, tried int, problems []string) error {
	text := fmt.Sprintf("the host accepted none of the %d keys offered for user %s", tried, t.User)
	switch tried {
	case 0:
		text = fmt.Sprintf("there is no key to offer for user %s", t.User)
	case 1:
		text = fmt.Sprintf("the host did not accept the key offered for user %s", t.User)
	}
	if len(problems) > 0 {
		text += "; not usable: " + strings.Join(problems, "; ")
	}
	only := ""
	if tried > keysPerConnection {
		only = " (IdentityFile in ssh_config), and set IdentitiesOnly yes there, since sshd (PerSourcePenalties) and fail2ban turn a machine " +
			"away that offers many wrong keys"
	}
	return fmt.Errorf("%w: %s; name the right key in identities%s, or add its public key to ~%s/.ssh/authorized_keys on the host",
		ErrAuthentication, text, only, t.User)
}

// attempt is one connection's way through key exchange and authentication.
type attempt struct {
	policy    policy
	keys      []candidate
	questions *questions

	keySeen        bool // the host has shown a key
	hostKeyErr     error
	hostKey        gossh.PublicKey
	authenticating bool // the host key was right, and authentication has begun
	broken         int  // the index of a key that could not be used, or -1
	brokenErr      error
	offered        int             // how many of the keys have been offered
	signed         bool            // the host knew a key, and got a signature
	taken          gossh.PublicKey // the key of the last signature
	text, version  string          // the server's greeting
}

// noQuestions is what the library says when a host refuses keyboard-interactive authentication at once (SSH_MSG_USERAUTH_FAILURE).
const noQuestions = "unexpected message type 51 (expected 60)"

// refused tells whether an error means that the host wants none of the keys.
func (a *attempt) refused(err error) bool {
	text := err.Error()
	return a.hostKeyErr == nil && (strings.Contains(text, "unable to authenticate") || strings.Contains(text, "no common public key signature algorithm") ||
		errors.Is(err, errNotNow) || strings.Contains(text, noQuestions) || a.authenticating && tooMany(err))
}

// tooMany tells whether the host ended the connection because of MaxAuthTries.
func tooMany(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "too many authentication failures")
}

// refusedKeys is how many of the keys the host has refused; at least one, where there are any.
func (a *attempt) refusedKeys(err error) int {
	if tooMany(err) {
		return min(max(a.offered, 1), len(a.keys))
	}
	return len(a.keys)
}

// explain puts the error of a failed handshake in better words.
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
	if a.signed { // sshd does so when PAM's account check fails
		return fmt.Errorf("%w: the connection ended during authentication, after the host had accepted a key: is the account locked or expired? (%s)",
			ErrAuthentication, quote(strings.TrimPrefix(err.Error(), "ssh: handshake failed: ")))
	}
	stage := "the SSH handshake failed"
	if a.authenticating {
		stage = "the connection ended during authentication"
	}
	return fmt.Errorf("%s: %s", stage, quote(strings.TrimPrefix(err.Error(), "ssh: handshake failed: ")))
}

// attempt connects and goes through the handshake.
func (d *Dialer) attempt(ctx context.Context, g *guard, t Target, a *attempt) (*session, error) {
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
	s := &session{target: t, opts: d.opts, guard: g, conn: conn, via: via, keyOrigin: func() KeyOrigin { return d.knownHosts(t).origin(t, a.hostKey) }, done: make(chan struct{}), dead: make(chan struct{})}
	// It refuses the requests that hosts make (hostkeys-00@openssh.com, their own keepalives) and the channels that they open.
	s.client = gossh.NewClient(client, channels, requests)
	go func() {
		_ = client.Wait()
		close(s.dead)
	}()
	go conn.keepAlive(client, t.keepalive(d.opts.KeepaliveInterval), t.silence(d.opts.SilenceLimit), s.done)
	return s, nil
}

// signers binds the keys to this connection.
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
