// Package ssh reaches hosts over SSH and runs the host helper on them.
//
// A connection goes through these stages: dial; key exchange, in which the host key is checked before anything secret
// is sent; authentication by ssh-agent and identity files; one exec channel that runs the helper; and the helper's
// Hello (package wire). A helper that is missing or wrong is pushed over SFTP first. What the stages after
// authentication cost is two round trips: opening the channel, and the command, which the Hello answers.
//
// No value from a configuration or a host becomes part of a command line: see launch.go.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Errors that a caller may want to tell apart; test for them with errors.Is. The error that wraps one of them names
// the host, the cause and what to do.
var (
	ErrHostKeyUnknown = errors.New("unknown host key")
	ErrHostKeyChanged = errors.New("wrong host key")
	// ErrHostKeyNotOffered: the server offers no key of a type that is known of it.
	ErrHostKeyNotOffered = errors.New("known host key not offered")
	ErrAuthentication    = errors.New("authentication failed")
	ErrBecome            = errors.New("cannot become root")
	ErrTimeout           = errors.New("timed out")
)

// The defaults of Target and Options.
const (
	DefaultPort            = 22
	DefaultConnectTimeout  = 20 * time.Second
	DefaultTransferTimeout = 10 * time.Minute
	DefaultKeepalive       = 15 * time.Second
	DefaultSilence         = 30 * time.Second
)

// Options are what the connections of one run have in common. The zero value has the documented defaults.
type Options struct {
	// KnownHostsFiles are searched for host keys; a file that does not exist is empty. Default: ~/.ssh/known_hosts,
	// ~/.ssh/known_hosts2, /etc/ssh/ssh_known_hosts and /etc/ssh/ssh_known_hosts2.
	KnownHostsFiles []string
	// AcceptNewHostKeys adds the key of a host without any entry to the first of KnownHostsFiles. A key that differs
	// from an entry is refused all the same.
	AcceptNewHostKeys bool
	// Passphrase asks for the passphrase of an identity file. It is called once for each encrypted file that a host
	// accepts, and again, up to three times in all, when the passphrase is wrong; never twice at the same time.
	// Nil: encrypted files cannot be used.
	Passphrase func(file string) ([]byte, error)
	// Answer asks a human for the answer to a question that a host asks during authentication (keyboard-interactive, RFC 4256), without showing what is
	// typed. It is never called twice at the same time. The text comes from the host. Nil: such questions cannot be answered.
	Answer func(host, question string) (string, error)
	// AgentSocket is the path of ssh-agent's socket. Default: $SSH_AUTH_SOCK. "none" uses no agent.
	AgentSocket string
	// KeepaliveInterval is how long a connection may be silent before the host is asked for a sign of life.
	KeepaliveInterval time.Duration
	// SilenceLimit is how long a connection may go without a byte from the host before it is closed.
	SilenceLimit time.Duration
	// TransferTimeout bounds pushing the helper.
	TransferTimeout time.Duration
	// TakenKeys is a file that remembers which key a host took, where it was not among the first
	// that were offered: lines of the login and the public key's fingerprint. Empty: they are
	// remembered for this run alone.
	TakenKeys string
	// Log, if not nil, is told what a user may want to know afterwards: a key accepted, a helper pushed.
	Log func(message string)
	// Stage, if not nil, is told of each stage of connecting to a host that has ended ("connecting", "authenticating", "pushing the helper"), and how long it
	// took. Goroutines call it at the same time.
	Stage func(host, stage string, took time.Duration)
}

// Bundle is the set of helper binaries; *helper.Bundle implements it.
type Bundle interface {
	// ID names the bundle, in lower-case hex digits.
	ID() string
	// Digest is the SHA-256 of the binary for arch (a GOARCH), in lower-case hex.
	Digest(ctx context.Context, arch string) (string, error)
	// Binary is the executable for arch and its SHA-256 in lower-case hex.
	Binary(ctx context.Context, arch string) (data []byte, sha256hex string, err error)
}

// Dialer connects to hosts. It reads known_hosts, identity files and the agent's list of keys once, when they are
// first needed, and may be used by several goroutines at once. What goes through a jump host shares one connection to it.
type Dialer struct {
	opts  Options
	keys  *keyring
	jumps jumpHosts
	taken takenKeys
	tries searches

	mu    sync.Mutex
	hosts map[string]*hostKeys // by the files that they read
}

// NewDialer returns a Dialer. It reads nothing yet.
func NewDialer(opts Options) *Dialer {
	if opts.KeepaliveInterval <= 0 {
		opts.KeepaliveInterval = DefaultKeepalive
	}
	if opts.SilenceLimit <= 0 {
		opts.SilenceLimit = DefaultSilence
	}
	if opts.TransferTimeout <= 0 {
		opts.TransferTimeout = DefaultTransferTimeout
	}
	if opts.Log == nil {
		opts.Log = func(string) {}
	}
	return &Dialer{
		opts:  opts,
		keys:  newKeyring(opts.AgentSocket, opts.Passphrase, opts.Answer),
		jumps: jumpHosts{open: map[string]*jumpHost{}},
		taken: takenKeys{file: opts.TakenKeys, log: opts.Log},
		tries: searches{servers: map[string]*search{}},
		hosts: map[string]*hostKeys{},
	}
}

// knownHosts returns what knows a target's host key: the files of the run, or else those of the target, or else the usual ones.
func (d *Dialer) knownHosts(t Target) *hostKeys {
	files := d.opts.KnownHostsFiles
	if files == nil {
		files = t.KnownHostsFiles
	}
	id := fmt.Sprintf("%q", files)
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.hosts[id]
	if h == nil {
		h = newHostKeys(files, d.opts.AcceptNewHostKeys, d.opts.Log)
		d.hosts[id] = h
	}
	return h
}

// Connect connects to a host, makes sure that the bundle's helper runs there, and returns the link to it. Errors name
// the host and what to do. Cancelling ctx closes the connection at once while Connect runs; afterwards the Link is
// closed by Link.Close alone.
func (d *Dialer) Connect(ctx context.Context, t Target, bundle Bundle) (*Link, error) {
	t, err := t.complete()
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", quote(t.Name), err)
	}
	link, err := d.connect(ctx, t, bundle)
	if err != nil {
		return nil, fmt.Errorf("host %s (%s): %w", t.Name, t.endpoint(), err)
	}
	return link, nil
}

// guard bounds the stages of a connection to t, and has Options.Stage told of them.
func (d *Dialer) guard(t Target, cancel context.CancelCauseFunc) *guard {
	g := newGuard(t.ConnectTimeout, cancel)
	if d.opts.Stage != nil {
		g.ended = func(stage string, took time.Duration) { d.opts.Stage(t.Name, stage, took) }
	}
	return g
}

// connect is Connect for a target that is in order.
func (d *Dialer) connect(ctx context.Context, t Target, bundle Bundle) (*Link, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	guard := d.guard(t, cancel)
	defer guard.stop()

	s, err := d.login(ctx, guard, t)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { s.close(context.Cause(ctx)) })
		var link *Link
		link, err = s.launch(ctx, bundle)
		if err == nil && stop() {
			return link, nil
		}
		s.close(err)
	}
	// The cancelled context is why everything else failed.
	if cause := context.Cause(ctx); cause != nil {
		var late *timeoutError
		if errors.As(cause, &late) && s != nil && s.process != nil {
			late.printed = s.process.printed()
		}
		return nil, cause
	}
	return nil, err
}

// A Link is the connection to the helper on a host. Read and Write carry the frames of package wire that come after
// the exchange of Hello messages. One goroutine may read while another writes.
type Link struct {
	// Hello is the helper's greeting, with the host's facts.
	Hello wire.Hello

	s *session
	p *process

	writing sync.Mutex // held by Write
}

// Read reads what the helper sends. When the helper has ended, or the connection is lost, the error says so with what
// the host printed last; it wraps io.EOF if the host ended the connection in order.
func (l *Link) Read(b []byte) (int, error) {
	n, err := l.p.stdout.Read(b)
	if err != nil {
		err = l.s.explain(l.p, err)
	}
	return n, err
}

// Write sends to the helper.
func (l *Link) Write(b []byte) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	n, err := l.p.ch.Write(b)
	if err != nil {
		err = l.s.explain(l.p, err)
	}
	return n, err
}

// Close closes the helper's standard input, on which it ends, and the connection. It does not wait for the host.
func (l *Link) Close() error {
	// The connection's end closes the channel too; saying so first lets the host see an orderly end. It must not come into a Write that is under way, and that
	// one may wait for a host that is silent.
	if l.writing.TryLock() {
		_ = l.p.ch.CloseWrite()
		l.writing.Unlock()
	}
	l.s.close(nil)
	return nil
}
