package agent

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

func sh(script string) command {
	return command{argv: []string{"sh", "-c", script}, timeout: time.Minute}
}

func TestRun(t *testing.T) {
	t.Parallel()
	o, err := run(t.Context(), sh(`echo out; echo err >&2; cat; pwd; exit 3`))
	if err != nil || o.exit != 3 || o.stdout.String() != "out\n/\n" || o.stderr.String() != "err\n" || o.why != "" {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = run(t.Context(), command{argv: []string{"env"}, env: []string{"X=1"}, timeout: time.Minute})
	want := "PATH=" + searchPath + "\nLC_ALL=C\nHOME=" + home() + "\nX=1\n"
	if err != nil || o.stdout.String() != want {
		t.Errorf("environment %q, %v", o.stdout, err)
	}
	for _, argv := range [][]string{nil, {""}, {"no-such-program"}, {"a/b"}, {"../x"}, {"/no/such/program"}, {"/"}} {
		if o, err := run(t.Context(), command{argv: argv, timeout: time.Minute}); err == nil {
			t.Errorf("%q: %+v", argv, o)
		}
	}
	if _, err := run(t.Context(), command{argv: []string{"no-such-program"}}); !errors.Is(err, errNotInstalled) {
		t.Error(err)
	}
	// Arguments are arguments: no shell looks at them.
	const odd = "$(touch /pwn-1) `x` ; * \" ' \\ \n é"
	if o, err := run(t.Context(), command{argv: []string{"printf", "%s", odd}, timeout: time.Minute}); err != nil || o.stdout.String() != odd {
		t.Errorf("%q, %v", o.stdout, err)
	}
}

func TestRunIsBounded(t *testing.T) {
	t.Parallel()
	o, err := run(t.Context(), sh(`head -c 300000 /dev/zero | tr '\0' x; echo end`))
	if got := o.stdout.String(); err != nil || o.exit != 0 || len(got) != wire.MaxOutput+len("…") || !strings.HasSuffix(got, "xend\n") || !strings.HasPrefix(got, "…x") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// All that a program started ends with it when its time is over.
	c := sh(`sleep 1000 & echo $!; wait`)
	pid := ""
	for c.timeout = 100 * time.Millisecond; pid == ""; c.timeout *= 2 { // a busy machine may need longer to start anything
		o, err = run(t.Context(), c)
		if err != nil || o.exit != -1 || !strings.Contains(o.why, c.timeout.String()) {
			t.Fatalf("%+v, %v", o, err)
		}
		pid = strings.TrimSpace(o.stdout.String())
	}
	for exists("/proc/" + pid) {
		if stat, err := readFile("/proc/" + pid + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			break // its parent has yet to reap it
		}
		time.Sleep(time.Millisecond)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if o, err = run(stopped, sh("sleep 1000")); err != nil || o.exit != -1 || o.why == "" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = run(t.Context(), sh("kill -TERM $$")); err != nil || o.exit != -1 || o.why != "killed by terminated" {
		t.Errorf("%+v, %v", o, err)
	}
	// What a program leaves running is not waited for, though it has the program's output.
	if o, err = run(t.Context(), sh("sleep 1000 & echo $!")); err != nil || o.exit != 0 {
		t.Errorf("%+v, %v", o, err)
	}
	if err := exec.Command("kill", strings.TrimSpace(o.stdout.String())).Run(); err != nil {
		t.Errorf("the process was killed with its parent: %v", err)
	}
}

// apt hands descriptor 3 on to dpkg (APT::Keep-Fds), so the lock has to be that one.
func TestLockIsDescriptor3(t *testing.T) {
	t.Parallel()
	h := newHost(t.TempDir() + "/state")
	if err := h.lock.try(&wire.Begin{}); err != nil {
		t.Fatal(err)
	}
	defer h.lock.release()
	c := command{argv: []string{"readlink", "/proc/self/fd/3"}, timeout: time.Minute}
	if o, err := run(t.Context(), c); err != nil || o.exit == 0 {
		t.Errorf("a question has %q as descriptor 3, %v", o.stdout, err)
	}
	c.lock = h.lock
	if o, err := run(t.Context(), c); err != nil || o.stdout.String() != h.lock.file()+"\n" {
		t.Errorf("descriptor 3 is %q, %v", o.stdout, err)
	}
}

func TestRefusedOutput(t *testing.T) {
	t.Parallel()
	for script, found := range map[string]bool{
		"echo '[warn] x'":     true,
		"echo '[warn] x' >&2": true,
		"echo '[war'":         false,
		"printf '[wa'; sleep 0.05; printf 'rn] x'":                true,
		"echo '[warn]'; head -c 300000 /dev/zero | tr '\\0' x":    true,
		"head -c 32765 /dev/zero | tr '\\0' x; printf '[warn] x'": true,
	} {
		c := sh(script)
		c.refuse = "[warn]"
		_, err := must(t.Context(), c)
		if (err != nil) != found {
			t.Errorf("%s: %v", script, err)
		}
	}
	if err := performRun(&wire.RunOp{Argv: []string{"sh", "-c", "echo [warn] twice; exit 0"}, Refuse: "[warn]"}); err == nil || !strings.Contains(outputOf(err), "twice") {
		t.Error(err)
	}
	if err := performRun(&wire.RunOp{Argv: []string{"sleep", "100"}, Timeout: 1}); err == nil || !strings.Contains(err.Error(), "within 1s") {
		t.Error(err)
	}
}

func TestAskRun(t *testing.T) {
	t.Parallel()
	c := dial(t, t.TempDir()+"/state")
	answers := c.ask(wire.Query{Verb: wire.AskRun, Args: []string{"sh", "-c", `printf 'a\377b'; exit 7`}}, wire.Query{Verb: wire.AskRun, Args: []string{"no-such-program"}}, wire.Query{Verb: wire.AskRun})
	if r := answers[0].Run; r == nil || r.Exit != 7 || r.Stdout != "a\uFFFDb" {
		t.Errorf("%+v", r)
	}
	for _, a := range answers[1:] {
		if a.Run == nil || a.Run.Exit != -1 || a.Run.Stderr == "" {
			t.Errorf("%+v", a.Run)
		}
	}
	// A condition that does not hold makes the program a missing one.
	dir := t.TempDir()
	for path, want := range map[string]int{dir: 0, dir + "/missing": -1} {
		a := c.ask(wire.Query{Verb: wire.AskRun, Args: []string{"true"}, Option: "if:" + path})[0]
		if a.Run == nil || a.Run.Exit != want {
			t.Errorf("if:%s: %+v", path, a.Run)
		}
	}
	// What was killed has answered nothing, whatever it printed before.
	killed := c.ask(wire.Query{Verb: wire.AskRun, Args: []string{"sh", "-c", "echo half; kill -KILL $$"}})[0]
	if killed.Run != nil || !strings.Contains(killed.Error, "sh: killed by killed") {
		t.Errorf("%+v", killed)
	}
}

// TestLockHelper is no test: it is the process that holds a lock for TestLockHolder.
func TestLockHelper(t *testing.T) {
	file := os.Getenv("MIRRORFORM_TEST_LOCK")
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("locked\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestLockHolder(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/lock"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lockHolder(file, file+".none"); got != "" {
		t.Errorf("nobody holds it: %s", got)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockHelper$")
	cmd.Env = append(os.Environ(), "MIRRORFORM_TEST_LOCK="+file)
	p := spawn(t, cmd)
	defer func() { _ = p.Close() }()
	if _, err := p.Read(make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	if got, want := lockHolder(file+".none", file), "process "+strconv.Itoa(cmd.Process.Pid)+" (agent.test) holds "+file; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func performRun(op *wire.RunOp) error { return newHost("/nonexistent").performOp(&wire.Op{Run: op}) }
