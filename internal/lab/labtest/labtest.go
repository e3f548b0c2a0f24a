// Package labtest gives tests real hosts (package lab).
//
// The tests of a binary share one lab if it has
//
//	func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }
//
// Otherwise each test has its own lab. In both cases each test has its own hosts, which are removed
// when it ends.
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

// Env is the environment variable that controls tests with hosts. With "require" they fail where no
// lab can run; otherwise they are skipped there. With "skip" they are always skipped.
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

// openLimit bounds opening a lab, including a first debootstrap on a slow network.
const openLimit = 30 * time.Minute

// Main runs the tests with a shared lab and returns the status for os.Exit. The first test that
// needs the lab opens it. Main ends it.
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

// Require skips the test with a reason where no lab can run. If Env is "require", the test fails
// instead, so that CI cannot pass without hosts.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv(Env) == "skip" {
		t.Skipf("needs real hosts, and %s=skip is set", Env)
	}
	if err := lab.Check(); err != nil {
		unavailable(t, err)
	}
}

// Program returns the path of a program that a test needs on this machine. If it is missing, the
// test is skipped, or fails if Env is "require".
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

// Lab returns the lab for the test: the shared lab if the binary uses Main, otherwise a lab that
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

// Hosts boots n hosts for the test in parallel and removes them when it ends. spec describes the
// hosts: without it they are plain Debian hosts, one spec applies to all of them, and n specs to
// one host each. The name of a spec is a prefix ("host" if empty), to which Hosts adds a unique
// number. If the test fails, its log receives a Report of each host.
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
	// The test's context ends before its cleanup, so Remove gets another one.
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

// Report returns what helps to diagnose a broken host: failed units, the end of the journal, disks
// and mounts, the console.
func Report(h *lab.Host) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var b strings.Builder
	fmt.Fprintf(&b, "host %s (%s %s):\n", h.Name, h.Address, h.Address6)
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
