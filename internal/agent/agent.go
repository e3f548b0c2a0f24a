// Package agent is the host's side of mirrorform: it answers the questions of package wire and
// performs its operations.
//
// It has no knowledge of resources and leaves nothing running. No value ever reaches a shell:
// programs are run by argv, and files are written as bytes. Every path that other users may write
// to is handled relative to a directory's descriptor, so that nobody can swap a directory during an
// operation. The programs it runs get a fixed environment.
package agent

import (
	"context"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultStateDir is where a helper that runs as root keeps its state.
const DefaultStateDir = "/var/lib/mirrorform"

// Options are the options of Serve and Pipe.
type Options struct {
	Version string // the mirrorform version, for Hello
	// StateDir holds the manifest, the lock, the journal of the open transaction, and the records of
	// what units have loaded (loaded/). The default is DefaultStateDir for root, and
	// .local/state/mirrorform in the home directory for other users.
	StateDir string
	// Nonce, if not empty, stands for the nonce in the controller's Hello: the helper then sends its
	// own Hello right after the preamble, which saves a round trip.
	Nonce string
}

// stateDir returns the state directory, or its default.
func (o Options) stateDir() string {
	if o.StateDir != "" {
		return o.StateDir
	}
	if unix.Geteuid() != 0 {
		return home() + "/.local/state/mirrorform"
	}
	return DefaultStateDir
}

// Serve speaks the protocol of package wire on in and out until in ends, ctx ends, or the
// controller is silent for 30 seconds. It first finishes the running operation, and rolls back an
// open transaction. As root of a host with systemd and with the default state directory, an open
// transaction is also rolled back when the host stops and starts again (see Recover). The error is
// nil when in ended between two messages.
//
// Serve may leave a goroutine behind that reads from in: a caller that continues should close in.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	s := newSession(in, out, o)
	s.host.boot = s.host.ownBoot()
	go s.digestSelf()
	return s.serve(ctx)
}

// Pipe serves in this process, for the host that the controller itself runs on. It returns the
// controller's end, which starts with the preamble, as every connection does. Its Hello has no
// digest, since there is no executable to check. Close returns when the running operation has
// finished.
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

// The limits of a session. A session copies them, so that tests can shorten them.
const (
	silence = 30 * time.Second // a controller that is silent for this long is gone
	// confirmTimeout is how long to wait for a confirmation where the controller sets no timeout.
	confirmTimeout = 60 * time.Second
	beat           = 5 * time.Second // between the beats of a helper that is busy
)
