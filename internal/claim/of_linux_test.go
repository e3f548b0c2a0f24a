package claim

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// askEnv has the test program print the identity of a directory, so that it can be asked for as
// another user.
const askEnv = "MIRRORFORM_TEST_CLAIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(askEnv); dir != "" {
		id, err := Of(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(id)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// of is the identity of a directory, after it was seen to be the same for a user without
// privileges.
func of(t *testing.T, dir string) Identity {
	t.Helper()
	id, err := Of(dir)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		return id
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	place, err := os.MkdirTemp("/tmp", "claim")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(place) }()
	program := filepath.Join(place, "ask")
	if err := errors.Join(os.Chmod(place, 0o755), os.WriteFile(program, data, 0o755)); err != nil { //nolint:gosec // another user runs it
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env, cmd.Dir = []string{askEnv + "=" + dir}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as another user: %v: %s", err, out)
	}
	if other, err := Parse(string(out)); err != nil || other != id {
		t.Errorf("root gets\n%s, and another user\n%s (%v)", id, out, err)
	}
	return id
}

func TestOf(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for _, d := range []string{one, two} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	a, err := Of(one)
	if err != nil || a.Filesystem == "" || a.Inode == 0 {
		t.Fatal(a, err)
	}
	if got, err := Of(link); err != nil || got != a {
		t.Error("through a link:", got, err)
	}
	if got, err := Of(two); err != nil || got == a || got.Filesystem != a.Filesystem {
		t.Error("another directory:", got, err)
	}
	if _, err := Of(filepath.Join(dir, "missing")); !errors.Is(err, unix.ENOENT) {
		t.Error("a missing directory:", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Of(file); !errors.Is(err, unix.ENOTDIR) {
		t.Error("a file:", err)
	}
}

// TestOfKinds makes file systems and looks at directories on them before and after a mount by
// another device, which st_dev does not outlive.
func TestOfKinds(t *testing.T) {
	labtest.Require(t)
	for _, test := range []struct {
		name, id string
		mkfs     []string
		size     int64
	}{
		{"ext4", "fsid=8888888888888888", []string{"mkfs.ext4", "-q", "-U", "00112233-4455-6677-8899-aabbccddeeff"}, 16 << 20},
		{"xfs", "UUID=00112233-4455-6677-8899-aabbccddeeff", []string{"mkfs.xfs", "-q", "-m", "uuid=00112233-4455-6677-8899-aabbccddeeff"}, 320 << 20},
		{"btrfs", "UUID=00112233-4455-6677-8899-aabbccddeeff", []string{"mkfs.btrfs", "-q", "-U", "00112233-4455-6677-8899-aabbccddeeff"}, 128 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			labtest.Program(t, test.mkfs[0])
			image := filepath.Join("/var/tmp", "claim-"+test.name+fmt.Sprint(os.Getpid()))
			spare := image + "-spare"
			t.Cleanup(func() { _, _ = os.Remove(image), os.Remove(spare) })
			if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, test.size), os.WriteFile(spare, make([]byte, 4096), 0o600)); err != nil {
				t.Fatal(err)
			}
			do(t, append(test.mkfs, image)...)
			point := mountPoint(t)
			do(t, "mount", "-o", "loop", image, point)
			tree := filepath.Join(point, "tree")
			if test.name == "btrfs" {
				do(t, "btrfs", "subvolume", "create", tree)
				do(t, "btrfs", "subvolume", "create", filepath.Join(point, "other"))
			} else if err := errors.Join(os.Mkdir(tree, 0o755), os.Mkdir(filepath.Join(point, "other"), 0o755)); err != nil {
				t.Fatal(err)
			}
			before := of(t, tree)
			if before.Filesystem != test.id {
				t.Errorf("file system %s, not %s", before.Filesystem, test.id)
			}
			if other := of(t, filepath.Join(point, "other")); other == before {
				t.Errorf("both directories are %v", other)
			}
			bind := mountPoint(t)
			do(t, "mount", "--bind", tree, bind)
			if got := of(t, bind); got != before {
				t.Errorf("by its bind mount %v, and %v itself", got, before)
			}
			do(t, "umount", bind)
			var old, now unix.Stat_t
			if err := unix.Stat(tree, &old); err != nil {
				t.Fatal(err)
			}
			do(t, "umount", point)
			// The lowest device that is free is another one now.
			device := do(t, "losetup", "--find", "--show", spare)
			defer do(t, "losetup", "--detach", strings.TrimSpace(device))
			do(t, "mount", "-o", "loop", image, point)
			if err := unix.Stat(tree, &now); err != nil || now.Dev == old.Dev && test.name != "btrfs" {
				t.Logf("st_dev is %d still (%v)", old.Dev, err)
			}
			if after := of(t, tree); after != before {
				t.Errorf("%v before, and %v after another mount", before, after)
			}
			do(t, "umount", point)
			if got := of(t, point); got.Filesystem == before.Filesystem {
				t.Errorf("without the mount it is %v still", got)
			}
		})
	}
	t.Run("tmpfs", func(t *testing.T) {
		point := mountPoint(t)
		do(t, "mount", "-t", "tmpfs", "a disk", point)
		if got := of(t, point); got.Filesystem != `source=tmpfs:a\040disk` {
			t.Error(got)
		}
	})
	t.Run("overlay", func(t *testing.T) {
		base := mountPoint(t)
		do(t, "mount", "-t", "tmpfs", "layers", base)
		for _, d := range []string{"lower", "lower/tree", "upper", "work", "root"} {
			if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		root := filepath.Join(base, "root")
		do(t, "mount", "-t", "overlay", "-o", "lowerdir="+base+"/lower,upperdir="+base+"/upper,workdir="+base+"/work", "layers", root)
		t.Cleanup(func() { _ = exec.Command("umount", root).Run() })
		before := of(t, filepath.Join(root, "tree"))
		if before.Filesystem != "source=overlay:layers" {
			t.Error(before)
		}
		if err := os.WriteFile(filepath.Join(root, "tree", "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if after := of(t, filepath.Join(root, "tree")); after != before {
			t.Errorf("%v before it was copied up, and %v after", before, after)
		}
	})
}

func mountPoint(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "claim")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // another user looks at it
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("umount", dir).Run()
		_ = os.Remove(dir)
	})
	return dir
}

func do(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
	return string(out)
}
