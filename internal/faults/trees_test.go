package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// mirrorOf is a mirror block without a web server, whose upstream is the module of the function
// upstream.
func mirrorOf(dir, more string) string { return mirrorOn(dir, more, "", `server = "none"`) }

// mirrorOn is mirrorOf with further attributes of the block, of its sync and of its web server.
func mirrorOn(dir, more, sync, web string) string {
	return fmt.Sprintf(`mirror "almalinux" {
  hosts = [host.h]
%s  storage {
    path        = %q
    minimum     = "1MB"
    recommended = "1MB"
  }
  sync {
    schedule = "0 0 1 1 *"
    upstream = "rsync://127.0.0.1:8730/m/"
    %s
  }
  web {
    %s
  }
}
`, more, dir, sync, web)
}

// startUpstream starts the daemon, and waits until it answers.
const startUpstream = `systemd-run --unit=up rsync --daemon --no-detach --config=/srv/up.conf --port=8730
for i in $(seq 200); do rsync rsync://127.0.0.1:8730/m/ >/dev/null && exit 0; sleep 0.1; done; exit 1`

// upstream serves a small AlmaLinux tree by rsync on the host itself. The tree contains what a
// mirror must not accept: a link to / and a set-ID program.
func upstream(t testing.TB, h *lab.Host) {
	t.Helper()
	install(t, h, "rsync")
	sh(t, h, `mkdir -p /srv/up/9 && date +%s >/srv/up/TIME && for i in $(seq 17); do echo $i >/srv/up/9/f$i; done
ln -s / /srv/up/root; printf '#!/bin/sh\n' >/srv/up/9/sh; chmod 4755 /srv/up/9/sh
printf 'uid = root\nuse chroot = yes\n[m]\npath = /srv/up\n' >/srv/up.conf
`+startUpstream)
}

// synced runs the sync as cron does, with the user of its entry, and as the command does. Both must
// record this exit status on the host.
func synced(t testing.TB, s *site, h *lab.Host, want, when string) {
	t.Helper()
	last := func() string {
		return sh(t, h, `tail -n 1 /var/lib/mirrorform-sync/almalinux.status | sed 's/.*"exit":\([0-9]*\).*/\1/' | tr -d '\n'`)
	}
	sh(t, h, `line=$(grep flock /etc/cron.d/mirrorform-almalinux)
runuser -u "$(echo "$line" | cut -d ' ' -f 6)" -- sh -c "$(echo "$line" | cut -d ' ' -f 7-)" || true`)
	cron := last()
	s.run("sync")
	if command := last(); cron != want || command != want {
		t.Errorf("%s: cron's sync ended with %s and the command's with %s, want %s", when, cron, command, want)
	}
}

// TestFault31TreeOfOthers: the directory of a mirror contains other files, is a link to such a
// directory, or overlaps with another tree. The plan is refused before any write. A directory that
// is replaced between two syncs is not synced into, by cron or by the command.
func TestFault31TreeOfOthers(t *testing.T) {
	t.Parallel()
	h := boot(t)
	upstream(t, h)
	s := newSite(t, host{Host: h})
	cases := []struct{ set, path, says, unset string }{
		{"mkdir -p /srv/t/debian /srv/t/ubuntu && touch /srv/t/thesis.odt", "/srv/t", "debian/", "rm -r /srv/t"},
		{"mkdir /srv/t && touch /srv/t/.hidden", "/srv/t", ".hidden", "rm -r /srv/t"},
		{"mkdir -p /srv/t/lost+found && touch /srv/t/x", "/srv/t", "contains x", "rm -r /srv/t"},
		{"mkdir -p /srv/t/9 && touch /srv/t/9/x", "/srv/t", "9/", "rm -r /srv/t"},
		{"mkdir -p /srv/t && date >/srv/t/TIME", "/srv/t", "TIME", "rm -r /srv/t"},
		{"ln -s /home /srv/m && mkdir -p /home/plain && touch /home/plain/x", "/srv/m/plain", "/home/plain", "rm -r /srv/m /home/plain"},
		{"ln -s /etc /srv/t", "/srv/t", "/etc", "rm /srv/t"},
		{"mkdir -p /var/lib/mysql/db", "/var/lib/mysql", "db/", "rm -r /var/lib/mysql"},
		{"mkdir -p /var/lib/docker/overlay2", "/var/lib/docker", "overlay2/", "rm -r /var/lib/docker"},
		{"mkdir -p /backup/2020", "/backup", "2020/", "rm -r /backup"},
		{"mkdir -p /home/joe/www/blog", "/home/joe/www", "blog/", "rm -r /home/joe"},
		{"mkdir -p /srv/real/x /srv/t && mount --bind /srv/real /srv/t", "/srv/t", "x/", "umount /srv/t; rm -r /srv/t /srv/real"},
		{"touch /srv/t", "/srv/t", "file", "rm /srv/t"},
	}
	// What there is to be written over, without the helper and sudo's mark in the home of the
	// login.
	const look = "find /srv /home /var/lib/mysql /var/lib/docker /backup /etc -xdev ! -path '/home/admin/*' -printf '%p %u %g %m %l\\n' 2>/dev/null | sort; getent passwd"
	injected := 0
	for _, c := range cases {
		sh(t, h, c.set)
		before := sh(t, h, look)
		s.write("main.hcl", mirrorOf(c.path, ""))
		for _, args := range [][]string{{"plan"}, {"apply", "--auto-approve"}} {
			r := s.run(args...)
			r.says(t, 1, c.says)
		}
		if after := sh(t, h, look); after != before {
			t.Errorf("%s: something was written:\n%s", c.set, differing(before, after))
		}
		sh(t, h, c.unset)
		injected++
	}
	s.write("main.hcl", mirrorOf("/srv/t", ""))
	s.apply().says(t, 0)
	if synced(t, s, h, "0", "a sound tree"); t.Failed() {
		t.FailNow()
	}
	for _, swap := range []string{
		"mkdir /srv/t && chown mirror /srv/t && echo thesis >/srv/t/thesis.odt",
		"mkdir /srv/other && chown mirror /srv/other && echo thesis >/srv/other/thesis.odt && ln -s /srv/other /srv/t",
		"mkdir /srv/other /srv/t && chown mirror /srv/other && echo thesis >/srv/other/thesis.odt && mount --bind /srv/other /srv/t",
	} {
		sh(t, h, "mv /srv/t /srv/aside && "+swap)
		synced(t, s, h, "78", swap)
		if !succeeds(h, "test -s /srv/t/thesis.odt") {
			t.Errorf("after %q a sync deleted what was there", swap)
		}
		s.run("plan").says(t, 1, "thesis.odt")
		sh(t, h, "umount /srv/t 2>/dev/null; rm -rf /srv/other /srv/t && mv /srv/aside /srv/t")
		injected += 2
	}
	synced(t, s, h, "0", "the directory is back")
	record(t, 31, "a tree with other files, a link or mount into such a tree, or a tree swapped between syncs", injected, "refused before any write, with a list of the files; the sync does not run (exit status 78)")
}

// TestFault32UpstreamLost: the upstream is empty, has no TIME, or has lost most of its files.
// Neither sync deletes anything, unless deletions are allowed once.
func TestFault32UpstreamLost(t *testing.T) {
	t.Parallel()
	h := boot(t)
	upstream(t, h)
	s := newSite(t, host{Host: h})
	s.write("main.hcl", mirrorOf("/srv/t", ""))
	s.apply().says(t, 0)
	if synced(t, s, h, "0", "the first syncs"); t.Failed() {
		t.FailNow()
	}
	files := sh(t, h, "find /srv/t | sort")
	injected := 0
	for _, c := range []struct{ lose, restore, status string }{
		{"mv /srv/up /srv/aside && mkdir /srv/up", "rmdir /srv/up && mv /srv/aside /srv/up", "66"},
		{"mv /srv/up /srv/aside && mkdir -p /srv/up/lost+found", "rm -r /srv/up && mv /srv/aside /srv/up", "66"},
		{"mv /srv/up/TIME /srv/TIME", "mv /srv/TIME /srv/up/TIME", "66"},
		{"mv /srv/up/TIME /srv/TIME && mkdir /srv/up/TIME", "rmdir /srv/up/TIME; mv /srv/TIME /srv/up/TIME", "66"},
		{"mv /srv/up/9 /srv/aside", "mv /srv/aside /srv/up/9", "65"},
		{"mkdir /srv/aside && mv /srv/up/9/f? /srv/up/9/f10 /srv/up/9/f11 /srv/up/9/f12 /srv/aside/", "mv /srv/aside/* /srv/up/9/; rmdir /srv/aside", "65"},
		{"systemctl stop up", startUpstream, "69"},
	} {
		sh(t, h, c.lose)
		synced(t, s, h, c.status, c.lose)
		if now := sh(t, h, "find /srv/t | sort"); now != files {
			t.Errorf("after %q the tree has changed:\n%s", c.lose, differing(files, now))
		}
		sh(t, h, c.restore)
		injected += 2
	}
	sh(t, h, "rm /srv/up/9/f? /srv/up/9/f10 /srv/up/9/f11 /srv/up/9/f12")
	s.run("sync").says(t, 1, "--allow-deletions")
	s.run("sync", "--allow-deletions").says(t, 0)
	if !succeeds(h, "test ! -e /srv/t/9/f1 && test -s /srv/t/9/f17") {
		t.Error("allowed for once, the sync did not delete what the upstream lacks")
	}
	synced(t, s, h, "0", "after deletions were allowed")
	record(t, 32, "an upstream that is empty, lacks TIME, has lost most of its files, or is down", injected, "nothing deleted; exit status 66, 65 or 69; allowed once with --allow-deletions")
}

// TestFault33HostileUpstream: a link to outside the tree and a set-ID program are not transferred,
// whichever user syncs, nor served. A web server that follows links has no mirror without that.
func TestFault33HostileUpstream(t *testing.T) { onServers(t, hostileUpstream) }

func hostileUpstream(t *testing.T, w webServer) {
	h := boot(t)
	upstream(t, h)
	w.install(t, h, "curl")
	sh(t, h, `ln -s ../../etc/shadow /srv/up/9/shadow; ln -s /etc/passwd /srv/up/passwd; ln -s ../TIME /srv/up/9/time
printf x >/srv/up/9/sgid; chmod 2755 /srv/up/9/sgid; mkdir /srv/up/9/set; chmod 2755 /srv/up/9/set`)
	web := fmt.Sprintf("server = %q\n    server_name = \"mirror.example.org\"", w.server)
	status := func(path string) string {
		t.Helper()
		return sh(t, h, "curl -s -o /dev/null -w '%{http_code}' -H 'Host: mirror.example.org' http://127.0.0.1/almalinux/"+path)
	}
	injected := 0
	users := []string{"", "  user = \"root\"\n"}
	for _, user := range users[:w.size(1, len(users))] {
		s := newSite(t, host{Host: h})
		dir := fmt.Sprintf("/srv/t%d", injected)
		s.write("main.hcl", mirrorOn(dir, user, "safe = false", web))
		switch refused := user != "" || w.links; {
		case refused:
			s.run("plan").says(t, 1, "need the safe options")
			injected++
		default:
			s.run("plan").says(t, 0)
		}
		s.write("main.hcl", mirrorOn(dir, user, "", web))
		s.apply().says(t, 0)
		synced(t, s, h, "0", "user "+user)
		out := strings.TrimSpace(sh(t, h, "find "+dir+" -perm /6000; find "+dir+" -type l -printf '%P -> %l\n'"))
		if out != "9/time -> ../TIME" {
			t.Errorf("%q: set-id files and links in the tree:\n%s", user, out)
		}
		injected += 6 * 2
		for _, path := range []string{"9/shadow", "passwd", "root/etc/passwd"} {
			if got := status(path); got != "404" {
				t.Errorf("%q: %s is answered with %s", user, path, got)
			}
		}
		if got := status("9/time"); got != "200" {
			t.Errorf("%q: a link inside the tree is answered with %s", user, got)
		}
		if user == "" && !w.links { // a link of the account that syncs, to a file of root
			sh(t, h, "ln -s /etc/passwd "+dir+"/made && chown -h mirror "+dir+"/made")
			if got := status("made"); got != "403" && got != "404" {
				t.Errorf("what a link leads to is served: %s", got)
			}
			sh(t, h, "rm "+dir+"/made")
			injected++
		}
		s.run("destroy", "--auto-approve").says(t, 0)
	}
	record(t, 33, "links to outside the tree, and set-ID files and directories, as user mirror and as root, "+w.name, injected, w.hostile)
}
