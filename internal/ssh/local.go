package ssh

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// ConnectLocal runs the bundle's helper on this machine, as a child process, and returns the link
// to it. It uses only Name, Become, BecomePassword and ConnectTimeout of the target. The helper is
// the same as on other hosts, with the same greeting and the same state in /var/lib/mirrorform. If
// it becomes root, it runs from root's directory, as on other hosts; otherwise its file is removed
// as soon as it runs.
func (d *Dialer) ConnectLocal(ctx context.Context, t Target, bundle Bundle) (*Link, error) {
	t.Address, t.Jump = "localhost", nil
	t, err := t.complete()
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", quote(t.Name), err)
	}
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("host %s (this machine): the helper needs Linux, this machine runs %s", t.Name, runtime.GOOS)
	}
	cause := errors.New("no directory to run the helper from")
	for _, start := range localStarts(t) {
		link, err := d.connectLocal(ctx, t, bundle, start)
		if err == nil {
			return link, nil
		}
		cause = err
		// EACCES: execve(2) on a file system mounted noexec.
		if whyUnusable(err) == "" && !errors.Is(err, syscall.EACCES) {
			break
		}
	}
	return nil, fmt.Errorf("host %s (this machine): %w", t.Name, cause)
}

// localStart is a way to start the helper on this machine. cleanUp removes the file that it was
// started from.
type localStart func(
	ctx context.Context, s *connection, bundle Bundle, nonce string,
) (p *process, cleanUp func(), err error)

// localStarts returns the ways to start the helper, in the order in which they are tried.
func localStarts(t Target) []localStart {
	var starts []localStart
	if t.Become != "none" {
		for _, place := range t.rootPlaces {
			starts = append(starts, func(
				ctx context.Context, s *connection, bundle Bundle, nonce string,
			) (*process, func(), error) {
				p, err := s.startFromRoots(ctx, bundle, place, nonce)
				return p, func() {}, err
			})
		}
		return starts
	}
	places := []string{os.TempDir()}
	if cache, err := os.UserCacheDir(); err == nil {
		places = append([]string{filepath.Join(cache, "mirrorform")}, places...)
	}
	for _, place := range places {
		starts = append(starts, func(
			ctx context.Context, s *connection, bundle Bundle, nonce string,
		) (*process, func(), error) {
			return s.startFrom(ctx, bundle, place, nonce)
		})
	}
	return starts
}

// startFromRoots starts the helper from one of root's places, and installs it there if it is
// missing.
func (s *connection) startFromRoots(
	ctx context.Context, bundle Bundle, place rootPlace, nonce string,
) (*process, error) {
	d, data, err := newDelivery(ctx, bundle, runtime.GOARCH, place)
	if err != nil {
		return nil, err
	}
	argv := append(becomeArgv(s.target.Become, s.target.mayAsk()), "/bin/sh", "-c", d.unlessThere(nonce))
	p, err := s.startLocal(argv...)
	if err == nil {
		p.installs, p.offer = true, data
	}
	return p, err
}

// startFrom starts the helper from a new directory below place, which cleanUp removes.
func (s *connection) startFrom(
	ctx context.Context, bundle Bundle, place, nonce string,
) (p *process, cleanUp func(), err error) {
	nothing := func() {}
	binary, _, err := bundle.Binary(ctx, runtime.GOARCH)
	if err != nil {
		return nil, nothing, err
	}
	if err := os.MkdirAll(place, 0o700); err != nil {
		return nil, nothing, err
	}
	dir, err := os.MkdirTemp(place, "helper-") // mode 0700
	if err != nil {
		return nil, nothing, err
	}
	cleanUp = func() { _ = os.RemoveAll(dir) }
	file := filepath.Join(dir, "helper")
	if err := os.WriteFile(file, binary, 0o500); err != nil {
		return nil, cleanUp, err
	}
	p, err = s.startLocal(file, "--nonce", mustHex(nonce))
	return p, cleanUp, err
}

// connectLocal is ConnectLocal for one way to start the helper.
func (d *Dialer) connectLocal(ctx context.Context, t Target, bundle Bundle, start localStart) (*Link, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	guard := d.guard(t, cancel)
	defer guard.stop()
	guard.enter("starting the helper")
	s := &connection{
		target: t, opts: d.opts, guard: guard, keyOrigin: func() KeyOrigin { return KeyKnown },
		done: make(chan struct{}), dead: make(chan struct{}),
	}
	nonce := newNonce()
	p, cleanUp, err := start(ctx, s, bundle, nonce)
	defer cleanUp()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.close(context.Cause(ctx)) })
	link, err := s.greet(ctx, p, bundle, nonce)
	if err == nil && stop() {
		return link, nil
	}
	s.close(err)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	return nil, err
}

// startLocal starts the helper in a new session (setsid(2)), so that Ctrl-C in the terminal
// interrupts only mirrorform itself.
func (s *connection) startLocal(argv ...string) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	// Do not pass on the environment, which may have secrets.
	cmd.Env = []string{
		"LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + os.Getenv("HOME"), "USER=" + s.target.User, "LOGNAME=" + s.target.User,
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	stderr, errErr := cmd.StderrPipe()
	if err := errors.Join(inErr, outErr, errErr); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("%w: %s is not installed on this machine", ErrBecome, argv[0])
		}
		return nil, err
	}
	ch := &childStreams{WriteCloser: stdin, stdout: stdout, stderr: stderr}
	s.conn = watch(ch)
	p := &process{ch: ch, stdout: bufio.NewReader(ch), stderr: newTail(), ended: make(chan struct{}), status: -1}
	s.process = p
	go func() {
		_, _ = io.CopyBuffer(p.stderr, stderr, make([]byte, 1024))
		state, err := cmd.Process.Wait() // not cmd.Wait, which would close standard output before it is read
		if err == nil {
			p.status = state.ExitCode()
			if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() { //nolint:misspell // the library's name
				p.signal = status.Signal().String()
			}
		}
		close(p.ended)
		close(s.dead)
	}()
	return p, nil
}

// childStreams presents a child's standard streams as an SSH channel and as the connection below
// it. Closing them ends the helper. It is never killed, since it may have a transaction to roll
// back.
type childStreams struct {
	io.WriteCloser // standard input
	stdout, stderr io.ReadCloser
}

func (c *childStreams) Read(b []byte) (int, error) { return c.stdout.Read(b) }

// Close implements net.Conn and gossh.Channel.
func (c *childStreams) Close() error {
	return errors.Join(c.WriteCloser.Close(), c.stdout.Close())
}

// CloseWrite, SendRequest and Stderr implement gossh.Channel.
func (c *childStreams) CloseWrite() error { return c.WriteCloser.Close() }

func (c *childStreams) SendRequest(string, bool, []byte) (bool, error) {
	return false, errors.ErrUnsupported
}

func (c *childStreams) Stderr() io.ReadWriter { return nil }

// LocalAddr and the methods below implement net.Conn.
func (c *childStreams) LocalAddr() net.Addr              { return nil }
func (c *childStreams) RemoteAddr() net.Addr             { return nil }
func (c *childStreams) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (c *childStreams) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (c *childStreams) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

var (
	_ gossh.Channel = (*childStreams)(nil)
	_ net.Conn      = (*childStreams)(nil)
)
