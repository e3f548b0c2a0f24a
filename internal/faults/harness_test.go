package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// all reports whether all faults are injected, and not only a representative part.
func all() bool { return os.Getenv("MIRRORFORM_FAULTS") == "all" }

// size returns the number of injections of a test: representative by default, or full.
func size(representative, full int) int {
	if all() {
		return full
	}
	return representative
}

// spread returns n of the numbers 1 to last, evenly spread, including both ends. It returns all of
// them if n is not smaller.
func spread(last, n int) []int {
	if n >= last {
		n = last
	}
	var numbers []int
	for i := range n {
		at := 1
		if n > 1 {
			at = 1 + i*(last-1)/(n-1)
		}
		numbers = append(numbers, at)
	}
	return numbers
}

// limit bounds every wait of a test. Only a hanging test reaches it.
const limit = 5 * time.Minute

// built is the program under test, built once for all tests.
var built struct {
	once sync.Once
	dir  string // removed at the end
	env  []string
	err  error
}

// program returns the path of mirrorform, built with the tag "faults" so that its helper has fault
// points, and its environment.
func program(t testing.TB) (string, []string) {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "mirrorform-faults-"); built.err != nil {
			return
		}
		caches, err := labtest.Environ(filepath.Join(built.dir, "cache"))
		if err != nil {
			built.err = err
			return
		}
		built.env = append(caches, "PATH="+os.Getenv("PATH"), "NO_COLOR=1", "LC_ALL=C.UTF-8", "TMPDIR="+os.TempDir())
		built.err = build(filepath.Join(built.dir, "mirrorform"), "-tags", "faults")
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "mirrorform"), built.env
}

// build builds the program with these flags of go build.
func build(path string, flags ...string) error {
	cmd := exec.Command("go", slices.Concat([]string{"build"}, flags, []string{"-o", path, "./cmd/mirrorform"})...)
	cmd.Dir = filepath.Join("..", "..")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
	}
	return nil
}

// site is the directory of a configuration with everything to run the program there, and the hosts
// of the configuration.
type site struct {
	t    testing.TB
	dir  string
	path string // of the program
	env  []string
}

// host describes a host in the configuration of a site.
type host struct {
	*lab.Host
	// Address takes the place of the host's own, as "ADDRESS:PORT" of a proxy.
	Address string
	User    string // "admin" when empty
	Become  string // "sudo" when empty
	// More is further lines of the host's block.
	More string
}

// newSite makes a site for hosts. Its configuration names them "h", or "h1", "h2" and so on if
// there are several.
func newSite(t testing.TB, hosts ...host) *site {
	t.Helper()
	path, env := program(t)
	s := &site{t: t, dir: t.TempDir(), path: path}
	home := t.TempDir()
	s.env = append(append([]string(nil), env...), "HOME="+home, "USER=tester")
	var blocks strings.Builder
	for i, h := range hosts {
		name := "h"
		if len(hosts) > 1 {
			name = fmt.Sprint("h", i+1)
		}
		blocks.WriteString(h.block(t, name))
	}
	s.write("hosts.hcl", blocks.String())
	return s
}

// connectionEnv is the type of connection to hosts, by default mirrorform's own.
const connectionEnv = "MIRRORFORM_FAULTS_CONNECTION"

// block returns the host's block in the configuration.
func (h host) block(t testing.TB, name string) string {
	t.Helper()
	key, err := h.HostKey()
	if err != nil {
		t.Fatal(err)
	}
	address, port, user, become := h.Host.Address, "22", h.User, h.Become
	if h.Address != "" {
		address, port, _ = strings.Cut(h.Address, ":")
	}
	if user == "" {
		user = "admin"
	}
	if become == "" {
		become = "sudo"
	}
	more := h.More
	if way := os.Getenv(connectionEnv); way != "" {
		more += fmt.Sprintf("  connection { type = %q }\n", way)
	}
	return fmt.Sprintf("host %q {\n  address    = %q\n  port       = %s\n  user       = %q\n  become     = %q\n  identities = [%q]\n  host_key   = %q\n%s}\n",
		name, address, port, user, become, h.SSHKeyPath, key, more)
}

// write writes a file of the configuration.
func (s *site) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// result is the result of a run of the program.
type result struct {
	exit   int    // -1: a signal ended it
	output string // standard output and standard error, in the order in which they came
}

// says fails the test unless the program ended with exit and printed all texts.
func (r result) says(t testing.TB, exit int, texts ...string) {
	t.Helper()
	if r.exit != exit {
		t.Errorf("exit status %d, want %d; it printed:\n%s", r.exit, exit, r.output)
	}
	for _, text := range texts {
		if !strings.Contains(r.output, text) {
			t.Errorf("the output lacks %q:\n%s", text, r.output)
		}
	}
}

// run runs the program with arguments to its end.
func (s *site) run(args ...string) result {
	s.t.Helper()
	return s.start(args...).wait()
}

// apply runs apply without a prompt.
func (s *site) apply(args ...string) result {
	s.t.Helper()
	return s.run(append([]string{"apply", "--auto-approve"}, args...)...)
}

// running is a run of the program.
type running struct {
	t      testing.TB
	cmd    *exec.Cmd
	output *syncBuffer
	ended  chan struct{}
}

// start starts the program in a separate process group. The program is killed if the test ends
// first.
func (s *site) start(args ...string) *running {
	s.t.Helper()
	r := &running{t: s.t, cmd: exec.Command(s.path, args...), output: &syncBuffer{}, ended: make(chan struct{})}
	r.cmd.Dir, r.cmd.Env = s.dir, s.env
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { _ = r.cmd.Wait(); close(r.ended) }()
	s.t.Cleanup(r.kill)
	return r
}

// kill sends SIGKILL and waits for the end.
func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	<-r.ended
}

// signal sends a signal.
func (r *running) signal(sig os.Signal) { _ = r.cmd.Process.Signal(sig) }

// alive reports whether the program is still running.
func (r *running) alive() bool {
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// wait waits for the end of the run.
func (r *running) wait() result {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(limit):
		r.signal(syscall.SIGQUIT)
		time.Sleep(time.Second)
		r.kill()
		r.t.Fatalf("mirrorform %s did not end within %s:\n%s", strings.Join(r.cmd.Args[1:], " "), limit, r.output)
	}
	return result{r.cmd.ProcessState.ExitCode(), r.output.String()}
}

// until waits until what the program has printed contains text.
func (r *running) until(text string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("the output to hold %q", text), func() bool {
		if strings.Contains(r.output.String(), text) {
			return true
		}
		if !r.alive() {
			r.t.Fatalf("the program ended without printing %q:\n%s", text, r.output)
		}
		return false
	})
}

// syncBuffer is a buffer that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually waits until done is true.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > limit {
			t.Fatalf("waited %s in vain for %s", limit, what)
		}
	}
}

// on runs a program as root on a host, without SSH, and returns its output. The program must
// succeed.
func on(t testing.TB, h *lab.Host, argv ...string) string {
	t.Helper()
	out, err := h.Run(context.Background(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// sh runs a script with /bin/sh, like on.
func sh(t testing.TB, h *lab.Host, script string) string {
	t.Helper()
	return on(t, h, "sh", "-c", script)
}

// succeeds reports whether a script of /bin/sh ends with status 0 on a host.
func succeeds(h *lab.Host, script string) bool {
	_, err := h.Run(context.Background(), "sh", "-c", script)
	return err == nil
}

// read returns a file of a host.
func read(t testing.TB, h *lab.Host, path string) string {
	t.Helper()
	data, err := h.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// put writes a file on a host.
func put(t testing.TB, h *lab.Host, path, content string, mode os.FileMode) {
	t.Helper()
	if err := h.Write(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// boot boots a host for the test, of the operating system of system if the test does not say one.
func boot(t testing.TB, spec ...lab.HostSpec) *lab.Host {
	t.Helper()
	labtest.Require(t)
	program(t)
	one := lab.HostSpec{}
	if len(spec) > 0 {
		one = spec[0]
	}
	if one.OS == "" {
		one.OS = system()
	}
	return labtest.Host(t, one)
}
