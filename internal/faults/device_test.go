package faults

import (
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// A device differs from the device in the plan, or is in use. No file system is created, and the
// data on the devices is unchanged.
func TestFault27DeviceSwapped(t *testing.T) {
	t.Parallel()
	const gigabyte = 1 << 30 // enough for any file system, and sparse
	h := boot(t, lab.HostSpec{Name: "swap", Disks: []int64{gigabyte, gigabyte}})
	blank, precious := h.Disks[0].Path, h.Disks[1].Path
	const link = "/dev/disk/by-id/data"
	s := newSite(t, host{Host: h})
	s.write("fleet.hcl", `
resource "file" "first" {
  hosts   = [host.h]
  path    = "/etc/first"
  content = "new\n"
}
resource "filesystem" "data" {
  hosts      = [host.h]
  device     = "`+link+`"
  type       = "ext4"
  depends_on = [file.first]
}
`)
	on(t, h, "mkdir", "-p", "/dev/disk/by-id", "/srv/elsewhere")
	reset := func() {
		t.Helper()
		sh(t, h, "umount /srv/elsewhere 2>/dev/null; wipefs --all --force --quiet "+blank+"; blkdiscard --force --zeroout "+blank+"; rm -f /etc/first")
		local(t, "", "mkfs.xfs", "-q", "-f", "-L", "precious", precious)
		on(t, h, "ln", "-sfn", blank, link)
	}
	digest := func(device string) string {
		t.Helper()
		return sh(t, h, "head --bytes=16M "+device+" | sha256sum")
	}
	faults := []struct {
		name, script, says string
	}{
		{"the name leads to another device", "ln -sfn " + precious + " " + link, "precious"},
		{"formatted meanwhile", "mke2fs -q -F -t ext2 -L meanwhile " + blank, "meanwhile"},
		{"swap space meanwhile", "mkswap " + blank, "swap"},
		{"partitioned meanwhile", "echo ,,L | sfdisk --quiet --label gpt " + blank, ""},
		{"mounted, and its signature wiped", "mkfs.ext4 -q -F -E lazy_itable_init=0 " + blank + " && mount -o ro,noload " + blank + " /srv/elsewhere && wipefs --all --force --quiet " + blank, ""},
		{"gone", "rm " + link, ""},
	}
	if !succeeds(h, "command -v sfdisk") {
		sh(t, h, "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends fdisk")
	}
	count := 0
	// Between a saved plan and its apply.
	for _, f := range faults[:size(3, len(faults))] {
		reset()
		s.run("plan", "--out", "p.plan").says(t, 0)
		sh(t, h, f.script)
		before, beforePrecious := digest(blank), digest(precious)
		s.apply("p.plan").says(t, 1)
		r := s.apply()
		r.says(t, 1, f.says)
		if digest(blank) != before || digest(precious) != beforePrecious {
			t.Errorf("%s: something was written to a device", f.name)
		}
		on(t, h, "test", "!", "-e", "/etc/first")
		clean(t, h)
		count += 2
		if t.Failed() {
			t.Fatalf("%s:\n%s", f.name, r.output)
		}
	}
	// Under way: at the points before the one where mkfs starts, by which time the helper has looked at the device for the last time.
	reset()
	points := enumerate(t, h, func() { s.apply().says(t, 0) })
	mkfs := slices.IndexFunc(points, func(p string) bool { return strings.HasPrefix(p, "program") })
	if mkfs < 1 {
		t.Fatalf("no program is run at any of %q", points)
	}
	for i, n := range spread(mkfs, size(2, 12)) {
		for j, f := range faults[:3] {
			if !all() && (i+j)%2 == 1 {
				continue
			}
			reset()
			reached, letGo := stopPoint(t, h, n)
			run := s.start("apply", "--auto-approve")
			if !reached(run) {
				t.Fatalf("the apply ended before fault point %d:\n%s", n, run.wait().output)
			}
			sh(t, h, f.script)
			before, beforePrecious := digest(blank), digest(precious)
			letGo()
			r := run.wait()
			if digest(precious) != beforePrecious {
				t.Errorf("%s: the other device was written to", f.name)
			}
			// The name may have led elsewhere only after the helper had followed it: then the blank device has been formatted, as planned.
			planned := j == 0 && succeeds(h, "test \"$(blkid -p -o value -s TYPE "+blank+")\" = ext4")
			if digest(blank) != before && !planned {
				t.Errorf("%s: the device was written to", f.name)
			}
			r.says(t, 1)
			eventually(t, "the helper to end", func() bool { return free(h) })
			on(t, h, "test", "!", "-e", "/etc/first")
			count++
			if t.Failed() {
				t.Fatalf("%s at fault point %d (%s):\n%s", f.name, n, points[n-1], r.output)
			}
		}
	}
	reset()
	oracle(t, s, h, result{exit: -1})
	record(t, 27, "device swapped, formatted or in use", count, "no mkfs; both devices unchanged")
}

// A mount point contains files, or a file system is not mounted when its mirror is synced.
func TestFault28MountPoint(t *testing.T) {
	t.Parallel()
	h := boot(t, lab.HostSpec{Name: "mount", Disks: []int64{2 << 30}})
	s := newSite(t, host{Host: h})
	if _, err := labtest.Lab(t).Upstream(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.write("fleet.hcl", `
mirror "almalinux" {
  hosts = [host.h]
  storage {
    path        = "/srv/mirror/almalinux"
    mount_point = "/srv/mirror"
    device      = "`+h.Disks[0].Path+`"
    filesystem  = "ext4"
    minimum     = "1GB"
    recommended = "1GB"
  }
  sync { schedule = "0 0 1 1 *" }
  web { server = "none" }
}
`)
	// Files that the mount would hide.
	sh(t, h, "mkdir -p /srv/mirror && echo hidden >/srv/mirror/hidden")
	r := s.apply()
	r.says(t, 1, "/srv/mirror", "empty")
	on(t, h, "grep", "-qx", "hidden", "/srv/mirror/hidden")
	on(t, h, "sh", "-c", "! grep /srv/mirror /etc/fstab && ! mountpoint -q /srv/mirror")
	clean(t, h)
	on(t, h, "rm", "/srv/mirror/hidden")

	// A file appears after the plan, while the apply runs: at any point up to the end of the program before mount(8), which has systemd read fstab again.
	unmount := func() {
		t.Helper()
		s.run("destroy", "--auto-approve", "--target", "h/mirror.almalinux.mount").says(t, 0)
	}
	s.apply().says(t, 0)
	unmount()
	points := enumerate(t, h, func() { s.apply().says(t, 0) })
	last := slices.Index(points, "end of program") + 1
	if last < 1 {
		t.Fatalf("no program is run at any of %q", points)
	}
	count := 1
	for _, n := range spread(last, size(2, 12)) {
		unmount()
		reached, letGo := stopPoint(t, h, n)
		run := s.start("apply", "--auto-approve")
		if !reached(run) {
			t.Fatalf("the apply ended before fault point %d:\n%s", n, run.wait().output)
		}
		sh(t, h, "echo hidden >/srv/mirror/hidden")
		letGo()
		r := run.wait()
		r.says(t, 1, "/srv/mirror", "empty")
		on(t, h, "sh", "-c", "! mountpoint -q /srv/mirror && rm /srv/mirror/hidden")
		count++
		oracle(t, s, h, r)
		if t.Failed() {
			t.Fatalf("at fault point %d (%s) of %q", n, points[n-1], points[:last])
		}
	}
	oracle(t, s, h, result{exit: -1})
	record(t, 28, "mount point not empty", count, "refused; the files below the mount point remain")

	// The sync, by cron's script, without its file system, and in the moment after it went.
	on(t, h, "/usr/local/sbin/mirrorform-sync-almalinux")
	on(t, h, "test", "-s", "/srv/mirror/almalinux/TIME")
	on(t, h, "umount", "/srv/mirror")
	before := sh(t, h, "find /srv/mirror -printf '%p %C@\\n'")
	if _, err := h.Run(t.Context(), "/usr/local/sbin/mirrorform-sync-almalinux"); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("the sync without its file system: %v", err)
	}
	// What cron would run is the line itself, not the script.
	sh(t, h, `sed -n 's/^0 0 1 1 \* mirror //p' /etc/cron.d/mirrorform-almalinux >/tmp/job && test -s /tmp/job`)
	if succeeds(h, "runuser -u mirror -- /bin/sh /tmp/job") {
		t.Error("the line of the crontab succeeds without the file system")
	}
	if after := sh(t, h, "find /srv/mirror -printf '%p %C@\\n'"); after != before {
		t.Errorf("something was written below the mount point:\n%s", after)
	}
	s.run("plan", "--detailed-exitcode").says(t, 2, "mount")
	oracle(t, s, h, result{exit: -1})
	on(t, h, "test", "-s", "/srv/mirror/almalinux/TIME")
	record(t, 28, "file system not mounted when the sync runs", 2, "the sync stops; nothing is written below the mount point")
}
