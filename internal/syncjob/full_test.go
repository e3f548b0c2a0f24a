package syncjob

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// TestRanOut fills small file systems with syncs. No file is half new, and TIME is not newer than the
// tree.
func TestRanOut(t *testing.T) {
	labtest.Require(t)
	for _, test := range []struct {
		what  string
		mkfs  []string
		size  int64
		ready func(t *testing.T, s *site)
		// large and many are files that do not fit.
		large, many int
	}{
		{what: noSpace, mkfs: []string{"mkfs.ext4", "-q", "-m", "0"}, size: 16 << 20, large: 20},
		{what: noInodes, mkfs: []string{"mkfs.ext4", "-q", "-m", "0", "-N", "64"}, size: 16 << 20, many: 100},
		{what: noSpace, mkfs: []string{"mkfs.btrfs", "-q", "--mixed"}, size: 32 << 20, large: 40},
		{what: noQuota, mkfs: []string{"mkfs.btrfs", "-q"}, size: 256 << 20, large: 20, ready: func(t *testing.T, s *site) {
			do(t, "btrfs", "quota", "enable", s.tree)
			do(t, "btrfs", "qgroup", "limit", "8M", s.tree)
		}},
	} {
		t.Run(test.mkfs[0]+" "+test.what, func(t *testing.T) {
			t.Parallel()
			labtest.Program(t, test.mkfs[0])
			s := newSite(t)
			s.settings.MaxDeletePercent = 0
			mountTree(t, s, test.size, test.mkfs...)
			s.run(0)
			if test.ready != nil {
				test.ready(t, s)
			}
			old := contents(t, s.tree)
			for i := range test.large {
				put(t, filepath.Join(s.upstream, "9", "large"+strconv.Itoa(i)), strings.Repeat(strconv.Itoa(i), 1<<20))
			}
			for i := range test.many {
				put(t, filepath.Join(s.upstream, "9", "many"+strconv.Itoa(i)), "x")
			}
			put(t, filepath.Join(s.upstream, "8", "f0"), "replaced\n")
			put(t, filepath.Join(s.upstream, "TIME"), "1700009999\n")
			later := time.Now().Add(time.Minute) // of the same size as the old one: rsync compares the times
			if err := os.Chtimes(filepath.Join(s.upstream, "TIME"), later, later); err != nil {
				t.Fatal(err)
			}
			fresh := contents(t, s.upstream)

			// The dry run sees that it cannot fit, but not a quota.
			if test.what != noQuota {
				s.settings.MaxDeletePercent = 50
				printed := s.run(statusNoRoom)
				s.says(printed, "mirrorform: the sync needs ", map[string]string{noSpace: " bytes are free", noInodes: " free inodes"}[test.what])
				put(t, s.settings.Log, printed)
				s.run(statusNoRoom, "--record", strconv.Itoa(os.Getpid()), strconv.Itoa(statusNoRoom))
				if r := s.last(); r.RanOutOf != test.what {
					t.Errorf("the refused sync is recorded as %+v", r)
				}
				if now := contents(t, s.tree); fmt.Sprint(now) != fmt.Sprint(old) {
					t.Errorf("the refused sync has changed the tree")
				}
				s.settings.MaxDeletePercent = 0
			}
			for range 2 { // the second time, what the first has received is in the tree
				s.failsFull(test.what, old, fresh)
			}

			// With less to receive, the next one is complete.
			if err := os.RemoveAll(filepath.Join(s.upstream, "9")); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(s.tree, "9")); err != nil {
				t.Fatal(err)
			}
			do(t, "sync", "-f", s.tree)
			s.run(0)
			if now := contents(t, s.tree)["TIME"]; now != "1700009999\n" {
				t.Errorf("TIME is %q after a complete sync", now)
			}
		})
	}
}

// failsFull runs a sync that fails, and looks at what it leaves.
func (s *site) failsFull(what string, old, fresh map[string]string) {
	s.t.Helper()
	c, _ := parseCall([]string{"m"})
	printed, err := os.CreateTemp(s.t.TempDir(), "printed")
	if err != nil {
		s.t.Fatal(err)
	}
	j := &job{Settings: &s.settings, name: "m", stdout: printed, stderr: printed, claimFile: filepath.Join(s.settings.State, "claim")}
	status := j.run(c)
	_ = j.lock.Close()
	text, _ := os.ReadFile(printed.Name())
	if r := s.last(); status != 11 && status != 23 || r.Exit != int64(status) || r.RanOutOf != what {
		s.t.Errorf("status %d is recorded as %+v:\n%s", status, r, text)
	}
	now := contents(s.t, s.tree)
	for name, content := range now {
		if content != old[name] && content != fresh[name] {
			s.t.Errorf("%s is neither old nor new (%d bytes)", name, len(content))
		}
	}
	for name := range old {
		if _, there := now[name]; !there && name != "TIME" {
			s.t.Errorf("%s is gone", name)
		}
	}
	if now["TIME"] == fresh["TIME"] {
		s.t.Errorf("TIME is new in an incomplete tree:\n%s", text)
	}
	if now["TIME"] != old["TIME"] && what != noQuota {
		s.t.Errorf("TIME is %q, want %q:\n%s", now["TIME"], old["TIME"], text)
	}
	if entries, _ := filepath.Glob(s.settings.State + "/*.kept"); len(entries) > 0 {
		s.t.Errorf("%q are left", entries)
	}
}

// contents has the content of each file of a tree, without what rsync has not put in place yet.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.Name() == "lost+found" || d.Name() == partial {
			if d != nil && d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		if d.Type().IsRegular() {
			text, err := os.ReadFile(p)
			all[strings.TrimPrefix(p, dir+"/")] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// mountTree mounts a new file system on the tree.
func mountTree(t *testing.T, s *site, size int64, mkfs ...string) {
	t.Helper()
	image, err := os.CreateTemp("/var/tmp", "mirrorform-full")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(image.Name()) })
	if err := image.Truncate(size); err != nil {
		t.Fatal(err)
	}
	do(t, append(mkfs, image.Name())...)
	do(t, "mount", "-o", "loop", image.Name(), s.tree)
	t.Cleanup(func() {
		for deadline := time.Now().Add(20 * time.Second); exec.Command("umount", s.tree).Run() != nil && time.Now().Before(deadline); {
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func do(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
}
