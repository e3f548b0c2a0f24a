// Package ssh reaches hosts over SSH and runs the host helper on them.
//
// A connection has these stages: dial; key exchange, which checks the host key before anything
// secret is sent; authentication by ssh-agent and identity files; one exec channel that runs the
// helper; the helper's Hello (package wire). A helper that is missing or wrong is pushed first.
// After authentication this takes two round trips: opening the channel, and the command, which the
// Hello answers.
//
// No value from a configuration or a host becomes part of a command line: see command.go.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Errors to test for with errors.Is. The error that wraps one of them names the host, the cause and
// the next step.
var (
	ErrHostKeyUnknown = errors.New("unknown host key")
	ErrHostKeyChanged = errors.New("wrong host key")
	// ErrHostKeyNotOffered: the server offers no key of a known type.
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

// Options are common to all connections of a run. The zero value has the documented defaults.
type Options struct {
	// KnownHostsFiles are searched for host keys; a missing file counts as empty. Default:
	// ~/.ssh/known_hosts, ~/.ssh/known_hosts2, /etc/ssh/ssh_known_hosts and
	// /etc/ssh/ssh_known_hosts2.
	KnownHostsFiles []string
	// AcceptNewHostKeys adds the key of a host without an entry to the first of KnownHostsFiles. A
	// key that differs from an entry is still refused.
	AcceptNewHostKeys bool
	// Passphrase asks for the passphrase of an identity file. It is called once for each encrypted
	// file that a host accepts, and again if the passphrase is wrong, up to three times in all;
	// never concurrently. If nil, encrypted files cannot be used.
	Passphrase func(file string) ([]byte, error)
	// Answer asks the user a question that a host asks during authentication (keyboard-interactive,
	// RFC 4256), without echo. It is never called concurrently. The text comes from the host. If
	// nil, such questions cannot be answered.
	Answer func(host, question string) (string, error)
	// AgentSocket is the path of ssh-agent's socket. Default: $SSH_AUTH_SOCK. "none" uses no agent.
	AgentSocket string
	// KeepaliveInterval is how long a host may be silent before it is sent a keepalive request.
	KeepaliveInterval time.Duration
	// SilenceLimit is how long a host may be silent before the connection is closed.
	SilenceLimit time.Duration
	// TransferTimeout limits the time to push the helper.
	TransferTimeout time.Duration
	// TakenKeys is a file that remembers which key a host accepted, if that was not among the first
	// ones offered. Each line has a login and the fingerprint of the public key. If empty, they are
	// remembered for this run only.
	TakenKeys string
	// Log, if not nil, receives messages that a user may need later: a key accepted, a helper
	// pushed.
	Log func(message string)
	// Stage, if not nil, is called at the end of each stage of connecting to a host ("connecting",
	// "authenticating", "pushing the helper") with its duration. It is called concurrently.
	Stage func(host, stage string, took time.Duration)
}

// Bundle is the set of helper binaries; *helper.Bundle implements it.
type Bundle interface {
	// ID returns the bundle's identifier, in lower-case hex.
	ID() string
	// Digest returns the SHA-256 of the binary for arch (a GOARCH), in lower-case hex.
	Digest(ctx context.Context, arch string) (string, error)
	// Binary returns the executable for arch and its SHA-256, in lower-case hex.
	Binary(ctx context.Context, arch string) (data []byte, sha256hex string, err error)
}

// Dialer connects to hosts. It reads known_hosts, identity files and the agent's list of keys once,
// on first use. All hosts behind a jump host share one connection to it. It is safe for concurrent
// use.
type Dialer struct {
	opts  Options
	keys  *keyring
	jumps jumpHosts
	taken takenKeys
	tries searches

	masters masters

	mu    sync.Mutex
	hosts map[string]*hostKeys // by the files that they read
	needs map[string]bool      // targets that need OpenSSH, by identity
	noted map[string]bool      // why, as noted in this run
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
		needs: map[string]bool{},
		noted: map[string]bool{},
	}
}

// knownHosts returns the known host keys for a target: from the run's files, or else the target's,
// or else the default ones.
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

// Connect connects to a host, runs the bundle's helper there, and returns the link to it. Errors
// name the host and the next step. While Connect runs, cancelling ctx closes the connection at
// once; afterwards only Link.Close closes it.
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

// guard returns a guard for the stages of a connection to t, which reports them to Options.Stage.
func (d *Dialer) guard(t Target, cancel context.CancelCauseFunc) *guard {
	g := newGuard(t.ConnectTimeout, cancel)
	if d.opts.Stage != nil {
		g.ended = func(stage string, took time.Duration) { d.opts.Stage(t.Name, stage, took) }
	}
	return g
}

// connect is Connect for a completed target.
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
	// If the context was cancelled, that is why everything else failed.
	if cause := context.Cause(ctx); cause != nil {
		var late *timeoutError
		if errors.As(cause, &late) && s != nil && s.process != nil {
			late.printed = s.process.printed()
		}
		return nil, cause
	}
	return nil, err
}

// A Link is the connection to the helper on a host. Read and Write carry the frames of package wire
// after the Hello. One goroutine may read while another writes.
type Link struct {
	// Hello is the helper's greeting, with the host's facts.
	Hello wire.Hello

	s *connection
	p *process

	writing sync.Mutex // held by Write
}

// Read reads from the helper. If the helper has ended or the connection is lost, the error includes
// the last output of the host; it wraps io.EOF if the host closed the connection properly.
func (l *Link) Read(b []byte) (int, error) {
	n, err := l.p.stdout.Read(b)
	if err != nil {
		err = l.s.explain(l.p, err)
	}
	return n, err
}

// Write writes to the helper.
func (l *Link) Write(b []byte) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	n, err := l.p.ch.Write(b)
	if err != nil {
		err = l.s.explain(l.p, err)
	}
	return n, err
}

// Close closes the helper's standard input, which ends it, and the connection. It does not wait for
// the host.
func (l *Link) Close() error {
	// Closing the connection closes the channel too; CloseWrite lets the helper see a proper end of
	// input. It must not interrupt a Write, and cannot wait for one, which may wait for a silent
	// host.
	if l.writing.TryLock() {
		_ = l.p.ch.CloseWrite()
		l.writing.Unlock()
	}
	l.s.close(nil)
	return nil
}
