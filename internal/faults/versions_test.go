package faults

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// ordinary is the program built as users build it, whose helper therefore is another one than that
// of the program under test.
var ordinary struct {
	once sync.Once
	err  error
}

// otherVersion returns the site as a controller of another version runs it.
func otherVersion(t testing.TB, s *site) *site {
	t.Helper()
	path, _ := program(t)
	another := *s
	another.path = filepath.Join(filepath.Dir(path), "mirrorform-ordinary")
	ordinary.once.Do(func() {
		ordinary.err = build(another.path)
	})
	if ordinary.err != nil {
		t.Fatal(ordinary.err)
	}
	return &another
}

// Controllers of two versions take turns on one host. The helper of one is killed at its fault
// points, and the other's next apply ends what it began; while one's helper has the lock, the other
// is refused.
func TestFault01OtherVersion(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s, old := smallSite(t, h)
	ordinarily := otherVersion(t, s)
	ordinarily.run("plan", "--detailed-exitcode").says(t, 0)
	ordinarily.write("fleet.hcl", small("new"))
	ordinarily.apply().says(t, 0)
	fresh := statesOf(t, h, smallPaths...)
	s.run("plan", "--detailed-exitcode").says(t, 0)
	if n := len(strings.Fields(sh(t, h, "ls /var/lib/mirrorform/helper"))); n < 2 {
		t.Fatalf("the host has %d helpers, and is to have one for each version", n)
	}

	s.write("fleet.hcl", small("old"))
	points := enumerate(t, h, func() { s.apply().says(t, 0) })
	byVersion := map[string]states{"old": old, "new": fresh}
	count, version := 0, "old"
	for i, n := range spread(len(points), size(6, 20)) {
		s.write("fleet.hcl", small(other(version)))
		inject(t, h, "kill "+strconv.Itoa(n))
		r := s.apply()
		disarm(t, h)
		if r.exit != 0 {
			count++
		}
		statesOf(t, h, smallPaths...).wholly(t, old, fresh)
		version = []string{"new", "old"}[i%2]
		s.write("fleet.hcl", small(version))
		ordinarily.apply().says(t, 0)
		statesOf(t, h, smallPaths...).same(t, byVersion[version])
		s.run("plan", "--detailed-exitcode").says(t, 0)
		ordinarily.run("plan", "--detailed-exitcode").says(t, 0)
		clean(t, h)
		if t.Failed() {
			t.Fatalf("at fault point %d (%s) of a run that printed:\n%s", n, points[n-1], r.output)
		}
	}
	if count < 4 {
		t.Errorf("only %d helpers were killed", count)
	}

	s.write("fleet.hcl", small(other(version)))
	reached, letGo := stopPoint(t, h, len(points)/2)
	run := s.start("apply", "--auto-approve")
	if !reached(run) {
		t.Fatalf("the apply ended before its middle:\n%s", run.wait().output)
	}
	ordinarily.apply("--lock-timeout", "0s").says(t, 1, "lock")
	letGo()
	run.wait().says(t, 0)
	ordinarily.run("plan", "--detailed-exitcode").says(t, 0)
	record(t, 1, "helper killed at a step, and the next apply is by another version", count+1,
		"rolled back or finished by the other version; each file entirely old or new; one lock for both")
}
