package faults

import (
	"fmt"
	"strings"
	"testing"
)

// Another account of a host: what it owns it can exchange at any moment, and what it can open it
// can lock.

// swap replaces a directory with a link and back, for as long as it runs.
const swap = `rename("in", "aside"), rename("link", "in"), rename("in", "link"), rename("aside", "in") while 1`

// TestFault43SwappedDirectory: a directory of another user is replaced with a link to a directory
// of root while plans read in it. No plan shows content that only root can read, or treats it as
// absent.
func TestFault43SwappedDirectory(t *testing.T) {
	t.Parallel()
	h := boot(t)
	const secret = "only-root-reads-this"
	sh(t, h, `useradd -m other
mkdir -m 700 /root/vault && echo `+secret+` >/root/vault/conf && chmod 600 /root/vault/conf
mkdir /home/other/d /home/other/d/in && echo theirs >/home/other/d/in/conf && ln -s /root/vault /home/other/d/link
ln -s /root/vault /root/link
chown -hR other:other /home/other/d; chmod -R a+rX /home/other`)
	s := newSite(t, host{Host: h})
	s.write("main.hcl", `resource "file" "conf" {
  hosts   = [host.h]
  path    = "/home/other/d/in/conf"
  content = "wanted\n"
}
resource "directory" "sub" {
  hosts = [host.h]
  path  = "/home/other/d/in/sub/sub"
}
`)
	injected := 0
	plan := func(what string) result {
		t.Helper()
		r := s.run("plan")
		if strings.Contains(r.output, secret) {
			t.Fatalf("%s: the plan shows a file that only root can read:\n%s", what, r.output)
		}
		injected++
		return r
	}
	plan("nothing is exchanged").says(t, 0, "theirs")
	for _, c := range []struct{ set, says, unset string }{
		{"mv in aside && mv link in", "/home/other/d/in is a link owned by user", "mv in link && mv aside in"},
		{"mv in aside && cp -P /root/link in", "/home/other/d/in is a link, and user", "rm in && mv aside in"}, // root's own, which other can rename
	} {
		sh(t, h, "cd /home/other/d && "+c.set)
		plan(c.set).says(t, 1, c.says)
		r := s.apply()
		r.says(t, 1, c.says)
		if strings.Contains(r.output, secret) {
			t.Errorf("%s: the apply shows a file that only root can read:\n%s", c.set, r.output)
		}
		sh(t, h, "cd /home/other/d && "+c.unset)
		injected++
	}
	sh(t, h, "systemd-run --unit=swap --uid=other --working-directory=/home/other/d perl -e '"+swap+"'")
	for range 12 {
		plan("exchanged all the time")
	}
	if state := strings.TrimSpace(sh(t, h, "systemctl is-active swap")); state != "active" {
		t.Errorf("nothing was exchanged any more: the unit is %s", state)
	}
	record(t, 43, "a directory of another user, replaced with a link, once and in a loop, while plans read in it", injected,
		"link not followed; an error that names the link and the user who can replace it")
	sh(t, h, `systemctl stop swap; rm -rf /home/other/d
mkdir /home/other/logs && echo line >/home/other/logs/sync.log && chown -R other:other /home/other/logs`)
	s.write("main.hcl", `resource "package" "logrotate" {
  hosts = [host.h]
  name  = "logrotate"
}
resource "logrotate" "other" {
  hosts = [host.h]
  name  = "other"
  files = ["/home/other/logs/sync.log"]
}
`)
	oracle(t, s, h, s.apply())
	const rotate = "logrotate --force --state /run/rotated /etc/logrotate.d/other"
	sh(t, h, rotate+" && test \"$(stat -c %U /home/other/logs/sync.log.1.gz)\" = other")
	sh(t, h, "echo line >/root/vault/sync.log; cd /home/other && mv logs aside && runuser -u other -- ln -s /root/vault logs")
	before := sh(t, h, "ls -l /root/vault")
	_ = succeeds(h, rotate) // it may say that it cannot
	if after := sh(t, h, "ls -l /root/vault"); after != before {
		t.Errorf("logs that root keeps to itself were rotated:\n%s", differing(before, after))
	}
	record(t, 43, "a log directory of another user, replaced with a link before rotation", 1, "rotated as that user, who cannot access the target of the link")
}

// locked are the files that a sync locks, and all other files of mirrorform on a host that could be
// locked.
const locked = "/run/almalinux_rsync.lock /var/lib/mirrorform-sync /var/lib/mirrorform-sync/almalinux.status /var/lib/mirrorform-sync/almalinux.output " +
	"/var/lib/mirrorform-sync/almalinux.hold /etc/mirrorform-sync/almalinux /var/log/mirrorform-almalinux.log /var/lib/mirrorform /var/lib/mirrorform/lock"

// TestFault44LockOfOthers: another account cannot lock the lock file of a sync, whichever user
// syncs, so that it cannot prevent syncs. On a host of an earlier version it can, until the next
// apply or sync repairs the host.
func TestFault44LockOfOthers(t *testing.T) {
	t.Parallel()
	h := boot(t)
	upstream(t, h)
	sh(t, h, "useradd -m other")
	injected := 0
	cannot := func(when string) {
		t.Helper()
		for _, path := range strings.Fields(locked) {
			sh(t, h, "test -e "+path)
			for _, how := range []string{"-n", "-s -n"} {
				if succeeds(h, fmt.Sprintf("runuser -u other -- flock %s %s true", how, path)) {
					t.Errorf("%s: another account locks %s", when, path)
				}
				injected++
			}
		}
	}
	for i, user := range []string{"", "  user = \"root\"\n"} {
		s := newSite(t, host{Host: h})
		s.write("main.hcl", mirrorOf(fmt.Sprintf("/srv/t%d", i), user))
		s.apply().says(t, 0)
		cannot("applied")
		synced(t, s, h, "0", "locked by nobody")
		const old = "chmod 644 /run/almalinux_rsync.lock; chmod 755 /var/lib/mirrorform-sync"
		sh(t, h, old)
		if !succeeds(h, "runuser -u other -- flock -n /run/almalinux_rsync.lock true") {
			t.Error("a lock that all can read cannot be locked: nothing was tested")
		}
		synced(t, s, h, "0", "as of an earlier version")
		cannot("after a sync")
		sh(t, h, old)
		s.run("plan").says(t, 0, "/run/almalinux_rsync.lock", "/var/lib/mirrorform-sync")
		oracle(t, s, h, s.apply())
		cannot("after an apply")
		sh(t, h, "rm /run/almalinux_rsync.lock && systemd-tmpfiles --create mirrorform-almalinux.conf")
		cannot("after a boot")
		s.run("destroy", "--auto-approve").says(t, 0)
	}
	record(t, 44, "another account that locks the lock file of a sync, for syncs of user mirror and of root", injected,
		"the account cannot open the file; a sync or an apply repairs hosts of earlier versions")
}
