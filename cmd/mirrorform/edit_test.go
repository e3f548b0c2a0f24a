package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// edit makes a hand edit on a host, and checks that drift finds it as changes to exactly the
// resources named, that apply repairs it, and that nothing else is another than before the edit:
//
//	edit HOST ADDRESS[,ADDRESS…] PROGRAM ARGUMENT…
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: edit HOST ADDRESS[,ADDRESS…] PROGRAM ARGUMENT…")
	}
	before := listing(ts, args[0])
	if _, err := hostOf(ts, args[0]).Run(context.Background(), args[2:]...); err != nil {
		ts.Fatalf("the edit itself failed: %v", err)
	}
	status(ts, false, []string{"2", "mirrorform", "drift", "--json"})
	var plan struct {
		Hosts []struct {
			Changes []struct{ Address string }
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &plan))
	var found []string
	for _, h := range plan.Hosts {
		for _, c := range h.Changes {
			found = append(found, c.Address)
		}
	}
	want := strings.Split(args[1], ",")
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		ts.Fatalf("drift finds %q, want %q", found, want)
	}
	status(ts, false, []string{"0", "mirrorform", "apply", "--auto-approve"})
	status(ts, false, []string{"0", "mirrorform", "plan", "--detailed-exitcode"})
	after := listing(ts, args[0])
	for _, line := range diffLines(before, after) {
		ts.Logf("%s", line)
	}
	if !slices.Equal(before, after) {
		ts.Fatalf("the host is not as it was before the edit")
	}
}

// listing describes all files that may matter on a host, with owner, mode and digest, and which units run.
func listing(ts *testscript.TestScript, host string) []string {
	const script = `
		find /etc /srv /usr/local /run/*rsync.lock /var/log/mirrorform* /var/lib/mirrorform-sync /var/lib/letsencrypt -printf '%p %y %m %u %g %l\n' 2>/dev/null
		find /etc /srv /usr/local -type f -exec sha256sum {} +
		findmnt -rno TARGET,FSTYPE /srv/mirror/almalinux
		systemctl show -p Id -p ActiveState -p UnitFileState cron crond nginx apache2 httpd caddy certbot.timer certbot-renew.timer mirrorform-certificate-almalinux.path
		dpkg-query -W -f '${Package} ${Status}\n' || rpm --query --all
	`
	out, err := hostOf(ts, host).Run(context.Background(), "sh", "-c", script)
	if len(out) == 0 {
		ts.Fatalf("listing %s: %v", host, err)
	}
	lines := strings.Split(string(out), "\n")
	slices.Sort(lines)
	// What package management and shadow-utils keep for themselves changes with every installation.
	return slices.DeleteFunc(lines, func(l string) bool {
		for _, own := range []string{"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/ld.so.cache", "/etc/.pwd.lock"} {
			if strings.Contains(l, own) {
				return true
			}
		}
		return false
	})
}

// diffLines returns the lines that only one of two sorted lists has, with - or + before them.
func diffLines(before, after []string) []string {
	var lines []string
	for _, l := range before {
		if _, ok := slices.BinarySearch(after, l); !ok {
			lines = append(lines, "-"+l)
		}
	}
	for _, l := range after {
		if _, ok := slices.BinarySearch(before, l); !ok {
			lines = append(lines, "+"+l)
		}
	}
	return lines
}
