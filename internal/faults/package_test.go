package faults

import (
	"fmt"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// withPackage is a configuration with a file and then a package.
func withPackage(name, content string) string {
	return fmt.Sprintf(`
resource "file" "first" {
  hosts   = [host.h]
  path    = "/etc/first"
  content = "%s\n"
}
resource "package" "it" {
  hosts      = [host.h]
  name       = %q
  depends_on = [file.first]
}
`, content, name)
}

// packageStatus returns dpkg's status of a package, or "" if dpkg does not know it.
func packageStatus(t testing.TB, h *lab.Host, name string) string {
	t.Helper()
	return strings.TrimSpace(sh(t, h, "dpkg-query -W -f '${Status}' "+name+" 2>/dev/null || true"))
}

// A maintainer script outlives the controller and the helper. The lock lasts as long as the script.
// Other runs wait, or stop and report the holder.
func TestFault13OrphanedChild(t *testing.T) {
	t.Parallel()
	h := boot(t)
	offer(t, h, debPackage{name: "waits", scripts: map[string]string{"postinst": waiting}})
	s := newSite(t, host{Host: h})
	s.write("fleet.hcl", withPackage("waits", "new"))
	n := size(1, 3)
	for i := range n {
		reached, letGo := hold(t, h)
		first := s.start("apply", "--auto-approve")
		reached()
		// The helper is what has the lock and is no package manager; the controller goes first in one case, and second in another.
		if i%2 == 0 {
			first.kill()
		}
		killHelper(t, h)
		if i%2 == 1 {
			first.wait()
			first.kill()
		}
		if first.wait().exit == 0 {
			t.Error("the run that was killed claims to be done")
		}
		if free(h) {
			t.Fatal("the lock is free while a script of the apply still runs")
		}
		r := s.apply("--lock-timeout", "1s")
		r.says(t, 1, operator(t), "apply", "process")
		if !strings.Contains(r.output, "dpkg") && !strings.Contains(r.output, "postinst") && !strings.Contains(r.output, "apt") && !strings.Contains(r.output, "sleep") {
			t.Errorf("the message does not name the process that has the lock:\n%s", r.output)
		}
		if got := s.run("plan"); !strings.Contains(got.output, operator(t)) {
			t.Errorf("plan does not tell who has the lock:\n%s", got.output)
		}
		second := s.start("apply", "--auto-approve")
		second.until("waiting for the lock")
		letGo()
		r = second.wait()
		r.says(t, 0)
		oracle(t, s, h, r)
		if got := packageStatus(t, h, "waits"); got != "install ok installed" {
			t.Errorf("the package is %q", got)
		}
		s.write("fleet.hcl", "")
		s.apply().says(t, 0)
		sh(t, h, "dpkg --purge waits 2>/dev/null; true")
		s.write("fleet.hcl", withPackage("waits", "new"))
	}
	record(t, 13, "a maintainer script outlives helper and controller", n, "the script keeps the lock; the second operator sees this, waits and finishes")
}

// operator returns the operator as the program names them, up to the name of the machine.
func operator(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username + "@"
}

// killHelper kills the helper on a host, but none of its child processes.
func killHelper(t testing.TB, h *lab.Host) {
	t.Helper()
	// Its program lies where it was pushed to, and is the only one whose command line has a nonce for mirrorform. What sudo started is its child.
	sh(t, h, `pids=$(for p in /proc/[0-9]*; do tr '\0' '\n' <$p/cmdline 2>/dev/null | grep -qx -- --nonce && case $(readlink $p/exe) in *mirrorform*) echo ${p#/proc/};; esac; done); [ -n "$pids" ] && kill -KILL $pids`)
}

// Another program holds the package manager's lock. The run waits for a limited time, then names
// the holder.
func TestFault24PackageLock(t *testing.T) {
	t.Parallel()
	managers := []struct {
		name string
		os   lab.OS
		file string
	}{
		{"dpkg", "", "/var/lib/dpkg/lock-frontend"},
		{"rpm", lab.EL9, "/var/lib/rpm/.rpm.lock"},
	}
	for _, m := range managers {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			h := boot(t, lab.HostSpec{Name: m.name, OS: m.os})
			s := newSite(t, host{Host: h})
			s.write("fleet.hcl", withPackage("mirrorform-lab-demo", "new"))
			take := func() {
				t.Helper()
				// fcntl(2), as package managers do it; struct flock is that of 64-bit Linux.
				put(t, h, "/run/holder", "#!/usr/bin/perl\nuse Fcntl; open F, '+>>', $ARGV[0] or die; my $lock = pack('ssx4qqix4', F_WRLCK, 0, 0, 0, 0);\n"+
					"fcntl(F, F_SETLK, $lock) or die; system('systemd-notify --ready'); sleep\n", 0o755)
				on(t, h, "systemd-run", "--quiet", "--collect", "--unit=holder", "--service-type=notify", "--property=NotifyAccess=all", "perl", "/run/holder", m.file)
			}
			held := "waited for, and applied when released"
			count := 1
			if all() {
				take()
				old := statesOf(t, h, "/etc/first")
				r := s.apply()
				r.says(t, 1, "lock", "perl")
				statesOf(t, h, "/etc/first").same(t, old)
				on(t, h, "systemctl", "stop", "holder")
				oracle(t, s, h, r)
				s.write("fleet.hcl", "")
				s.apply().says(t, 0)
				s.write("fleet.hcl", withPackage("mirrorform-lab-demo", "new"))
				held += "; timed out after 2 min with the holder's name, and rolled back"
				count++
			}
			take()
			run := s.start("apply", "--auto-approve")
			eventually(t, "the package manager to run", func() bool { return succeeds(h, "pgrep -x 'apt-get|dnf'") || !run.alive() })
			time.Sleep(2 * time.Second) // one that does not wait has failed by now
			if !run.alive() {
				t.Errorf("the lock was not waited for:\n%s", run.wait().output)
			}
			on(t, h, "systemctl", "stop", "holder")
			r := run.wait()
			r.says(t, 0)
			oracle(t, s, h, r)
			record(t, 24, "lock of "+m.name+" held", count, held)
		})
	}
}

// A package is half-installed, because its scripts or dpkg were killed. No plan treats it as
// installed, and apply repairs it.
func TestFault25HalfInstalled(t *testing.T) {
	t.Parallel()
	h := boot(t)
	const early = "#!/bin/sh\n[ ! -e /run/wait ] || { touch /run/waiting; while [ -e /run/wait ]; do sleep 0.1; done; }\n"
	offer(t, h, debPackage{name: "waits", scripts: map[string]string{"postinst": waiting}}, debPackage{name: "waits-early", scripts: map[string]string{"preinst": early}})
	s := newSite(t, host{Host: h})
	cases := []struct{ pkg, kill string }{
		{"waits", "waits.postinst"}, {"waits-early", "dpkg"}, {"waits", "apt-get"}, {"waits", "dpkg"}, {"waits-early", "preinst"},
	}
	cases = cases[:size(2, len(cases))]
	for _, c := range cases {
		s.write("fleet.hcl", withPackage(c.pkg, "new"))
		// By hand, past mirrorform.
		reached, letGo := hold(t, h)
		on(t, h, "systemd-run", "--quiet", "--collect", "--unit=by-hand", "--setenv=DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", c.pkg)
		reached()
		flag := "-x"
		if strings.Contains(c.kill, "inst") {
			flag = "-f"
		}
		on(t, h, "pkill", "-KILL", flag, c.kill)
		if c.kill != "apt-get" { // whose dpkg goes on, and finishes its work
			sh(t, h, "systemctl kill --signal=KILL by-hand 2>/dev/null; true") // unless it has ended by itself
		}
		letGo()
		eventually(t, "the installation by hand to end", func() bool { return !succeeds(h, "systemctl is-active --quiet by-hand || pgrep -x 'dpkg|apt-get'") })
		broken := packageStatus(t, h, c.pkg) != "install ok installed"
		if !broken && c.kill != "apt-get" {
			t.Errorf("%s was killed, and %s is installed properly", c.kill, c.pkg)
		}
		p := s.run("plan", "--detailed-exitcode", "--target", "h/package.it")
		if broken {
			p.says(t, 2, "package.it")
		}
		r := s.apply()
		r.says(t, 0)
		oracle(t, s, h, r)
		if got := packageStatus(t, h, c.pkg); got != "install ok installed" {
			t.Errorf("after apply %s is %q", c.pkg, got)
		}
		s.write("fleet.hcl", "")
		s.apply().says(t, 0)
		sh(t, h, "dpkg --purge "+c.pkg+" 2>/dev/null; true")
		if t.Failed() {
			t.Fatalf("%s with %s killed", c.pkg, c.kill)
		}
	}
	record(t, 25, "half-installed package", len(cases), "never treated as installed; repaired by apply")
}
