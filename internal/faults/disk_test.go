package faults

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// targets is the directory of the managed files in these tests, on a small file system.
const targets = "/srv/small"

// diskPaths are the paths that diskFiles manages.
var diskPaths = []string{"/etc/disk.first", targets + "/replaced", targets + "/made", targets + "/dir", targets + "/last"}

// diskFiles is a configuration of files on the small file system, after a file elsewhere. The files
// of the version "new" need about 100 KiB more. If failing is true, the check of the last file
// fails after all other changes.
func diskFiles(version string, failing bool) string {
	size, check := 1000, "/bin/true"
	if version == "new" {
		size = 40_000
	}
	if failing {
		check = "/bin/false"
	}
	content := strings.Repeat(version+" ", size/4)
	text := fmt.Sprintf(`
resource "file" "first" {
  hosts   = [host.h]
  path    = "/etc/disk.first"
  content = %[1]q
}
resource "file" "replaced" {
  hosts      = [host.h]
  path       = "%[3]s/replaced"
  content    = %[2]q
  depends_on = [file.first]
}
resource "file" "last" {
  hosts      = [host.h]
  path       = "%[3]s/last"
  content    = %[2]q
  validate   = [%[4]q, "{}"]
  depends_on = [file.replaced]
}
`, version, content, targets, check)
	if version == "new" {
		text += fmt.Sprintf(`
resource "directory" "dir" {
  hosts = [host.h]
  path  = "%[2]s/dir"
}
resource "file" "made" {
  hosts      = [host.h]
  path       = "%[2]s/made"
  content    = %[1]q
  depends_on = [directory.dir]
}
`, content, targets)
		text = strings.Replace(text, "[file.replaced]", "[file.replaced, file.made]", 1)
	}
	return text
}

// smallDisks boots a host with the small file systems, one at targets and one at the helper's
// directory, and applies the version "old".
func smallDisks(t *testing.T, mkfs ...string) (*lab.Host, *site, states) {
	t.Helper()
	const size = 16 << 20
	h := boot(t, lab.HostSpec{Name: "disk", Disks: []int64{size, size}})
	for i, point := range []string{targets, stateDir} {
		local(t, "", append(append([]string(nil), mkfs...), h.Disks[i].Path)...)
		on(t, h, "mkdir", "-p", "-m", "0700", point)
		on(t, h, "mount", h.Disks[i].Path, point)
	}
	s := newSite(t, host{Host: h})
	s.write("fleet.hcl", diskFiles("old", false))
	s.apply().says(t, 0)
	return h, s, statesOf(t, h, diskPaths...)
}

// filler fills the file system of a directory except for a given amount, and empties it again.
type filler struct {
	name string
	// fill is a script that leaves so much of $1: KiB, or inodes.
	fill  string
	unit  string
	sweep int // what is left at most
	mkfs  []string
}

var fillers = []filler{
	{
		name: "full", unit: "KiB", sweep: 400, mkfs: []string{"mkfs.ext4", "-q", "-F", "-m", "0"},
		// Not even a directory entry fits in what is left of 0.
		fill: `mkdir -p "$1/filler"; dd if=/dev/zero of="$1/filler/space" bs=4k 2>/dev/null; sync -f "$1"
truncate -s $(($(stat -c %s "$1/filler/space") - $2 / 4 * 4096)) "$1/filler/space"; sync -f "$1"`,
	},
	{
		name: "out of inodes", unit: "inodes", sweep: 24, mkfs: []string{"mkfs.ext4", "-q", "-F", "-m", "0", "-N", "128"},
		fill: `mkdir -p "$1/filler"; i=0; while touch "$1/filler/$i" 2>/dev/null; do i=$((i + 1)); done
n=$2; while [ $n -gt 0 ]; do i=$((i - 1)); rm -f "$1/filler/$i"; n=$((n - 1)); done; sync -f "$1"`,
	},
}

func (f filler) on(t testing.TB, h *lab.Host, point string, left int) {
	t.Helper()
	on(t, h, "sh", "-c", f.fill, "sh", point, strconv.Itoa(left))
}

func empty(t testing.TB, h *lab.Host, points ...string) {
	t.Helper()
	for _, p := range points {
		on(t, h, "rm", "-rf", p+"/filler")
	}
}

// The file system of the managed files or of the helper's directory has little or no free space.
// The apply succeeds, or everything is unchanged.
func TestFault19DiskFull(t *testing.T) { fillDisks(t, 19, fillers[0]) }

// TestFault20NoInodes is TestFault19DiskFull without free inodes.
func TestFault20NoInodes(t *testing.T) { fillDisks(t, 20, fillers[1]) }

func fillDisks(t *testing.T, row int, f filler) {
	t.Parallel()
	h, s, old := smallDisks(t, f.mkfs...)
	s.write("fleet.hcl", diskFiles("new", false))
	s.apply().says(t, 0)
	fresh := statesOf(t, h, diskPaths...)
	back := func() {
		t.Helper()
		s.write("fleet.hcl", diskFiles("old", false))
		s.apply().says(t, 0)
		statesOf(t, h, diskPaths...).same(t, old)
		s.write("fleet.hcl", diskFiles("new", false))
	}
	back()
	count, refused := 0, 0
	for _, point := range []string{targets, stateDir} {
		for _, left := range spread(f.sweep+1, size(3, 16)) {
			left-- // from none
			f.on(t, h, point, left)
			r := s.apply()
			count++
			found := statesOf(t, h, diskPaths...)
			switch which := found.same(t, old, fresh); {
			case r.exit == 0 && which != 1:
				t.Errorf("exit status 0 and not as wanted:\n%s", r.output)
			case r.exit != 0 && which != 0:
				t.Errorf("exit status %d and not as before:\n%s", r.exit, r.output)
			case r.exit != 0:
				refused++
				r.says(t, 1, "no space")
				// What could be cleaned up while the disk was full was cleaned up.
				clean(t, h)
			}
			empty(t, h, point)
			oracle(t, s, h, r)
			back()
			if t.Failed() {
				t.Fatalf("%s with %d %s left", point, left, f.unit)
			}
		}
	}
	if refused < 2 {
		t.Errorf("of %d applies only %d met a file system that was %s", count, refused, f.name)
	}
	record(t, row, "file system "+f.name, count, fmt.Sprintf("applied, or refused (%d) with everything unchanged", refused))

	// Everything is used up while the apply runs, and then its last step fails: taking back needs nothing that is not there.
	s.write("fleet.hcl", diskFiles("new", true))
	points := enumerate(t, h, func() { s.apply().says(t, 1) })
	statesOf(t, h, diskPaths...).same(t, old)
	count = 0
	for _, n := range spread(len(points), size(4, min(40, len(points)))) {
		reached, letGo := stopPoint(t, h, n)
		run := s.start("apply", "--auto-approve")
		if !reached(run) {
			letGo()
			run.wait().says(t, 1)
			continue
		}
		f.on(t, h, targets, 0)
		f.on(t, h, stateDir, 0)
		letGo()
		r := run.wait()
		count++
		r.says(t, 1)
		statesOf(t, h, diskPaths...).same(t, old)
		clean(t, h)
		empty(t, h, targets, stateDir)
		if t.Failed() {
			t.Fatalf("%s at fault point %d (%s):\n%s", f.name, n, points[n-1], r.output)
		}
	}
	s.write("fleet.hcl", diskFiles("new", false))
	oracle(t, s, h, result{exit: -1})
	record(t, row, "file system "+f.name+" before a rollback", count, "everything unchanged")
}

// A file system becomes read-only, or fails with EIO, during an apply. The apply stops without
// claiming success, and the next apply finishes when the file system works again.
func TestFault21FileSystemFails(t *testing.T) {
	t.Parallel()
	kinds := []struct {
		name   string
		mkfs   []string
		size   int64
		points []string // directories whose file system fails
		at     []string // steps at which it can; all when empty
		fail   func(t *testing.T, h *lab.Host, point string)
		repair func(t *testing.T, h *lab.Host, point, device string)
	}{
		{
			// Only while no file is open there for writing, which the journal always is.
			"remounted read-only", []string{"mkfs.ext4", "-q", "-F"}, 16 << 20, []string{targets}, []string{"rename", "exchange", "mkdir", "rmdir", "unlink"},
			func(t *testing.T, h *lab.Host, point string) { on(t, h, "mount", "-o", "remount,ro", point) },
			func(t *testing.T, h *lab.Host, point, _ string) { on(t, h, "mount", "-o", "remount,rw", point) },
		},
		{
			"shut down (EIO)", []string{"mkfs.xfs", "-q", "-f"}, 320 << 20, []string{targets, stateDir}, nil,
			func(t *testing.T, h *lab.Host, point string) {
				// As the host sees it: the mount is in its namespace.
				inside, err := h.Path(point)
				if err != nil {
					t.Fatal(err)
				}
				local(t, "", "xfs_io", "-x", "-c", "shutdown", inside)
			},
			func(t *testing.T, h *lab.Host, point, device string) {
				on(t, h, "umount", point)
				on(t, h, "mount", device, point)
			},
		},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			h := boot(t, lab.HostSpec{Name: "eio", Disks: []int64{k.size, k.size}})
			for i, point := range []string{targets, stateDir} {
				local(t, "", append(append([]string(nil), k.mkfs...), h.Disks[i].Path)...)
				on(t, h, "mkdir", "-p", "-m", "0700", point)
				on(t, h, "mount", h.Disks[i].Path, point)
			}
			s := newSite(t, host{Host: h})
			s.write("fleet.hcl", diskFiles("old", false))
			s.apply().says(t, 0)
			old := statesOf(t, h, diskPaths...)
			s.write("fleet.hcl", diskFiles("new", false))
			points := enumerate(t, h, func() { s.apply().says(t, 0) })
			fresh := statesOf(t, h, diskPaths...)
			var steps []int
			for n, name := range points[:len(points)*3/4] { // the last points come after the commit
				if len(k.at) == 0 || slices.Contains(k.at, name) {
					steps = append(steps, n+1)
				}
			}
			count := 0
			for i, point := range []string{targets, stateDir} {
				if !slices.Contains(k.points, point) {
					continue
				}
				for _, step := range spread(len(steps), size(3, 24)) {
					n := steps[step-1]
					s.write("fleet.hcl", diskFiles("old", false))
					s.apply().says(t, 0)
					s.write("fleet.hcl", diskFiles("new", false))
					reached, letGo := stopPoint(t, h, n)
					run := s.start("apply", "--auto-approve")
					if !reached(run) {
						t.Fatalf("the apply ended before fault point %d:\n%s", n, run.wait().output)
					}
					k.fail(t, h, point)
					letGo()
					r := run.wait()
					eventually(t, "the helper to end", func() bool { return free(h) })
					count++
					if r.exit == 0 {
						statesOf(t, h, diskPaths...).same(t, fresh)
					} else {
						r.says(t, 1)
					}
					k.repair(t, h, point, h.Disks[i].Path)
					statesOf(t, h, diskPaths...).wholly(t, old, fresh)
					oracle(t, s, h, r)
					statesOf(t, h, diskPaths...).same(t, fresh)
					if t.Failed() {
						t.Fatalf("%s %s at fault point %d (%s):\n%s", filepath.Base(point), k.name, n, points[n-1], r.output)
					}
				}
			}
			record(t, 21, "file system "+k.name, count, "stopped with exit status 1; repaired by the next apply")
		})
	}
}
