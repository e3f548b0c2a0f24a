package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// master is a running ssh(1) whose connection is shared by a socket (ControlMaster of
// ssh_config(5)).
type master struct {
	target  Target
	program string
	socket  string
	process *os.Process
	stderr  *tail
	asked   net.Listener // for ssh's questions, or nil

	stopping sync.Once
	stopped  chan struct{} // closed by stop
	ended    chan struct{} // closed when state is set
	state    *os.ProcessState
}

// masters are the running programs of a Dialer.
type masters struct {
	dir socketDir
	all sync.WaitGroup

	mu      sync.Mutex
	running map[*master]bool
}

// startMaster starts ssh for a target. It has a session of its own (setsid(2)): an interrupt from
// the terminal is for mirrorform, which still needs the connection to roll back. So its questions
// come by SSH_ASKPASS. On Linux and FreeBSD it ends with this process, however that ends.
func (d *Dialer) startMaster(ctx context.Context, g *guard, t Target, proxy string) (*master, error) {
	program, err := sshProgram()
	if err != nil {
		return nil, err
	}
	socket, err := d.masters.dir.next()
	if err != nil {
		return nil, err
	}
	m := &master{
		target: t, program: program, socket: socket, stderr: newTail(),
		stopped: make(chan struct{}), ended: make(chan struct{}),
	}
	asks := d.keys.answer != nil && hasTerminal()
	args, err := d.arguments(t, socket, proxy, asks)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...) //nolint:noctx // it lives as long as the connection
	cmd.Env = os.Environ()                // SSH_AUTH_SOCK, and what the operator's ssh_config names
	if asks {
		if err := d.answerOpenSSH(ctx, g, m, cmd); err != nil {
			return nil, err
		}
	}
	cmd.Stderr = m.stderr
	cmd.SysProcAttr = endsWithUs()
	cmd.SysProcAttr.Setsid = true
	cmd.WaitDelay = time.Second // for what ProxyCommand leaves behind
	if err := startLasting(cmd); err != nil {
		m.stopAsking()
		return nil, fmt.Errorf("run ssh: %w", err)
	}
	m.process = cmd.Process
	d.masters.add(m)
	go func() {
		defer d.masters.remove(m)
		_ = cmd.Wait() // its status is in the state
		m.state = cmd.ProcessState
		m.stopAsking()
		_ = os.Remove(m.socket + ".known")
		close(m.ended)
	}()
	return m, nil
}

// starter runs functions on one thread that lasts as long as the process: a child that ends with
// its parent ends with the thread that started it (prctl(2), PR_SET_PDEATHSIG).
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// startLasting starts a command from the starter's thread.
func startLasting(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	starter() <- func() { started <- cmd.Start() }
	return <-started
}

// await connects to the socket as soon as ssh has logged in.
func (m *master) await(ctx context.Context) (net.Conn, error) {
	for delay := 2 * time.Millisecond; ; delay = min(2*delay, 20*time.Millisecond) {
		timer := time.NewTimer(delay)
		select {
		case <-m.ended:
			timer.Stop()
			return nil, m.failure(0)
		case <-ctx.Done():
			timer.Stop()
			var late *timeoutError
			if cause := context.Cause(ctx); errors.As(cause, &late) {
				late.hint = "check the address and port, that sshd runs, and that no firewall blocks the port" + m.said()
			}
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
		if conn, err := net.Dial("unix", m.socket); err == nil { //nolint:noctx // a local socket answers at once
			return conn, nil
		}
	}
}

// boring are the starts of lines that ssh prints around its reason: banners, and advice about files
// that are mirrorform's own.
var boring = []string{
	"@", "IT IS POSSIBLE", "Someone could", "It is also possible", "Add correct host key", "Offending",
	"remove with:", "ssh-keygen -f", "Host key for " + pinAlias,
}

// printed returns what ssh has printed, in one line.
func (m *master) printed() string {
	var lines []string
	for line := range strings.Lines(m.stderr.String()) {
		line = strings.TrimSpace(line)
		starts := func(start string) bool { return strings.HasPrefix(line, start) }
		if line != "" && !strings.Contains(line, "contact your system administrator") && !slices.ContainsFunc(boring, starts) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " / ")
}

// said returns what ssh printed, for the end of a message, or "".
func (m *master) said() string {
	if text := m.printed(); text != "" {
		return "; ssh printed " + quote(text)
	}
	return ""
}

// failure waits up to limit for ssh to end by itself, and returns its error; nil if it still runs,
// or was stopped.
func (m *master) failure(limit time.Duration) error {
	select {
	case <-m.stopped:
		return nil
	default:
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-m.ended:
	case <-timer.C:
		select {
		case <-m.ended:
		default:
			return nil
		}
	}
	return m.newError()
}

// stop ends ssh after a while, in which it passes on what it has received.
func (m *master) stop(after time.Duration) {
	m.stopping.Do(func() {
		close(m.stopped)
		go func() {
			timer := time.NewTimer(after)
			defer timer.Stop()
			select {
			case <-m.ended:
				return
			case <-timer.C:
			}
			_ = m.process.Signal(syscall.SIGTERM) // ssh ends its ProxyCommand, and removes the socket
			timer.Reset(2 * time.Second)
			select {
			case <-m.ended:
			case <-timer.C:
				_ = m.process.Kill()
			}
		}()
	})
}

func (m *masters) add(one *master) {
	m.all.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		m.running = map[*master]bool{}
	}
	m.running[one] = true
}

func (m *masters) remove(one *master) {
	m.mu.Lock()
	delete(m.running, one)
	m.mu.Unlock()
	m.all.Done()
}

// close ends all programs, waits for them, and removes their directory.
func (m *masters) close() {
	m.mu.Lock()
	for one := range m.running {
		one.stop(0)
	}
	m.mu.Unlock()
	m.all.Wait()
	m.dir.close()
}

// masterError is the error of an ssh that has ended.
type masterError struct {
	state  string // "exit status 255"
	text   string // what it printed
	cause  error  // to test for, or nil
	advice string // the next step
}

// openSSHAdvice maps what ssh prints to a cause and the next step. %s is the host.
var openSSHAdvice = []struct {
	said   []string
	cause  error
	advice string
}{
	{[]string{"IDENTIFICATION HAS CHANGED", "differs from the key for the IP address"}, ErrHostKeyChanged,
		"the connection may be intercepted, or the host was reinstalled: update known_hosts only if you know that it was"},
	{[]string{"host key is known for", "Host key verification failed"}, ErrHostKeyUnknown,
		"compare the key on the host, then add it with `ssh %s`, pin it as host_key, or use --accept-new-host-keys"},
	{[]string{"Permission denied (", "Too many authentication failures", "No more authentication methods"}, ErrAuthentication,
		"make `ssh %s` log in without a password"},
	{[]string{"Unable to negotiate"}, nil,
		"ssh and the host have no algorithm in common: update OpenSSH on this machine, or permit one in sshd_config"},
	{[]string{"Bad configuration option", "bad configuration options", "Bad owner or permissions"}, nil,
		"correct ssh's configuration, and try `ssh %s`"},
	{[]string{"Connection refused", "timed out", "No route to host", "not resolve hostname", "unreachable"}, nil,
		"check the address and port, that sshd runs, and that no firewall blocks the port"},
	{[]string{"not responding"}, nil, "check the host and the network, and try again"},
	{[]string{"No space left on device", "unix_listener"}, nil,
		"make room in the directory for the socket, or set XDG_RUNTIME_DIR to another one"},
}

// newError returns the error of an ssh that has ended, with its cause by all that it printed.
func (m *master) newError() *masterError {
	e := &masterError{state: m.state.String(), text: m.printed(), advice: "find out why with `ssh %s`"}
	all := m.stderr.String()
	if status, ok := m.state.Sys().(syscall.WaitStatus); ok && status.Signaled() { //nolint:misspell // the library's name
		e.advice = "another program or the kernel ended it: check this machine's log, and try again"
	}
	for _, a := range openSSHAdvice {
		if containsAny(all, a.said) {
			e.cause, e.advice = a.cause, a.advice
			break
		}
	}
	if m.target.HostKey != "" && (errors.Is(e.cause, ErrHostKeyChanged) || errors.Is(e.cause, ErrHostKeyUnknown)) {
		e.cause, e.advice = ErrHostKeyChanged, "the host showed none of the keys of host_key; the connection may be "+
			"intercepted, or the host was reinstalled: update host_key only if you know that it was"
	}
	e.advice = strings.ReplaceAll(e.advice, "%s", m.target.OpenSSH.Host)
	return e
}

// Error implements error.
func (e *masterError) Error() string {
	text := "ssh ended (" + e.state + ")"
	if e.text != "" {
		text = "ssh printed " + quote(e.text)
	}
	if e.cause != nil {
		text = e.cause.Error() + ": " + text
	}
	return text + "; " + e.advice
}

// Unwrap returns the cause, to test for.
func (e *masterError) Unwrap() error { return e.cause }

// transient reports whether the error may be gone a second later: see transient in dial.go.
func (e *masterError) transient() bool {
	return containsAny(e.text, []string{"Connection refused", "Connection reset by", "kex_exchange_identification"}) &&
		!strings.Contains(e.text, notAllowed)
}

// containsAny reports whether text contains one of the parts.
func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
