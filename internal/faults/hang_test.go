package faults

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// deadline bounds a run on a host on which parts never answer.
const deadline = 2 * time.Minute

// inTime runs the program, and fails the test if it exceeds the deadline.
func inTime(t *testing.T, s *site, what string, args ...string) result {
	t.Helper()
	begin := time.Now()
	r := s.run(args...)
	if took := time.Since(begin); took > deadline {
		t.Errorf("%s: it takes %v:\n%s", what, took, r.output)
	}
	return r
}

// directoryService replaces getent on a host. It knows an account and a group that are in no file,
// and behaves as /run/getent says.
const directoryService = `#!/bin/sh
case $(cat /run/getent) in
sleeps) exec sleep infinity ;;
stops) kill -STOP $$ ;;
"is killed") kill -KILL $$ ;;
"says half and is killed") echo "theirs:x:70002:70002::/nonexistent:/bin/sh"; kill -KILL $$ ;;
"does not know the database") exit 1 ;;
"fails") echo "cannot contact the directory" >&2; exit 111 ;;
esac
case "$*" in
"passwd -- "*70002*|"passwd -- "*theirs*) echo "theirs:x:70002:70002::/nonexistent:/bin/sh"; exit 2 ;;
"group -- "*70002*|"group -- "*theirs*) echo "theirs:x:70002:"; exit 2 ;;
esac
exec /usr/bin/getent "$@"
`

// A directory service that hangs or fails is an error for the queried accounts within the deadline.
// None of its accounts counts as missing.
func TestFault36DirectoryService(t *testing.T) {
	t.Parallel()
	h := boot(t)
	put(t, h, "/usr/local/bin/getent", directoryService, 0o755)
	put(t, h, "/run/getent", "answers\n", 0o644)
	sh(t, h, "echo x >/etc/theirs; chown 70002:70002 /etc/theirs")
	s := newSite(t, host{Host: h})
	s.write("fleet.hcl", `
resource "file" "theirs" {
  hosts   = [host.h]
  path    = "/etc/theirs"
  owner   = "theirs"
  group   = "theirs"
  content = "x\n"
}
resource "user" "theirs" {
  hosts = [host.h]
  name  = "theirs"
}
resource "group" "theirs" {
  hosts = [host.h]
  name  = "theirs"
}
resource "file" "ours" {
  hosts   = [host.h]
  path    = "/etc/ours"
  content = "ours\n"
}
`)
	s.apply().says(t, 0)
	paths := []string{"/etc/theirs", "/etc/ours", "/etc/passwd", "/etc/group"}
	before := statesOf(t, h, paths...)
	ways := []string{"sleeps", "is killed", "fails", "stops", "says half and is killed", "does not know the database"}
	for _, way := range ways[:size(3, len(ways))] {
		put(t, h, "/run/getent", way+"\n", 0o644)
		sh(t, h, "echo edited >/etc/ours")
		for _, args := range [][]string{{"plan", "--detailed-exitcode"}, {"apply", "--auto-approve"}} {
			r := inTime(t, s, "a getent that "+way, args...)
			r.says(t, 1, "getent", "file.theirs", "user.theirs", "group.theirs")
			if strings.Contains(r.output, "file.ours") && strings.Contains(r.output, "look up the owner of /etc/ours") || strings.Contains(r.output, "create") && !strings.Contains(r.output, "0 to create") {
				t.Errorf("a getent that %s is taken for an answer:\n%s", way, r.output)
			}
		}
		sh(t, h, "echo ours >/etc/ours; pkill -KILL -x sleep; pkill -KILL -x getent; true")
		statesOf(t, h, paths...).same(t, before)
		put(t, h, "/run/getent", "answers\n", 0o644)
		oracle(t, s, h, s.run("plan", "--detailed-exitcode"))
		if t.Failed() {
			t.Fatalf("getent %s", way)
		}
	}
	record(t, 36, "a directory service that hangs, is killed or fails", 2*size(3, len(ways)), "an error for the accounts in question within the deadline; no account created, no owner changed")
}

// A systemd that does not answer is an error for each unit, or for the login if the login waits for
// it.
func TestFault36StoppedInit(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s, old := smallSite(t, h)
	pid, err := h.Init()
	if err != nil {
		t.Fatal(err)
	}
	stopped := func(run func()) {
		t.Helper()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}()
		run()
	}
	s.write("fleet.hcl", small("new"))
	injected := 0
	for _, pam := range []string{"with", "without"} {
		if pam == "without" {
			sh(t, h, "sed -i /pam_systemd/d /etc/pam.d/common-session")
		}
		stopped(func() {
			for _, args := range [][]string{{"plan", "--detailed-exitcode"}, {"apply", "--auto-approve"}} {
				r := inTime(t, s, "a stopped init, "+pam+" pam_systemd", args...)
				if r.says(t, 1); pam == "without" {
					r.says(t, 1, "service.demo", "systemd did not answer")
				}
				injected++
			}
		})
		statesOf(t, h, smallPaths...).same(t, old)
	}
	r := s.apply()
	r.says(t, 0)
	oracle(t, s, h, r)
	record(t, 36, "PID 1 that does not answer (SIGSTOP), with and without a login that waits for it", injected, "an error for its units or the host within the deadline; nothing written")
}

// deadMount mounts a FUSE file system on a directory of a host. Its daemon, this test, greets the
// kernel and accepts requests without answering them, so that processes with requests cannot even
// be killed. over ends the mount.
func deadMount(t *testing.T, h *lab.Host, dir string) (over func()) {
	t.Helper()
	pid, err := h.Init()
	if err != nil {
		t.Fatal(err)
	}
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	sh(t, h, "mkdir -p "+dir)
	mount := exec.Command("nsenter", "--target", strconv.Itoa(pid), "--mount", "--root", "--", "/bin/mount", "-i", "-t", "fuse",
		"-o", "fd=3,rootmode=40000,user_id=0,group_id=0,allow_other", "dead", dir)
	mount.ExtraFiles = []*os.File{dev}
	if out, err := mount.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	buf := make([]byte, 1<<20)
	if _, err := syscall.Read(int(dev.Fd()), buf); err != nil {
		t.Fatal(err)
	}
	// The answer to FUSE_INIT (include/uapi/linux/fuse.h): protocol 7.31, requests of up to 4096
	// bytes.
	le := binary.LittleEndian
	reply := make([]byte, 16+64)
	le.PutUint32(reply, uint32(len(reply)))
	copy(reply[8:16], buf[8:16])
	for at, value := range map[int]uint32{16: 7, 20: 31, 36: 4096} {
		le.PutUint32(reply[at:], value)
	}
	if _, err := syscall.Write(int(dev.Fd()), reply); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := syscall.Read(int(dev.Fd()), buf); err != nil {
				return // the connection was ended
			}
		}
	}()
	done := false
	over = func() {
		if done {
			return
		}
		done = true
		sh(t, h, "umount --force --lazy "+dir) // which ends the connection
		<-ended
		_ = dev.Close()
	}
	t.Cleanup(over)
	return over
}

// A mount that does not answer is an error for paths on it or through it, within the deadline. All
// other questions are answered. The daemon accepts requests, so the system calls never return, and
// the helper cannot be killed either.
func TestFault36DeadMount(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := newSite(t, host{Host: h})
	sh(t, h, "mkdir -p /srv/data /srv/pub/almalinux /srv/pub/almalinux/sub")
	config := `
resource "storage" "data" {
  hosts = [host.h]
  path  = "/srv/data"
}
resource "directory" "data" {
  hosts = [host.h]
  path  = "/srv/data"
}
resource "file" "inside" {
  hosts   = [host.h]
  path    = "/srv/data/inside"
  content = "inside\n"
}
resource "tree" "pub" {
  hosts = [host.h]
  path  = "/srv/pub/almalinux"
  name  = "pub"
  claim = "/srv/pub/almalinux"
}
resource "file" "ours" {
  hosts   = [host.h]
  path    = "/etc/ours"
  content = "ours\n"
}
`
	s.write("fleet.hcl", config)
	s.apply().says(t, 0)
	many := ""
	for i := range 200 {
		many += fmt.Sprintf("resource \"file\" \"many%d\" {\n  hosts = [host.h]\n  path = \"/srv/data/many/%d\"\n  content = \"x\"\n}\n", i, i)
	}
	injected := 0
	for _, c := range []struct {
		dir, more, names string
		args             []string
	}{
		{"/srv/data", "", "file.inside", []string{"apply", "--auto-approve"}},
		{"/srv/pub/almalinux/sub", "", "tree.pub", []string{"apply", "--auto-approve"}},
		{"/srv/data", many, "file.many7", []string{"plan", "--detailed-exitcode"}},
	} {
		s.write("more.hcl", c.more)
		over := deadMount(t, h, c.dir)
		r := inTime(t, s, "a dead mount on "+c.dir, c.args...)
		r.says(t, 1, c.names)
		if strings.Contains(r.output, "file.ours") {
			t.Errorf("a dead mount on %s keeps others from being answered:\n%s", c.dir, r.output)
		}
		injected++
		over()
		s.write("more.hcl", "")
		oracle(t, s, h, s.run("plan", "--detailed-exitcode"))
		if t.Failed() {
			t.Fatal(c.dir)
		}
	}
	record(t, 36, "a FUSE mount that never answers requests, at a path and inside a tree", injected, "an error for paths through it within the deadline; all other questions are answered")
}
