// Package agent is the host's side of mirrorform: it answers the questions of package wire and performs its operations.
//
// It knows nothing of resources, keeps nothing running, and puts no value into a shell string: programs are run by argv and
// files are written as bytes. Everything that depends on a path that others may write to is done relative to a directory's
// descriptor. Programs it runs get a fixed environment.
package agent

import (
	"context"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultStateDir is where the helper of the root user keeps its state.
const DefaultStateDir = "/var/lib/mirrorform"

// Options are what Serve and Pipe need to know.
type Options struct {
	Version string // the mirrorform version, for Hello
	// StateDir holds the manifest, the lock, the journal of the open transaction, and records of what units have loaded (loaded/).
	// Empty is DefaultStateDir for root, and .local/state/mirrorform in the home directory for others.
	StateDir string
	// Nonce, if not empty, is what the controller would have said in its Hello: the helper's Hello then follows the preamble at once, which saves a
	// round trip.
	Nonce string
}

// stateDir applies the default.
func (o Options) stateDir() string {
	if o.StateDir != "" {
		return o.StateDir
	}
	if unix.Geteuid() != 0 {
		return home() + "/.local/state/mirrorform"
	}
	return DefaultStateDir
}

// Serve speaks the protocol of package wire on in and out until in ends, ctx ends, or nothing came
// for half a minute. An operation that is under way is finished first, and a transaction that is
// open is taken back. As root of a host with systemd and with the default state directory, an open
// transaction is also taken back when the host stops and starts again (see Recover). The error is
// nil when in ended between two messages.
//
// Serve may leave a goroutine behind that waits for in: callers that go on should close it.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	s := newSession(in, out, o)
	s.host.boot = s.host.ownBoot()
	go s.digestSelf()
	return s.serve(ctx)
}

// Pipe serves in process, for the host that the controller itself runs on. What it returns is the controller's end, and starts as a
// wire does: with the preamble. Its Hello has no digest, as there is no executable to check. Close returns when the
// operation that is under way is finished.
func Pipe(ctx context.Context, o Options) io.ReadWriteCloser {
	return pipeTo(ctx, o, func(*session) {})
}

// pipeTo is Pipe to a session that was prepared.
func pipeTo(ctx context.Context, o Options, prepare func(*session)) io.ReadWriteCloser {
	toHelper, fromController := io.Pipe()
	toController, fromHelper := io.Pipe()
	p := &pipe{Reader: toController, Writer: fromController, done: make(chan struct{})}
	p.end = func() {
		_ = fromController.Close()
		_ = toController.Close()
	}
	go func() {
		defer close(p.done)
		s := newSession(toHelper, fromHelper, o)
		s.host.inProcess = true
		close(s.digested)
		prepare(s)
		err := s.serve(ctx)
		if err == nil {
			err = io.EOF
		}
		_ = toHelper.CloseWithError(err)
		_ = fromHelper.CloseWithError(err)
	}()
	return p
}

type pipe struct {
	io.Reader
	io.Writer
	end  func()
	done chan struct{}
}

func (p *pipe) Close() error {
	p.end()
	<-p.done
	return nil
}

// Limits of a session. They are variables of a session, so that tests need not wait.
const (
	silence = 30 * time.Second // without a byte from the controller, it is taken as gone
	// confirmTimeout is how long a confirmation is waited for where the controller does not say.
	confirmTimeout = 60 * time.Second
	beat           = 5 * time.Second // between the signs of life of a helper at work
)
