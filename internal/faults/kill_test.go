package faults

import (
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// killer breaks a run that changes the host from one version of small to the other, at fault point
// n. It reports whether the run reached that point.
type killer func(t *testing.T, s *site, h *lab.Host, n int) (result, bool)

// killEverywhere breaks a change at evenly spread fault points. After each, it applies either the
// new version again or the old one, so that the state after a rollback is tested too. The next
// change starts from the resulting state.
func killEverywhere(t *testing.T, what string, kill killer, settles bool) {
	t.Parallel()
	h := boot(t)
	s, old := smallSite(t, h)
	s.write("fleet.hcl", small("new"))
	points := enumerate(t, h, func() { s.apply().says(t, 0) })
	t.Logf("%d fault points: %s", len(points), strings.Join(points, "; "))
	byVersion := map[string]states{"old": old, "new": statesOf(t, h, smallPaths...)}
	numbers := spread(len(points), size(8, len(points)))
	var count atomic.Int64
	t.Run("at", func(t *testing.T) {
		shards(t, size(1, 2), numbers, func(t *testing.T, numbers []int) {
			h := boot(t)
			s, _ := smallSite(t, h)
			version := "old"
			for i, n := range numbers {
				next := other(version)
				s.write("fleet.hcl", small(next))
				earlier := len(lines(t, h, "/run/demo.log"))
				r, fired := kill(t, s, h, n)
				if !fired {
					// The way back has a few points fewer than the way there; what has happened by then is an apply that nothing befell.
					r.says(t, 0)
				} else {
					count.Add(1)
				}
				found := statesOf(t, h, smallPaths...)
				found.wholly(t, byVersion["old"], byVersion["new"])
				if settles {
					found.same(t, byVersion["old"], byVersion["new"])
				}
				target := next
				if i%2 == 1 {
					target = version
					s.write("fleet.hcl", small(target))
					if r.exit == 0 { // else the oracle takes the run for one of the version that it looks for
						r.exit = -1
					}
				}
				oracle(t, s, h, r)
				statesOf(t, h, smallPaths...).same(t, byVersion[target])
				// A rollback that cannot know whether the service had loaded the new file has it load the old one, which may be once more than needed.
				log := lines(t, h, "/run/demo.log")
				noDoubleLoad(t, log[earlier:])
				if _, content, _ := strings.Cut(log[len(log)-1], " "); content != target {
					t.Errorf("what was loaded last is %q, and the file is %q: %q", content, target, log)
				}
				if t.Failed() {
					t.Fatalf("at fault point %d of %s to %s (%s there)", n, version, next, points[n-1])
				}
				version = target
			}
		})
	})
	if c, want := int(count.Load()), len(numbers)*3/4; c < want {
		t.Errorf("of %d injections only %d took place", len(numbers), c)
	}
	record(t, 1, what, int(count.Load()), "rolled back or finished by the next apply; each file entirely old or new; no reload lost or repeated")
}

// The helper is killed at each of its fault points.
func TestFault01HelperKilled(t *testing.T) {
	killEverywhere(t, "helper killed at a step", func(t *testing.T, s *site, h *lab.Host, n int) (result, bool) {
		t.Helper()
		inject(t, h, "kill "+strconv.Itoa(n))
		r := s.apply()
		disarm(t, h)
		return r, r.exit != 0 || strings.Contains(r.output, "connection")
	}, false)
}

// The controller is killed while the helper is at each of its fault points. The helper then rolls
// back, or has committed.
func TestFault01ControllerKilled(t *testing.T) {
	killEverywhere(t, "controller killed at a step", func(t *testing.T, s *site, h *lab.Host, n int) (result, bool) {
		t.Helper()
		reached, letGo := stopPoint(t, h, n)
		run := s.start("apply", "--auto-approve")
		fired := reached(run)
		if fired {
			run.kill()
		}
		letGo()
		r := run.wait()
		eventually(t, "the helper to end", func() bool { return free(h) })
		return r, fired
	}, true)
}

// failing is a resource after those of small whose check fails, so that all of them are rolled
// back.
const failing = `
resource "file" "fails" {
  hosts      = [host.h]
  path       = "/etc/demo.fails"
  content    = "never\n"
  validate   = ["/bin/false", "{}"]
  depends_on = [service.demo]
}
`

// Controller and helper are killed at each step of an apply that fails and is rolled back. The
// helper is killed again while the next apply recovers from that.
func TestFault01RollbackKilled(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s, old := smallSite(t, h)
	s.write("fleet.hcl", small("new")+failing)
	points := enumerate(t, h, func() { s.apply().says(t, 1) })
	statesOf(t, h, smallPaths...).same(t, old)
	clean(t, h)
	s.write("fleet.hcl", small("new"))
	s.apply().says(t, 0)
	fresh := statesOf(t, h, smallPaths...)
	t.Logf("%d fault points: %s", len(points), strings.Join(points, "; "))
	numbers := spread(len(points), size(4, len(points)))
	var count, again atomic.Int64
	t.Run("at", func(t *testing.T) {
		shards(t, size(1, 2), numbers, func(t *testing.T, numbers []int) {
			h := boot(t)
			s, old := smallSite(t, h)
			for i, n := range numbers {
				s.write("fleet.hcl", small("new")+failing)
				// Without the controller, which would connect again and have it recovered at once.
				reached, _ := stopPoint(t, h, n)
				run := s.start("apply", "--auto-approve")
				if !reached(run) {
					t.Fatalf("the apply ended before fault point %d of %d:\n%s", n, len(points), run.wait().output)
				}
				run.kill()
				killHelper(t, h)
				statesOf(t, h, smallPaths...).wholly(t, old, fresh)
				if succeeds(h, "test -n \"$(ls "+stateDir+"/journal)\"") {
					count.Add(1)
				}
				// The journal is in the way of the next apply too. Its recovery has about as many steps as the rollback that it takes the place of.
				inject(t, h, "kill "+strconv.Itoa(1+(7*n)%(len(points)/3)))
				target := []string{"old", "new"}[i%2]
				s.write("fleet.hcl", small(target))
				r := s.apply()
				if r.exit != 0 {
					again.Add(1)
				}
				disarm(t, h)
				statesOf(t, h, smallPaths...).wholly(t, old, fresh)
				oracle(t, s, h, r)
				statesOf(t, h, smallPaths...).same(t, []states{old, fresh}[i%2])
				if target == "new" { // the way back, undisturbed
					s.write("fleet.hcl", small("old"))
					s.apply().says(t, 0)
				}
				log := lines(t, h, "/run/demo.log")
				if _, content, _ := strings.Cut(log[len(log)-1], " "); content != "old" {
					t.Errorf("what was loaded last is %q, and the file is \"old\": %q", content, log)
				}
				if t.Failed() {
					t.Fatalf("at fault point %d (%s):\n%s", n, points[n-1], r.output)
				}
			}
		})
	})
	if count.Load() < int64(len(numbers))/2 || again.Load() < int64(len(numbers))/2 {
		t.Errorf("of %d kills only %d left a journal, and only %d of the second ones hit", len(numbers), count.Load(), again.Load())
	}
	record(t, 1, "controller and helper killed during a rollback, and again during recovery", len(numbers)+int(again.Load()), "rolled back by the next apply; each file entirely old or new; services have loaded the current files")
}

// Programs that the helper runs are killed: the package manager, a maintainer script, systemctl.
func TestFault01ChildKilled(t *testing.T) {
	t.Parallel()
	h := boot(t)
	offer(t, h, debPackage{name: "waits", scripts: map[string]string{"postinst": waiting}})
	s := newSite(t, host{Host: h})
	put(t, h, "/etc/systemd/system/slow.service", "[Service]\nExecStartPre=/bin/sh -c 'while [ -e /run/slow ]; do touch /run/slow.reached; sleep 0.1; done'\nExecStart=/bin/sleep infinity\n", 0o644)
	on(t, h, "systemctl", "daemon-reload")
	const motd = `
resource "file" "motd" {
  hosts   = [host.h]
  path    = "/etc/motd"
  content = "new\n"
}
`
	const packaged = motd + `
resource "package" "waits" {
  hosts      = [host.h]
  name       = "waits"
  depends_on = [file.motd]
}
`
	const served = motd + `
resource "service" "slow" {
  hosts      = [host.h]
  name       = "slow"
  running    = true
  depends_on = [file.motd]
}
`
	paths := []string{"/etc/motd", "/usr/share/waits/data"}
	old := statesOf(t, h, paths...)
	count := 0
	for name, pkill := range map[string][]string{"apt-get": {"-x", "apt-get"}, "dpkg": {"-x", "dpkg"}, "the script": {"-f", "waits.postinst"}} {
		s.write("fleet.hcl", packaged)
		reached, letGo := hold(t, h)
		run := s.start("apply", "--auto-approve")
		reached()
		on(t, h, append([]string{"pkill", "-KILL"}, pkill...)...)
		letGo()
		r := run.wait()
		r.says(t, 1)
		statesOf(t, h, paths...).same(t, old)
		oracle(t, s, h, r)
		if got := strings.TrimSpace(sh(t, h, "dpkg-query -W -f '${Status}' waits")); got != "install ok installed" {
			t.Errorf("after %s was killed and applying again, the package is %q", name, got)
		}
		s.write("fleet.hcl", "")
		s.apply().says(t, 0)
		on(t, h, "sh", "-c", "rm -f /etc/motd; dpkg --purge waits")
		old = statesOf(t, h, paths...)
		count++
	}
	s.write("fleet.hcl", served)
	on(t, h, "touch", "/run/slow")
	run := s.start("apply", "--auto-approve")
	eventually(t, "the service to be starting", func() bool { return succeeds(h, "test -e /run/slow.reached") })
	on(t, h, "pkill", "-KILL", "-x", "systemctl")
	on(t, h, "rm", "/run/slow")
	r := run.wait()
	r.says(t, 1)
	if got := strings.TrimSpace(sh(t, h, "systemctl is-active slow || true")); got != "inactive" && got != "failed" {
		t.Errorf("the service whose start failed is %s", got)
	}
	statesOf(t, h, paths...).same(t, old)
	oracle(t, s, h, r)
	record(t, 1, "package manager, script or systemctl killed", count+1, "rolled back; half-installed packages repaired")
}

// mirrorSite is a complete mirror on one host. Loads of nginx and of its files are recorded in
// /run/loads.log.
const mirrorSite = `
mirror "almalinux" {
  hosts = [host.h]
  storage {
    path        = "/srv/mirror/almalinux"
    minimum     = "1GB"
    recommended = "1GB"
  }
  sync { schedule = "0 0 1 1 *" }
  web { server_name = "h.mirror.example.org" }
}
`

// noteLoads makes nginx record the digest of its site at each start and reload.
const noteLoads = `[Service]
ExecStartPost=/bin/sh -c 'echo start $$(cat /etc/nginx/conf.d/mirrorform-*.conf 2>/dev/null | sha256sum) >>/run/loads.log'
ExecReload=/bin/sh -c 'echo reload $$(cat /etc/nginx/conf.d/mirrorform-*.conf 2>/dev/null | sha256sum) >>/run/loads.log'
`

// The controller is killed at random moments of the apply that turns a fresh host into a complete
// mirror. The packages are already installed, except in one of twenty runs if all faults are
// injected. Each run starts from the same fresh host, booted from a copy of its disk.
func TestFault01Mirror(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	numbers := spread(size(3, 200), size(3, 200))
	var killed atomic.Int64
	t.Run("on", func(t *testing.T) {
		shards(t, size(1, 2), numbers, func(t *testing.T, numbers []int) {
			seed := uint64(time.Now().UnixNano())
			random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // moments, no secrets
			h := boot(t, lab.HostSpec{Name: "mirror", System: "ext4"})
			s := newSite(t, host{Host: h})
			s.write("fleet.hcl", mirrorSite)
			put(t, h, "/etc/systemd/system/nginx.service.d/note.conf", noteLoads, 0o644)
			bare := mirrorImage(t, h)
			sh(t, h, "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends nginx rsync logrotate && systemctl disable --now nginx")
			withPackages := mirrorImage(t, h)
			for i := range numbers {
				from := withPackages
				if all() && i%20 == 0 {
					from = bare
				}
				if from.takes == 0 { // the first run tells how long one takes, and is killed nowhere
					from.boot(t, h)
					begin := time.Now()
					s.apply().says(t, 0)
					from.takes = time.Since(begin)
				}
				var run *running
				var at time.Duration
				for hit := false; !hit; {
					from.boot(t, h)
					at = time.Duration(random.Int64N(int64(from.takes)))
					run = s.start("apply", "--auto-approve")
					select {
					case <-time.After(at):
					case <-run.ended:
					}
					if hit = run.alive(); !hit { // the machine is less busy than it was
						from.takes = from.takes * 9 / 10
					}
					run.kill()
				}
				killed.Add(1)
				oracle(t, s, h, result{exit: -1, output: run.output.String()})
				mirrorServed(t, h)
				noDoubleLoad(t, lines(t, h, "/run/loads.log"))
				if t.Failed() {
					t.Fatalf("run %d: killed after %s of about %s (seed %d)", i, at, from.takes, seed)
				}
			}
			t.Logf("applying takes %s, and %s with packages to install", withPackages.takes, bare.takes)
		})
	})
	record(t, 1, "controller killed at a random moment, whole mirror", int(killed.Load()), "converged by the next apply; no temporary file or lock left; no reload lost or repeated")
}

// image is a copy of a host's disk, with the time of an apply that turns it into a mirror.
type image struct {
	file  string
	takes time.Duration
}

// boot boots the host from the image.
func (i *image) boot(t *testing.T, h *lab.Host) {
	t.Helper()
	if err := h.PowerCut(t.Context(), i.file); err != nil {
		t.Fatal(err)
	}
}

func mirrorImage(t *testing.T, h *lab.Host) *image {
	t.Helper()
	on(t, h, "sync", "-f", "/")
	i := &image{file: filepath.Join(t.TempDir(), "image")}
	if err := h.Snapshot(t.Context(), i.file); err != nil {
		t.Fatal(err)
	}
	return i
}

// mirrorServed fails the test unless nginx has loaded the current content of its site.
func mirrorServed(t testing.TB, h *lab.Host) {
	t.Helper()
	log := lines(t, h, "/run/loads.log")
	file, _, _ := strings.Cut(sh(t, h, "cat /etc/nginx/conf.d/mirrorform-*.conf | sha256sum"), " ")
	if !strings.Contains(log[len(log)-1], " "+file) {
		t.Errorf("nginx has loaded %q, and its file is %s", log, file)
	}
}

// lines returns the lines of a file on a host, or none if the file is missing.
func lines(t testing.TB, h *lab.Host, path string) []string {
	t.Helper()
	return strings.Split(strings.TrimSpace(sh(t, h, "cat "+path+" 2>/dev/null || true")), "\n")
}
