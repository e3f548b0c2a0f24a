package faults

import (
	"strings"
	"testing"
)

// twoMirrors are mirror blocks that share packages, services, an account and directories on one
// host: one of AlmaLinux, and one of another distribution.
func twoMirrors(w webServer) map[string]string {
	return map[string]string{"first": mirrorNamed(w, "first", "almalinux"), "second": mirrorNamed(w, "second", "other")}
}

func mirrorNamed(w webServer, label, distribution string) string {
	return strings.NewReplacer("LABEL", label, "DISTRIBUTION", distribution, "SERVER", w.server).Replace(`
mirror "LABEL" {
  hosts        = [host.h]
  distribution = "DISTRIBUTION"
  storage {
    path        = "/srv/LABEL"
    claim       = "/srv/LABEL" # a block that comes again finds the files of the earlier one
    minimum     = "1MB"
    recommended = "1MB"
  }
  sync {
    schedule = "0 0 1 1 *"
    upstream = "rsync://127.0.0.1:8730/m/"
    lock     = "/run/LABEL.lock"
  }
  web {
    server      = "SERVER"
    server_name = "LABEL.example.org"
    location    = "/LABEL/"
  }
}
`)
}

// TestFault49TwoBlocks: two mirror blocks of one configuration, of two distributions, share what
// both need. Whichever is removed, in whichever order, the other never misses an answer and syncs;
// what both needed is removed with the last of them.
func TestFault49TwoBlocks(t *testing.T) { onServers(t, twoBlocks) }

func twoBlocks(t *testing.T, w webServer) {
	h := boot(t)
	twoMirrors := twoMirrors(w)
	sh(t, h, "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends rsync")
	upstream(t, h)
	s := newSite(t, host{Host: h})
	s.write("main.hcl", twoMirrors["first"])
	s.apply().says(t, 0)
	s.write("main.hcl", "")
	s.apply().says(t, 0)
	before := inventory(t, h, w.unit, "cron") // with the account, the directory of the tree and what dpkg leaves
	// That includes an init script, by which systemd would find the unit before its package
	// is installed.
	sh(t, h, "DEBIAN_FRONTEND=noninteractive apt-get purge -y -q --autoremove "+w.purges+" && systemctl daemon-reload")

	injected := 0
	both := twoMirrors["first"] + twoMirrors["second"]
	s.write("main.hcl", both)
	s.apply().says(t, 0)
	s.run("plan", "--detailed-exitcode").says(t, 0)
	labels := []string{"first", "second"}
	labels = labels[:w.size(1, len(labels))]
	for _, label := range labels {
		stays := map[string]string{"first": "second", "second": "first"}[label]
		s.run("sync").says(t, 0)
		stop := polledAs(t, h, "/"+stays+"/TIME", stays+".example.org")
		s.write("main.hcl", twoMirrors[stays])
		s.apply().says(t, 0)
		injected++
		s.run("plan", "--detailed-exitcode").says(t, 0)
		s.run("sync").says(t, 0)
		stop()
		if r := s.run("state", "list"); strings.Contains(r.output, "mirror."+label+".") {
			t.Errorf("%s was removed, and the manifest has it:\n%s", label, r.output)
		}
		if !succeeds(h, "systemctl is-active "+w.unit+" cron && test -e /etc/cron.d/mirrorform-"+stays+" && ! test -e /etc/cron.d/mirrorform-"+label) {
			t.Errorf("%s was removed, and %s is not as it was", label, stays)
		}
		s.write("main.hcl", both)
		s.apply().says(t, 0)
	}
	// One by one, the first of them by destroy.
	s.run("destroy", "--auto-approve", "--target", "h/mirror.first").says(t, 0)
	s.write("main.hcl", twoMirrors["second"])
	s.run("plan", "--detailed-exitcode").says(t, 0)
	s.write("main.hcl", "")
	s.apply().says(t, 0)
	injected += 2
	sh(t, h, "rm -rf /srv/second /srv/first/* /srv/first/.[!.]*")
	if after := inventory(t, h, w.unit, "cron"); after != before {
		t.Errorf("the host is not as before:\n%s", differing(before, after))
	}
	record(t, 49, "two mirror blocks on one host, each of them removed, and both, "+w.name, injected,
		"what both need is kept for the other, which never misses an answer, and removed with the last one")
}
