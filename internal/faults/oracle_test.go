package faults

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// Where the helper keeps what it knows of a host, and what it leaves for the next boot while a transaction is open.
const (
	stateDir    = "/var/lib/mirrorform"
	recoverUnit = "/etc/systemd/system/mirrorform-recover.service"
	recoverLink = "/etc/systemd/system/multi-user.target.wants/mirrorform-recover.service"
	recoverProg = "/usr/local/sbin/mirrorform-recover"
	faultFile   = "/run/mirrorform-fault"
)

// leftovers is a script that prints a line for everything on a host that a finished transaction
// must not leave. The lock is free when no process has its file open.
const leftovers = `
find / -path /proc -prune -o -path /sys -prune -o -name '.mirrorform-*' -print 2>/dev/null
find ` + stateDir + `/journal -mindepth 1 2>/dev/null
find /proc/[0-9]*/fd -lname ` + stateDir + `/lock -printf 'lock open: %p\n' 2>/dev/null
ls -d ` + recoverUnit + ` ` + recoverLink + ` ` + recoverProg + ` 2>/dev/null
true`

// clean fails the test if the host has anything that a finished transaction must not leave. A
// helper may need a moment to end after its last message, so clean repeats the check for a while.
func clean(t testing.TB, h *lab.Host) {
	t.Helper()
	left := ""
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(50 * time.Millisecond) {
		if left = strings.TrimSpace(sh(t, h, leftovers)); left == "" {
			return
		}
	}
	t.Errorf("left on host %s:\n%s", h.Name, left)
}

// oracle checks the guarantees after a fault. The fault must be over. r is the run that it
// affected. If r ended with exit status 0, its claim must already be true. Then one apply
// converges, the plan after that is empty, and nothing is left.
func oracle(t testing.TB, s *site, h *lab.Host, r result) {
	t.Helper()
	if r.exit == 0 {
		if p := s.run("plan", "--detailed-exitcode"); p.exit != 0 {
			t.Errorf("the run said that it was done (exit status 0), but the plan after it has status %d:\n%s\n--- the run:\n%s", p.exit, p.output, r.output)
		}
	}
	if a := s.apply(); a.exit != 0 {
		t.Errorf("applying again: exit status %d:\n%s\n--- the run before:\n%s", a.exit, a.output, r.output)
	}
	if p := s.run("plan", "--detailed-exitcode"); p.exit != 0 {
		t.Errorf("the plan after applying again: exit status %d, want 0 and no changes:\n%s", p.exit, p.output)
	}
	clean(t, h)
}

// inject sets the helper's fault point: "kill N", "stop N DIR", "stopall DIR" or "log FILE".
func inject(t testing.TB, h *lab.Host, what string) {
	t.Helper()
	put(t, h, faultFile, what+"\n", 0o644)
}

// disarm removes the fault point.
func disarm(t testing.TB, h *lab.Host) {
	t.Helper()
	on(t, h, "rm", "-f", faultFile)
}

// enumerate lists the fault points of a run, in order.
func enumerate(t testing.TB, h *lab.Host, run func()) []string {
	t.Helper()
	const file = "/run/mirrorform-points"
	on(t, h, "rm", "-f", file)
	inject(t, h, "log "+file)
	run()
	disarm(t, h)
	points := strings.Split(strings.TrimSpace(read(t, h, file)), "\n")
	if len(points) < 10 {
		t.Fatalf("the helper passed %d fault points, which is no transaction: %q", len(points), points)
	}
	return points
}

// stopPoint sets a fault point at which the helper waits. reached waits until the helper is there,
// and returns false if the run ends first. letGo releases the helper.
func stopPoint(t testing.TB, h *lab.Host, n int) (reached func(*running) bool, letGo func()) {
	t.Helper()
	const dir = "/run/mirrorform-stop"
	on(t, h, "rm", "-rf", dir)
	on(t, h, "mkdir", dir)
	inject(t, h, "stop "+strconv.Itoa(n)+" "+dir)
	return func(r *running) bool {
			t.Helper()
			there := false
			eventually(t, "the helper to reach fault point "+strconv.Itoa(n), func() bool {
				alive := r.alive() // asked first: a run that ends right after the point has reached it
				there = succeeds(h, "test -e "+dir+"/reached")
				return there || !alive
			})
			return there
		}, func() {
			t.Helper()
			disarm(t, h)
			put(t, h, dir+"/go", "", 0o644)
		}
}

// free reports whether no process has the host's lock file open.
func free(h *lab.Host) bool {
	return succeeds(h, `test -z "$(find /proc/[0-9]*/fd -lname `+stateDir+`/lock 2>/dev/null)"`)
}
