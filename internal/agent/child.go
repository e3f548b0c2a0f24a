package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// searchPath is the PATH of every program that the helper runs.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const (
	queryTimeout = wire.QueryTime
	opTimeout    = wire.ChangeTime
	// linger is how long to wait for output of a grandchild once the program itself has ended.
	linger = time.Second
)

var (
	errNotInstalled = errors.New("not installed") // a program that is not in searchPath
	errNoProgram    = errors.New("no program given")
	errLate         = errors.New("it took too long")
)

// command is a program to run, without a shell.
type command struct {
	argv    []string
	env     []string // in addition to the fixed environment
	timeout time.Duration
	keep    int    // bytes of output kept; 0 is wire.MaxOutput
	merge   bool   // standard error goes where standard output goes
	refuse  string // fail if the output contains this text
	stdin   string
	stdout  io.Writer // gets standard output, which outcome.stdout then lacks
	// lock is set for a program that changes the host. It inherits the lock, if it is held, and keeps
	// it as long as it or any program it started runs.
	lock *lock
}

// outcome is how a program ended.
type outcome struct {
	exit           int // -1: killed
	why            string
	stdout, stderr *tail
}

// output returns everything that was printed, for an error.
func (o *outcome) output() string {
	return printable(strings.TrimSpace(o.stdout.String() + "\n" + o.stderr.String()))
}

// lookPath finds a program by the rules of execvp(3), in searchPath alone.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		if name[0] != '/' {
			return "", fmt.Errorf("%s: the path of a program must be absolute", quote(name))
		}
		return name, nil
	}
	for _, dir := range strings.Split(searchPath, ":") {
		path := dir + "/" + name
		if kindOf(path) == unix.S_IFREG && unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, errNotInstalled)
}

// run runs a program until it ends. When its timeout is over or ctx ends, its process group is
// killed. The exit status of a program is not an error.
func run(ctx context.Context, c command) (*outcome, error) {
	if len(c.argv) == 0 || c.argv[0] == "" {
		return nil, errNoProgram
	}
	path, err := lookPath(c.argv[0])
	if err != nil {
		return nil, err
	}
	o := &outcome{stdout: newTail(c), stderr: newTail(c)}
	cmd := &exec.Cmd{
		Path: path, Args: c.argv, Dir: "/",
		Env:    append([]string{"PATH=" + searchPath, "LC_ALL=C", "HOME=" + home()}, c.env...),
		Stdout: o.stdout, Stderr: o.stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		WaitDelay:   linger,
	}
	if c.stdin != "" {
		cmd.Stdin = strings.NewReader(c.stdin)
	}
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	if c.merge {
		cmd.Stderr = cmd.Stdout
	}
	if c.lock != nil {
		if c.lock.taken != nil {
			cmd.ExtraFiles = []*os.File{c.lock.taken} // descriptor 3
		}
		faultpoint("program")
		defer faultpoint("end of program")
	}
	if err := cmd.Start(); err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o.wait(ctx, cmd, c)
	return o, nil
}

// wait reaps the process. A killed process may not end while a file system does not answer: if it
// changes nothing, wait does not wait for it.
func (o *outcome) wait(ctx context.Context, cmd *exec.Cmd, c command) {
	pid := cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// This does not reap the process: until Cmd.Wait does, the process ID cannot be used again, so
		// the kill below always reaches this process group. The contexts of exec.Cmd would kill only the
		// process itself.
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errLate)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		o.why = "killed: the helper was stopped"
		if errors.Is(context.Cause(ctx), errLate) {
			o.why = "killed: it did not end within " + period(c.timeout)
		}
	}
	if o.why == "" {
		o.reap(cmd)
		return
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	patience := time.After(linger)
	if c.lock != nil {
		patience = nil
	}
	select {
	case <-ended:
		o.reap(cmd)
	case <-patience:
		o.exit = -1
		go func() {
			<-ended
			_ = cmd.Wait()
		}()
	}
}

// reap collects the exit status of a process that has ended, and its output.
func (o *outcome) reap(cmd *exec.Cmd) {
	err := cmd.Wait() // repeats the exit status, or reports that a grandchild still holds the output
	o.exit = cmd.ProcessState.ExitCode()
	if o.exit >= 0 || o.why != "" {
		return
	}
	if cmd.ProcessState == nil {
		o.why = "unknown how it ended: " + err.Error()
	} else if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		o.why = "killed by " + status.Signal().String()
	}
}

// must runs a program that has to succeed, and returns its standard output.
func must(ctx context.Context, c command) (string, error) {
	o, err := run(ctx, c)
	if err != nil {
		return "", err
	}
	if o.exit == 0 && (c.refuse == "" || !o.stdout.found && !o.stderr.found) {
		return o.stdout.String(), nil
	}
	f := &failure{message: fmt.Sprintf("%s: exit status %d", c.argv[0], o.exit), output: o.output()}
	if o.why != "" {
		f.message = c.argv[0] + ": " + o.why
	} else if o.exit == 0 {
		f.message = c.argv[0] + ": its output contains " + quote(c.refuse)
	}
	f.said = lastLine(f.output)
	return o.stdout.String(), f
}

// ask runs a program that only reads, and returns all of its standard output.
func ask(ctx context.Context, argv ...string) (*outcome, error) {
	o, err := run(ctx, command{argv: argv, timeout: queryTimeout, keep: 8 << 20})
	if err != nil {
		return nil, err
	}
	if o.why != "" {
		return nil, fmt.Errorf("%s: %s", argv[0], o.why)
	}
	return o, nil
}

// programs runs programs that change the host. They inherit its lock.
type programs struct{ lock *lock }

// change runs a program that has to succeed.
func (p *programs) change(argv ...string) error {
	_, err := must(context.Background(), command{argv: argv, timeout: opTimeout, merge: true, lock: p.lock})
	return err
}

// perform performs a RunOp.
func (p *programs) perform(op *wire.RunOp) error {
	c := command{argv: op.Argv, timeout: seconds(op.Timeout, opTimeout), merge: true, lock: p.lock}
	if len(op.About) == 0 {
		c.refuse = op.Refuse
	}
	out, err := must(context.Background(), c)
	if err != nil || op.Refuse == "" {
		return err
	}
	for line := range strings.Lines(out) {
		about := func(s string) bool { return strings.Contains(line, s) }
		if about(op.Refuse) && slices.ContainsFunc(op.About, about) {
			return &failure{
				message: op.Argv[0] + ": its output contains " + quote(op.Refuse), said: strings.TrimSpace(line), output: out,
			}
		}
	}
	return nil
}

// home returns the home directory of the helper's user, for programs that need $HOME.
func home() string {
	if unix.Geteuid() == 0 {
		return "/root"
	}
	if h, ok := syscall.Getenv("HOME"); ok && h != "" && h[0] == '/' {
		return path.Clean(h)
	}
	return "/"
}

// tail keeps the end of what is written to it. A program that was left running may write while it
// is read.
type tail struct {
	mu     sync.Mutex
	limit  int
	buf    []byte
	cut    bool
	refuse []byte
	found  bool // refuse was found, perhaps in a part that was dropped
}

func newTail(c command) *tail {
	t := &tail{limit: c.keep, refuse: []byte(c.refuse)}
	if t.limit == 0 {
		t.limit = wire.MaxOutput
	}
	return t
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.refuse) > 0 && !t.found {
		// The text may begin in what was written before.
		from := max(0, len(t.buf)-len(t.refuse)+1)
		t.found = strings.Contains(string(t.buf[from:])+string(p), string(t.refuse))
	}
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.limit:]...)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over := len(t.buf) - t.limit; over > 0 {
		return "…" + string(t.buf[over:])
	}
	if t.cut {
		return "…" + string(t.buf)
	}
	return string(t.buf)
}
