package faults

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// TestFault11TwoOperators: two operators apply different configurations at the same moment. Only
// one writes at a time, so all files are from one of them. The other waits, or stops and names the
// holder of the lock.
func TestFault11TwoOperators(t *testing.T) {
	t.Parallel()
	const files = 5
	h := boot(t)
	operators := []*site{newSite(t, host{Host: h}), newSite(t, host{Host: h, User: "noisy"})}
	names := []string{"alice", "bob"}
	races := size(3, 50)
	waited, stopped, content := 0, 0, func(operator, race int) string { return fmt.Sprintf("%s %d\n", names[operator], race) }
	for i, s := range operators { // pushes the helper
		s.write("main.hcl", fileBlocks("host.h", "f", files, content(i, 0)))
		s.apply().says(t, 0)
	}
	for race := 1; race <= races; race++ {
		patience := "60s"
		if race%2 == 0 {
			patience = "0s"
		}
		var runs [2]*running
		for i, s := range operators {
			s.write("main.hcl", fileBlocks("host.h", "f", files, content(i, race))+slowFile("host.h", content(i, race)))
			runs[i] = s.start("apply", "--auto-approve", "--lock-timeout", patience)
		}
		var results [2]result
		for i, r := range runs {
			results[i] = r.wait()
		}
		found := uniform(t, h, "f", files, content(0, race), content(1, race))
		if slow := strings.TrimSpace(read(t, h, "/etc/ctl/slow")); slow != strings.TrimSpace(found) {
			t.Errorf("race %d: the files say %q, and the slow one %q", race, found, slow)
		}
		winner := 0
		if found == content(1, race) {
			winner = 1
		}
		if results[winner].exit != 0 {
			t.Errorf("race %d: the files are of %s, whose exit status is %d:\n%s", race, names[winner], results[winner].exit, results[winner].output)
		}
		other := results[1-winner]
		switch {
		case other.exit == 0: // it was first, or waited
			if strings.Contains(other.output+results[winner].output, "waiting for the lock") {
				waited++
			}
		case other.exit == 1 && strings.Contains(other.output, "locked by another run"):
			stopped++
			if patience != "0s" {
				t.Errorf("race %d: %s did not wait:\n%s", race, names[1-winner], other.output)
			}
			for _, want := range []string{"@", "\"apply\"", "since", "from \"", "held by"} {
				if !strings.Contains(other.output, want) {
					t.Errorf("race %d: who holds the lock is told without %q:\n%s", race, want, other.output)
				}
			}
		default:
			t.Errorf("race %d: %s ended with status %d:\n%s", race, names[1-winner], other.exit, other.output)
		}
		clean(t, h)
	}
	if waited+stopped == 0 {
		t.Error("in no race did one of them find the lock taken")
	}
	last := operators[races%2]
	oracle(t, last, h, result{exit: 1})
	record(t, 11, "two operators at the same moment", races, fmt.Sprintf("never mixed; %d waited, %d stopped and saw the holder of the lock", waited, stopped))
}

// slowFile declares /etc/ctl/slow. Writing it takes one second, so that two simultaneous applies
// overlap.
func slowFile(hosts, content string) string {
	return fileBlock(hosts, "slow", "/etc/ctl/slow", content, "  validate = [\"/bin/sh\", \"-c\", \"sleep 1\", \"{}\"]\n")
}

// TestFault12HolderHangs: the holder of the lock hangs. The next operator waits no longer than
// configured, sees who holds the lock, and does not steal it. A helper that continues in time
// finishes. A helper whose controller hangs rolls everything back by itself and releases the lock.
func TestFault12HolderHangs(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s, second := newSite(t, host{Host: h}), newSite(t, host{Host: h})
	config := func(content string) {
		s.write("main.hcl", fileBlocks("host.h", "f", 2, content)+heldFile("host.h", content))
	}
	config("old\n")
	s.apply().says(t, 0)
	second.write("main.hcl", fileBlocks("host.h", "f", 2, "second\n"))

	// The helper on the host hangs for a moment.
	config("new\n")
	reached, letGo := detain(t, h)
	run := s.start("apply", "--auto-approve")
	reached()
	pid := holder(t, h)
	on(t, h, "kill", "-STOP", pid)
	second.apply("--lock-timeout", "2s").says(t, 1, "locked by another run", "\"apply\"", "from \"", "process "+pid)
	if !run.alive() {
		t.Error("the first operator's run has ended")
	}
	if got := holder(t, h); got != pid {
		t.Errorf("the lock was process %s's, and is %s's", pid, got)
	}
	if plan := second.run("plan"); plan.exit != 0 || !strings.Contains(plan.output, "this host is locked by another run") {
		t.Errorf("plan needs no lock, and says who has it; exit status %d:\n%s", plan.exit, plan.output)
	}
	on(t, h, "kill", "-CONT", pid)
	letGo()
	r := run.wait()
	r.says(t, 0)
	uniform(t, h, "f", 2, "new\n")
	oracle(t, s, h, r)
	count := 1

	if all() {
		// The controller hangs, with its connection open. Nothing of it is heard, so the helper takes everything back.
		config("newer\n")
		reached, letGo := detain(t, h)
		run := s.start("apply", "--auto-approve")
		reached()
		run.signal(syscall.SIGSTOP)
		second.apply("--lock-timeout", "2s").says(t, 1, "locked by another run")
		letGo()
		second.apply("--lock-timeout", "90s").says(t, 0)
		uniform(t, h, "f", 2, "second\n")
		run.signal(syscall.SIGCONT)
		r := run.wait()
		if r.exit != 1 {
			t.Errorf("the run that had hung: exit status %d:\n%s", r.exit, r.output)
		}
		uniform(t, h, "f", 2, "second\n")
		oracle(t, s, h, r)
		count++
	}
	record(t, 12, "the holder of the lock hangs (SIGSTOP)", count, "bounded wait that names the holder; the lock is not stolen")
}

// holder returns the ID of the process that has the lock open.
func holder(t testing.TB, h *lab.Host) string {
	t.Helper()
	out := sh(t, h, `for d in /proc/[0-9]*; do if find $d/fd -lname `+stateDir+`/lock 2>/dev/null | grep -q .; then
case $(cat $d/comm) in helper-*|mirrorform*) echo ${d#/proc/};; esac; fi; done`)
	fields := strings.Fields(out)
	if len(fields) != 1 {
		t.Fatalf("the helpers that have the lock open: %q", fields)
	}
	return fields[0]
}
