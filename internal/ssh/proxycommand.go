package ssh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mirrorform/mirrorform/internal/sshconfig"
	"golang.org/x/sys/unix"
)

// commandConn is a connection to a host through the standard streams of a program: ProxyCommand of
// ssh_config(5). The program ends with the connection.
type commandConn struct {
	net.Conn // a socket whose other end are the streams
	place    string
	stderr   *tail
	pid      int

	mu    sync.Mutex
	ended chan struct{} // closed when the program has ended
	state *os.ProcessState
}

// dialCommand starts a target's ProxyCommand, by the user's shell as ssh(1) does. It has a process
// group of its own: an interrupt from the terminal is for mirrorform, which still needs the
// connection to roll back.
func dialCommand(t Target) (net.Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand at %s: %w", t.ProxyPlace, err)
	}
	unix.CloseOnExec(pair[0])
	unix.CloseOnExec(pair[1])
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer func() { _, _ = ours.Close(), theirs.Close() }() // the connection has a copy of its own
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand at %s: %w", t.ProxyPlace, err)
	}
	c := &commandConn{Conn: conn, place: t.ProxyPlace, stderr: newTail(), ended: make(chan struct{})}
	cmd := exec.Command(sshconfig.Shell(), "-c", "exec "+t.ProxyCommand) //nolint:noctx // it lives as long as the connection
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, c.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for children that keep standard error
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("ProxyCommand at %s: %w", t.ProxyPlace, err), conn.Close())
	}
	c.pid = cmd.Process.Pid
	go func() {
		_ = cmd.Wait() // its status is in the state
		c.mu.Lock()
		c.state = cmd.ProcessState
		c.mu.Unlock()
		close(c.ended)
	}()
	return c, nil
}

// Read implements net.Conn. Its errors name the program, if that has failed.
func (c *commandConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		err = c.explain(err)
	}
	return n, err
}

// Write implements net.Conn, with errors like those of Read.
func (c *commandConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		err = c.explain(err)
	}
	return n, err
}

// explain returns an error that names the program and what it printed, if it has failed.
func (c *commandConn) explain(err error) error {
	select {
	case <-c.ended:
	case <-time.After(2 * time.Second): // it closed its streams, and still runs
		return err
	}
	if c.state.Success() {
		return err
	}
	text := fmt.Sprintf("ProxyCommand at %s: %s", c.place, c.state)
	if said := c.stderr.String(); said != "" {
		text += ": " + quote(said[strings.LastIndexByte(said, '\n')+1:])
	}
	return &proxyError{text}
}

// proxyError is the error of a ProxyCommand that has failed.
type proxyError struct{ text string }

func (e *proxyError) Error() string { return e.text }

// RemoteAddr implements net.Conn: the host's address is not known here.
func (c *commandConn) RemoteAddr() net.Addr { return unspecified }

// Close ends the connection, and the program with what it has started.
func (c *commandConn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		_ = syscall.Kill(-c.pid, syscall.SIGHUP) // as ssh(1) does; it may have ended meanwhile
	}
	return err
}
