package conformance

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

// dataPoint is the mount point of the disks.
const dataPoint = "/srv/data"

// wipe restores a disk to an empty state, since devices with data are refused.
func wipe(disk string) [][]string {
	return [][]string{{"wipefs", "--all", "--quiet", disk}, {"blkdiscard", "--force", "--zeroout", disk}}
}

func diskCases(disks []string) []testCase {
	return []testCase{
		storageCase(disks[0]),
		filesystemCase(disks[0], "xfs"),
		filesystemCase(disks[1], "ext4"),
		mountCase("xfs", disks[0], []string{"mkfs.xfs", "-q", disks[0]}),
		mountCase("ext4", disks[1], []string{"mkfs.ext4", "-q", disks[1]}),
	}
}

func storageCase(disk string) testCase {
	return testCase{
		kind: "storage", name: "large enough", condition: true,
		variants: []any{
			&resources.Storage{Path: "/srv/not/there/yet", Minimum: "1MB", Recommended: "2MB"},
			&resources.Storage{Path: "/srv", Device: disk, Minimum: "1GiB", Recommended: "1 GiB"},
			&resources.Storage{Path: "/srv"},
		},
	}
}

func filesystemCase(disk, kind string) testCase {
	return testCase{
		kind: "filesystem", name: kind,
		variants: []any{&resources.Filesystem{Device: disk, Type: kind, Label: "case"}},
		reset:    wipe(disk),
		effect:   []string{"sh", "-c", `test "$(blkid --probe --match-tag TYPE --output value ` + disk + `)" = ` + kind},
		edits:    []edit{{name: "wiped", argvs: wipe(disk)}},
		stays:    "a file system is never removed",
		cleanup:  wipe(disk),
	}
}

func mountCase(name, disk string, mkfs []string) testCase {
	return testCase{
		kind: "mount", name: name,
		variants: []any{
			&resources.Mount{Path: dataPoint, Device: disk, Filesystem: name, Owner: "plain", Group: "adm", Mode: "0750", Options: []string{"rw", "noatime", "nodev"}},
			&resources.Mount{Path: dataPoint, Device: disk, Filesystem: name, Owner: "root", Group: "root", Mode: "0755"},
			&resources.Mount{Path: dataPoint, Device: disk, Filesystem: name, Options: []string{"ro"}},
		},
		prepare: [][]string{{"mkdir", dataPoint}, mkfs},
		effect:  []string{"mountpoint", "-q", dataPoint},
		edits: []edit{
			by("unmounted", "umount", dataPoint),
			by("no line in fstab", "sed", "-i", `\|`+dataPoint+`|d`, "/etc/fstab"),
			by("no nofail", "sed", "-i", `\|`+dataPoint+`|s/,*nofail//`, "/etc/fstab"),
			{name: "unmounted and no line", argvs: [][]string{{"umount", dataPoint}, {"sed", "-i", `\|` + dataPoint + `|d`, "/etc/fstab"}}},
			by("remounted with other options", "mount", "-o", "remount,relatime,dev", dataPoint),
			by("remounted read-only", "mount", "-o", "remount,ro", dataPoint),
			by("other options in fstab", "sed", "-i", `\|`+dataPoint+`|s/noatime/relatime/`, "/etc/fstab"),
			by("owner of its root", "chown", "root", dataPoint),
			by("mode of its root", "chmod", "0777", dataPoint),
		},
		ignored: []edit{
			by("by device", "sed", "-i", `\|`+dataPoint+`|s|^[^ \t]*|`+disk+`|`, "/etc/fstab"),
			by("further options and fields", "sed", "-i", `\|`+dataPoint+`|{s|rw,|rw,x-systemd.device-timeout=9,|; s| 0 [02]$| 1 2|}`, "/etc/fstab"),
			by("two more spaces", "sed", "-i", `\|`+dataPoint+`|s| |   |`, "/etc/fstab"),
		},
		touches: []string{"/etc/fstab", dataPoint},
		cleanup: slices.Concat([][]string{{"rmdir", dataPoint}}, wipe(disk)),
	}
}

func diskRefusals(disks []string) []refusal {
	disk, second := disks[0], disks[1]
	mkfs := func(kind string) *wire.Op { return &wire.Op{Mkfs: &wire.MkfsOp{Device: disk, Type: kind}} }
	mount := func(device, kind string) *wire.Op {
		return &wire.Op{Mount: &wire.MountOp{Path: dataPoint, Device: device, Type: kind}}
	}
	begin := []string{"sh", "-c", "head --bytes=2M " + disk + " | sha256sum"}
	xfs, ext4 := []string{"mkfs.xfs", "-q", disk}, []string{"mkfs.ext4", "-q", disk}
	mounted := [][]string{xfs, {"mkdir", dataPoint}, {"mount", disk, dataPoint}}
	unmount := slices.Concat([][]string{{"umount", dataPoint}, {"rmdir", dataPoint}}, wipe(disk))
	point := [][]string{xfs, {"mkdir", dataPoint}}
	unpoint := slices.Concat([][]string{{"rm", "-r", dataPoint}}, wipe(disk))
	return []refusal{
		{
			kind: "storage", name: "too small", state: &resources.Storage{Path: "/srv/mirror", Minimum: "900TB"}, problem: "needs at least 900TB",
		},
		{
			kind: "storage", name: "device too small", state: &resources.Storage{Path: "/srv/mirror", Device: disk, Minimum: "2GB"}, problem: "needs at least 2GB",
		},
		{
			kind: "filesystem", name: "holds ext4", state: &resources.Filesystem{Device: disk, Type: "xfs"}, prepare: [][]string{ext4},
			problem: "holds ext4", op: mkfs("xfs"), refuses: "ext4", same: begin, cleanup: wipe(disk),
		},
		{
			kind: "filesystem", name: "ext4 again", prepare: [][]string{ext4}, op: mkfs("ext4"), refuses: "ext4", same: begin, cleanup: wipe(disk),
		},
		{
			kind: "filesystem", name: "mounted", state: &resources.Filesystem{Device: disk, Type: "ext4"}, prepare: mounted,
			problem: "holds xfs", op: mkfs("ext4"), refuses: "mounted on " + dataPoint, same: begin, cleanup: unmount,
		},
		{
			// The operation comes when the signature is gone, which a plan did not see.
			kind: "filesystem", name: "mounted, signature wiped", prepare: slices.Concat(mounted, [][]string{{"wipefs", "--all", "--force", "--quiet", disk}}),
			op: mkfs("xfs"), refuses: "mounted on " + dataPoint, same: begin, cleanup: slices.Concat([][]string{{"umount", dataPoint}, {"rmdir", dataPoint}}, wipe(disk)),
		},
		{
			kind: "filesystem", name: "swap", state: &resources.Filesystem{Device: disk, Type: "xfs"}, prepare: [][]string{{"mkswap", disk}},
			problem: "holds swap", op: mkfs("xfs"), refuses: "swap", same: begin, cleanup: wipe(disk),
		},
		{
			kind: "filesystem", name: "partitioned", state: &resources.Filesystem{Device: disk, Type: "xfs"},
			prepare: [][]string{{"sh", "-c", "echo ,,L | sfdisk --quiet --label gpt " + disk}},
			problem: "holds gpt", op: mkfs("xfs"), refuses: "gpt", same: begin, cleanup: wipe(disk),
		},
		{
			kind: "filesystem", name: "no such device", state: &resources.Filesystem{Device: "/dev/disk/by-id/none", Type: "xfs"}, problem: "not found on",
			op: &wire.Op{Mkfs: &wire.MkfsOp{Device: "/dev/disk/by-id/none", Type: "xfs"}}, refuses: "/dev/disk/by-id/none",
		},
		{
			kind: "filesystem", name: "no block device", state: &resources.Filesystem{Device: "/dev/null", Type: "xfs"}, problem: "not found on",
			op: &wire.Op{Mkfs: &wire.MkfsOp{Device: "/dev/null", Type: "xfs"}}, refuses: "/dev/null",
		},
		{
			kind: "filesystem", name: "file", files: []file{{"/srv/image", "x", 0o600}},
			op: &wire.Op{Mkfs: &wire.MkfsOp{Device: "/srv/image", Type: "ext4"}}, refuses: "/srv/image", cleanup: [][]string{{"rm", "/srv/image"}},
		},
		{
			kind: "mount", name: "mount point not empty", state: &resources.Mount{Path: dataPoint, Device: disk, Filesystem: "xfs"},
			prepare: [][]string{xfs}, files: []file{{dataPoint + "/hidden", "x", 0o600}}, problem: "not empty",
			op: mount(disk, "xfs"), refuses: "not empty", cleanup: unpoint,
		},
		{
			kind: "mount", name: "mount point is a link", state: &resources.Mount{Path: dataPoint, Device: disk, Filesystem: "xfs"},
			prepare: [][]string{xfs, {"ln", "-s", "/etc", dataPoint}}, problem: dataPoint + " is a link to /etc",
			op: mount(disk, "xfs"), refuses: dataPoint, cleanup: unpoint,
		},
		{
			kind: "mount", name: "no mount point", prepare: [][]string{xfs}, op: mount(disk, "xfs"), refuses: dataPoint, cleanup: wipe(disk),
		},
		{
			kind: "mount", name: "something is mounted there", state: &resources.Mount{Path: dataPoint, Device: second, Filesystem: "ext4"},
			prepare: slices.Concat([][]string{{"mkfs.ext4", "-q", second}}, mounted), problem: "already mounted on " + dataPoint,
			op: mount(second, "ext4"), refuses: dataPoint, same: []string{"cat", "/proc/mounts"}, cleanup: slices.Concat(unmount, wipe(second)),
		},
		{
			kind: "mount", name: "mounted elsewhere", state: &resources.Mount{Path: "/srv/other", Device: disk, Filesystem: "xfs"},
			prepare: slices.Concat([][]string{{"mkdir", "/srv/other"}}, mounted), problem: "already mounted on " + dataPoint, cleanup: slices.Concat(unmount, [][]string{{"rmdir", "/srv/other"}}),
		},
		{
			kind: "mount", name: "another file system than said", state: &resources.Mount{Path: dataPoint, Device: disk, Filesystem: "ext4"},
			prepare: point, problem: "holds xfs", op: mount(disk, "ext4"), refuses: "xfs", cleanup: unpoint,
		},
		{
			kind: "mount", name: "no file system", prepare: [][]string{{"mkdir", dataPoint}}, op: mount(disk, "xfs"), refuses: "has no xfs", cleanup: [][]string{{"rmdir", dataPoint}},
		},
	}
}
