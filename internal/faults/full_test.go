package faults

import (
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// TestFault50DiskFull: the file system of a mirror has too little space, too few inodes or too small a
// quota for a sync, before it or from some moment during it. What is served is old or new for each
// file, TIME is not newer than the tree, and the record says what was missing.
func TestFault50DiskFull(t *testing.T) {
	t.Parallel()
	const size = 128 << 20
	h := boot(t, lab.HostSpec{Name: "full", Disks: []int64{size}})
	upstream(t, h)
	install(t, h, "btrfs-progs")
	s := newSite(t, host{Host: h})
	const fill = `dd if=/dev/zero of=/srv/m/filler bs=1M 2>/dev/null; truncate -s -3M /srv/m/filler; sync -f /srv/m`
	for _, c := range []struct {
		name, mkfs, ready, words string
		large, many              string // files of 1 MiB and empty ones that the upstream gets
		seen                     bool   // before the sync starts
	}{
		{"space", "mkfs.ext4 -q -F -m 0", fill, "disk full", "8", "0", true},
		{"inodes", "mkfs.ext4 -q -F -m 0 -N 64", "", "no free inodes", "0", "400", true},
		{"quota", "mkfs.btrfs -q -f", "btrfs quota enable /srv/m && btrfs qgroup limit 4M /srv/m", "quota exceeded", "8", "0", false},
	} {
		sh(t, h, c.mkfs+" "+h.Disks[0].Path+" && mkdir -p /srv/m && mount "+h.Disks[0].Path+" /srv/m && mkdir /srv/m/t")
		s.write("main.hcl", mirrorOf("/srv/m/t", ""))
		s.apply().says(t, 0)
		synced(t, s, h, "0", "the first syncs")
		if c.ready != "" {
			sh(t, h, c.ready)
		}
		before := sh(t, h, treeDigests)
		sh(t, h, `cp -a /srv/up /srv/kept; mkdir /srv/up/10
for i in $(seq `+c.large+`); do head -c 1M /dev/urandom >/srv/up/10/l$i; done; for i in $(seq `+c.many+`); do echo $i >/srv/up/10/m$i; done
echo new >/srv/up/9/f1; echo 1800000000 >/srv/up/TIME`)
		if c.seen {
			synced(t, s, h, "73", c.name)
			s.run("status").says(t, 0, c.words)
			if now := sh(t, h, treeDigests); now != before {
				t.Errorf("%s: a refused sync has changed the tree:\n%s", c.name, differing(before, now))
			}
		}
		// Without the dry run it begins, and runs out in the middle, by cron and by the command.
		s.write("main.hcl", mirrorOn("/srv/m/t", "", "max_delete_percent = 100", `server = "none"`))
		s.apply().says(t, 0)
		for range 2 {
			sh(t, h, `line=$(grep flock /etc/cron.d/mirrorform-almalinux)
runuser -u mirror -- sh -c "$(echo "$line" | cut -d ' ' -f 7-)" || true`)
			s.run("status").says(t, 0, c.words)
			oldOrNew(t, h, c.name, before)
		}
		// There is room again.
		sh(t, h, "rm -rf /srv/up && mv /srv/kept /srv/up && rm -f /srv/m/filler; rm -rf /srv/m/t/10; sync -f /srv/m; echo 1800000001 >/srv/up/TIME")
		synced(t, s, h, "0", "with less to receive")
		if strings.TrimSpace(sh(t, h, "cat /srv/m/t/TIME; ls /var/lib/mirrorform-sync | grep kept || true")) != "1800000001" {
			t.Errorf("%s: TIME is not that of the complete tree", c.name)
		}
		record(t, 50, "a file system that cannot hold a sync, "+c.name, 4, "refused before it begins where the dry run shows it (exit status 73); "+
			"else each file is old or new, and TIME is old; the record says \""+c.words+"\"")
		s.run("destroy", "--auto-approve").says(t, 0)
		sh(t, h, "umount /srv/m && rm -rf /var/lib/mirrorform-sync")
		if t.Failed() {
			t.FailNow()
		}
	}
}

// treeDigests prints the digest of each file of the tree that is served.
const treeDigests = `cd /srv/m/t && find . -name .~tmp~ -prune -o -type f -print0 | sort -z | xargs -0 sha256sum`

// oldOrNew compares the tree with what it was and with the upstream.
func oldOrNew(t *testing.T, h *lab.Host, name, before string) {
	t.Helper()
	fresh := sh(t, h, strings.Replace(treeDigests, "/srv/m/t", "/srv/up", 1))
	for line := range strings.Lines(sh(t, h, treeDigests)) {
		old, now := strings.Contains(before, line), strings.Contains(fresh, line)
		if !old && !now {
			t.Errorf("%s: neither old nor new: %s", name, line)
		}
		if strings.HasSuffix(line, "./TIME\n") && !old {
			t.Errorf("%s: TIME is new in an incomplete tree", name)
		}
	}
}
