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

	"github.com/mirrorform/mirrorform/engine"
)

// ConnectLocal runs the bundle's helper on this machine, as a child process, and returns the link to it. Of the target, Name, Become, BecomePassword and
// ConnectTimeout count. The helper is the one that other hosts get, with the same greeting and the same state below /var/lib/mirrorform. Its file is
// gone again when it runs.
func (d *Dialer) ConnectLocal(ctx context.Context, t Target, bundle Bundle) (*Link, error) {
	t.Address, t.Jump = "localhost", nil
	t, err := t.complete()
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", quote(t.Name), err)
	}
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("host %s (this machine): the helper runs on Linux, and this is %s", t.Name, runtime.GOOS)
	}
	cause := fmt.Errorf("host %s (this machine): no directory to run the helper from", t.Name)
	for _, place := range localPlaces() {
		link, err := d.connectLocal(ctx, t, bundle, place)
		if err == nil {
			return link, nil
		}
		cause = fmt.Errorf("host %s (this machine): %w", t.Name, err)
		var blocked *notRunnableError
		if !errors.As(err, &blocked) && !errors.Is(err, syscall.EACCES) { // EACCES: execve(2) where a file system is mounted noexec
			break
		}
	}
	return nil, cause
}

// localPlaces are where the helper can be put, in the order in which they are tried.
func localPlaces() []string {
	places := []string{os.TempDir()}
	if cache, err := os.UserCacheDir(); err == nil {
		places = append([]string{filepath.Join(cache, "mirrorform")}, places...)
	}
	return places
}

// connectLocal is ConnectLocal with the helper in a directory of its own below place.
func (d *Dialer) connectLocal(ctx context.Context, t Target, bundle Bundle, place string) (*Link, error) {
	binary, _, err := bundle.Binary(ctx, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(place, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(place, "helper-") // which nobody else can enter
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "helper")
	if err := os.WriteFile(file, binary, 0o500); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	guard := d.guard(t, cancel)
	defer guard.stop()
	guard.enter("starting the helper")
	s := &session{target: t, opts: d.opts, guard: guard, done: make(chan struct{}), dead: make(chan struct{})}
	nonce := engine.NewNonce()
	mayAsk := t.Become == "sudo" && t.BecomePassword != nil
	p, err := s.startLocal(becomeArgv(t.Become, mayAsk), file, nonce)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.close(context.Cause(ctx)) })
	link, err := s.greet(ctx, p, bundle, mayAsk, nonce)
	if err == nil && stop() {
		return link, nil
	}
	s.close(err)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	return nil, err
}

// startLocal starts the helper. It has a session of its own (setsid(2)), so that a terminal's interrupt is the controller's to deal with.
func (s *session) startLocal(become []string, file, nonce string) (*process, error) {
	argv := append(become, file, "--nonce", mustHex(nonce))
	cmd := exec.Command(argv[0], argv[1:]...)
	// What this process has in its environment may be secret.
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + os.Getenv("HOME"), "USER=" + s.target.User, "LOGNAME=" + s.target.User}
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
		state, err := cmd.Process.Wait() // not cmd.Wait, which closes standard output before it is read
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

// becomeArgv is become as arguments.
func becomeArgv(how string, mayAsk bool) []string {
	switch {
	case how == "sudo" && mayAsk:
		return []string{"sudo", "-S", "-p", prompt, "--"}
	case how == "none":
		return nil
	}
	return []string{how, "-n", "--"}
}

// childStreams are a child's standard streams, as what a process on a host has: an SSH channel, and the connection below it. Closing them is
// what ends the helper; it is never killed, since it may have a transaction to take back.
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

// LocalAddr and what follows implement net.Conn.
func (c *childStreams) LocalAddr() net.Addr              { return nil }
func (c *childStreams) RemoteAddr() net.Addr             { return nil }
func (c *childStreams) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (c *childStreams) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (c *childStreams) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

var (
	_ gossh.Channel = (*childStreams)(nil)
	_ net.Conn      = (*childStreams)(nil)
)
