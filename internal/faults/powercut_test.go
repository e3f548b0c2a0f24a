package faults

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// cut is a copy of a host's disk as after a power cut at one of the helper's fault points.
type cut struct {
	image string
	point int
	done  bool // all operations had been performed, as the running host saw its files
}

// The power is cut at every fault point of an apply, and of an apply that fails and is rolled back.
// The host boots from the data that had reached its disk. Then all files are old or all are new,
// and the boot unit has finished or rolled back the transaction before the first login. Fault
// points between two writes to the disk have the same disk and share a boot.
func TestFault03PowerCut(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			t.Run("apply", func(t *testing.T) {
				t.Parallel()
				powerCuts(t, kind)
			})
			t.Run("rollback", func(t *testing.T) {
				t.Parallel()
				powerCutsOfRollback(t, kind)
			})
		})
	}
}

// powered boots a host that can lose its power, with the version "old" of small, and returns the
// states of its files in both versions.
func powered(t *testing.T, kind string) (h *lab.Host, s *site, old, fresh states) {
	t.Helper()
	h = boot(t, lab.HostSpec{Name: "power", System: kind})
	s, old = smallSite(t, h)
	s.write("fleet.hcl", small("new"))
	s.apply().says(t, 0)
	fresh = statesOf(t, h, smallPaths...)
	s.write("fleet.hcl", small("old"))
	s.apply().says(t, 0)
	on(t, h, "sync", "-f", "/") // the host as it is now has had its power for long
	return h, s, old, fresh
}

func powerCuts(t *testing.T, kind string) {
	h, s, old, fresh := powered(t, kind)
	s.write("fleet.hcl", small("new"))
	points, cuts := copyAtEveryPoint(t, s, h, 0, fresh)
	inWindow, booted := 0, 0
	for _, i := range spread(len(cuts), size(5, len(cuts))) {
		c := cuts[i-1]
		if recovers(t, s, h, c, old, fresh) && c.done {
			inWindow++
		}
		booted++
		if t.Failed() {
			t.Fatalf("power cut at fault point %d", c.point)
		}
	}
	record(t, 3, "power cut during an apply, "+kind, booted, fmt.Sprintf("boots; all files old or all new; %d steps with %d different disks", points, len(cuts)))

	// Row 4: everything was performed, and nothing committed.
	for _, c := range cuts {
		if inWindow < 1 && c.done && recovers(t, s, h, c, old, fresh) {
			inWindow++
		}
	}
	record(t, 4, "power cut before confirmation, "+kind, inWindow, "the boot unit rolled everything back")
}

func powerCutsOfRollback(t *testing.T, kind string) {
	h, s, old, fresh := powered(t, kind)
	s.write("fleet.hcl", small("new")+failing)
	points, cuts := copyAtEveryPoint(t, s, h, 1, fresh)
	s.write("fleet.hcl", small("new"))
	booted := 0
	// The first half of the steps are those of an apply that does not fail.
	for _, i := range spread(len(cuts), size(4, len(cuts))) {
		if c := cuts[i-1]; all() || i > len(cuts)/2 {
			if !recovers(t, s, h, c, old, fresh) {
				t.Error("the files are those of an apply that failed")
			}
			booted++
			if t.Failed() {
				t.Fatalf("power cut at fault point %d", c.point)
			}
		}
	}
	record(t, 3, "power cut during a rollback, "+kind, booted, fmt.Sprintf("boots; all files old; %d steps with %d different disks", points, len(cuts)))
}

// copyAtEveryPoint applies the configuration, which ends with an exit status, and copies the disk
// at each fault point at which it has changed. It also returns the number of fault points.
func copyAtEveryPoint(t *testing.T, s *site, h *lab.Host, exit int, fresh states) (points int, cuts []cut) {
	t.Helper()
	const dir = "/run/mirrorform-stop"
	images := t.TempDir()
	on(t, h, "rm", "-rf", dir)
	on(t, h, "mkdir", dir)
	inject(t, h, "stopall "+dir)
	run := s.start("apply", "--auto-approve")
	last := ""
	for n := 1; ; n++ {
		there := false
		eventually(t, "the helper to reach fault point "+strconv.Itoa(n), func() bool {
			alive := run.alive()
			there = succeeds(h, fmt.Sprintf("test \"$(cat %s/reached)\" = %d", dir, n))
			return there || !alive
		})
		if !there {
			break
		}
		points = n
		writes, err := h.SystemWrites()
		if err != nil {
			t.Fatal(err)
		}
		if writes != last || n == 1 {
			c := cut{image: filepath.Join(images, strconv.Itoa(n)), point: n}
			if err := h.Snapshot(t.Context(), c.image); err != nil {
				t.Fatal(err)
			}
			if last, err = h.SystemWrites(); err != nil {
				t.Fatal(err)
			}
			c.done = statesOf(t, h, smallPaths...).equal(fresh)
			cuts = append(cuts, c)
		}
		put(t, h, dir+"/go", "", 0o644)
	}
	run.wait().says(t, exit)
	disarm(t, h)
	if len(cuts) < 10 {
		t.Fatalf("only %d different disks at %d fault points", len(cuts), points)
	}
	return points, cuts
}

// besides is a script that prints everything that must not exist after a boot and before the first
// login: temporary files of operations next to their targets, and the boot unit. The next apply
// removes files in the helper's own directories from before the first operation and after the
// commit.
const besides = `
find / -path /proc -prune -o -path /sys -prune -o -path ` + stateDir + ` -prune -o -path /etc/systemd/system -prune -o -path /usr/local/sbin -prune -o -name '.mirrorform-*' -print 2>/dev/null
ls -d ` + recoverLink + ` 2>/dev/null
true`

// recovers boots the host from a copy of its disk, and reports whether it is in the state before
// the apply. It then calls the oracle.
func recovers(t *testing.T, s *site, h *lab.Host, c cut, old, fresh states) bool {
	t.Helper()
	if err := h.PowerCut(context.Background(), c.image); err != nil {
		t.Fatal(err)
	}
	// The boot unit may still be at work when sshd answers.
	eventually(t, "the boot unit to end", func() bool {
		return succeeds(h, `case "$(systemctl show -p ActiveState --value mirrorform-recover.service)" in activating|reloading|deactivating) exit 1; esac
test -z "$(systemctl list-jobs --no-legend mirrorform-recover.service)"`) && free(h)
	})
	which := statesOf(t, h, smallPaths...).same(t, old, fresh)
	if left := strings.TrimSpace(sh(t, h, besides)); left != "" {
		t.Errorf("after the boot there is still:\n%s\n%s", left, sh(t, h, "journalctl --no-pager -u mirrorform-recover.service; systemctl status --no-pager mirrorform-recover.service || true"))
	}
	if which == 0 && c.done {
		if said := sh(t, h, "journalctl --no-pager -o cat -u mirrorform-recover.service"); said == "" {
			t.Error("the boot unit has not run")
		}
	}
	oracle(t, s, h, result{exit: -1, output: "power cut at fault point " + strconv.Itoa(c.point)})
	statesOf(t, h, smallPaths...).same(t, fresh)
	return which == 0
}
