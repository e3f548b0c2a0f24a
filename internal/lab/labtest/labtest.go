// Package labtest gives tests real hosts (package lab).
//
// A test binary that boots hosts in several tests shares one lab when it has
//
//	func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }
//
// and otherwise each test gets a lab of its own. Each test's hosts are its own
// in both cases, and are removed when it ends.
package labtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// Env is the environment variable that says what tests do where no lab can
// run: with the value "require" they fail, and else they are skipped. With
// "skip" they are skipped everywhere.
const Env = "MIRRORFORM_LAB"

// shared is the lab of the test binary; only Main sets it up.
var shared struct {
	enabled atomic.Bool
	mu      sync.Mutex
	lab     *lab.Lab
	err     error
}

// hosts counts the hosts of the binary, for unique names.
var hosts atomic.Int64

// openLimit bounds the making of a lab, with a first debootstrap on a slow
// network.
const openLimit = 30 * time.Minute

// Main runs the tests with a lab that they share, made by the first that asks
// for one and ended here, and returns the status for os.Exit.
func Main(m *testing.M) int {
	shared.enabled.Store(true)
	status := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.lab != nil {
		if err := shared.lab.Down(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "labtest:", err)
			return max(status, 1)
		}
	}
	return status
}

// Require skips the test where no lab can run, and says why; with Env set to
// "require" the test fails instead, so that CI cannot pass without hosts.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv(Env) == "skip" {
		t.Skipf("needs real hosts, and %s=skip is set", Env)
	}
	if err := lab.Check(); err != nil {
		unavailable(t, err)
	}
}

// Program returns the path of a program of this machine that a test needs. Without it the test is skipped; with Env set to "require" it fails instead.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv(Env) == "require":
		t.Fatalf("%v (%s=require is set)", err, Env)
	default:
		t.Skip(err)
	}
	return path
}

func unavailable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(Env) == "require" {
		t.Fatalf("%v (%s=require is set)", err, Env)
	}
	t.Skipf("needs real hosts: %v", err)
}

// Lab returns the lab for the test: the binary's under Main, else one that
// ends with the test. It calls Require.
func Lab(t testing.TB) *lab.Lab {
	t.Helper()
	Require(t)
	if !shared.enabled.Load() {
		l, err := open()
		if err != nil {
			fail(t, err)
		}
		t.Cleanup(func() {
			if err := l.Down(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return l
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.lab == nil && shared.err == nil {
		shared.lab, shared.err = open()
	}
	if shared.err != nil {
		fail(t, shared.err)
	}
	return shared.lab
}

func fail(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, lab.ErrUnavailable) {
		unavailable(t, err)
	}
	t.Fatal(err)
}

// labs counts the labs of the binary, for unique names.
var labs atomic.Int64

func open() (*lab.Lab, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openLimit)
	defer cancel()
	name := fmt.Sprintf("test-%d-%d", os.Getpid(), labs.Add(1))
	return lab.Open(ctx, lab.Options{Name: name, Log: os.Stderr})
}

// Hosts boots n hosts for the test, at once, and removes them when it ends.
// spec is what each is like: none is a plain Debian host, one serves all, and
// otherwise there is one for each. A spec's name is a prefix ("host" if
// empty), made unique with a number. When the test fails, what the hosts'
// consoles and journals say goes to its log.
func Hosts(t testing.TB, n int, spec ...lab.HostSpec) []*lab.Host {
	t.Helper()
	if len(spec) > 1 && len(spec) != n {
		t.Fatalf("labtest.Hosts: %d specs for %d hosts", len(spec), n)
	}
	l := Lab(t)
	specs := make([]lab.HostSpec, n)
	for i := range specs {
		switch len(spec) {
		case 0:
		case 1:
			specs[i] = spec[0]
		default:
			specs[i] = spec[i]
		}
		if specs[i].Name == "" {
			specs[i].Name = "host"
		}
		specs[i].Name = fmt.Sprintf("%s-%d", specs[i].Name, hosts.Add(1))
	}
	// The test's context ends before its clean-up; Remove outlives it.
	booted, err := l.BootAll(t.Context(), specs...)
	t.Cleanup(func() {
		for _, h := range booted {
			if h == nil {
				continue
			}
			if t.Failed() {
				t.Log(Report(h))
			}
			if err := h.Remove(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return booted
}

// Host is Hosts for one host.
func Host(t testing.TB, spec ...lab.HostSpec) *lab.Host {
	t.Helper()
	return Hosts(t, 1, spec...)[0]
}

// Report tells what a person would look at first on a host that misbehaves:
// failed units, the end of the journal, disks and mounts, the console.
func Report(h *lab.Host) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var b strings.Builder
	fmt.Fprintf(&b, "host %s (%s):\n", h.Name, h.Address)
	for _, argv := range [][]string{
		{"systemctl", "--no-pager", "--failed"},
		{"journalctl", "--no-pager", "--lines=40", "--quiet"},
		{"df", "-h"},
		{"findmnt", "--fstab"},
		{"ls", "-lRA", "/var/lib/mirrorform"},
	} {
		out, err := h.Run(ctx, argv...)
		fmt.Fprintf(&b, "--- %s\n%s", strings.Join(argv, " "), out)
		if err != nil {
			fmt.Fprintf(&b, "%v\n", err)
		}
	}
	console, err := os.ReadFile(h.ConsolePath())
	fmt.Fprintf(&b, "--- console\n%s", console)
	if err != nil {
		fmt.Fprintf(&b, "%v\n", err)
	}
	return b.String()
}
