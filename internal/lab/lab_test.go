package lab_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(ownerEnv); name != "" {
		os.Exit(ownLab(name))
	}
	os.Exit(labtest.Main(m))
}

// ssh logs in to the host and runs argv.
func ssh(t *testing.T, l *lab.Lab, h *lab.Host, user, input string, argv ...string) (stdout string, err error) {
	t.Helper()
	full := l.SSHCommand(h, user, argv...)
	cmd := exec.CommandContext(t.Context(), full[0], full[1:]...)
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = errors.New(err.Error() + ": " + stderr.String())
	}
	return string(out), err
}

// on runs argv inside the host and fails the test if it fails.
func on(t *testing.T, h *lab.Host, argv ...string) string {
	t.Helper()
	out, err := h.Run(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestLab(t *testing.T) {
	labtest.Require(t)
	ctx := t.Context()
	l, err := lab.Open(ctx, lab.Options{Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
		for _, left := range leftovers(t, l) {
			t.Errorf("left behind: %s", left)
		}
	})
	hosts, err := l.BootAll(ctx, lab.HostSpec{Name: "one", Disks: []int64{1 << 30, 300 << 20}}, lab.HostSpec{Name: "two"})
	if err != nil {
		t.Fatal(err)
	}
	one, two := hosts[0], hosts[1]
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(labtest.Report(one))
		}
	})
	upstream, err := l.Upstream(ctx)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("users", func(t *testing.T) { testUsers(t, l, two) })
	t.Run("identity", func(t *testing.T) {
		for _, file := range []string{"/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key.pub", "/etc/ssh/ssh_host_ecdsa_key"} {
			a, errA := one.Read(file)
			b, errB := two.Read(file)
			if err := errors.Join(errA, errB); err != nil {
				t.Fatal(err)
			}
			if string(a) == string(b) {
				t.Errorf("both hosts have the same %s", file)
			}
		}
		if got := on(t, one, "hostname"); got != "one" {
			t.Errorf("hostname is %q", got)
		}
		if got := on(t, one, "passwd", "--status", "root"); !strings.HasPrefix(got, "root L ") {
			t.Errorf("root's password is not locked: %s", got)
		}
		if failed := on(t, one, "systemctl", "--failed", "--no-legend", "--plain"); failed != "" {
			t.Errorf("failed units:\n%s", failed)
		}
	})
	t.Run("ipv6", func(t *testing.T) { testIPv6(t, l, one, two) })
	t.Run("packages", func(t *testing.T) {
		on(t, one, "apt-get", "install", "-y", "rsync", "xfsprogs", "e2fsprogs", "nginx-light", "curl")
		if got := on(t, one, "curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "http://127.0.0.1/"); got != "200" {
			t.Errorf("nginx answers %s", got)
		}
		on(t, one, "apt-get", "install", "-y", "mirrorform-lab-demo=1.0")
		if got := on(t, one, "cat", "/usr/share/mirrorform-lab-demo/version"); got != "1.0" {
			t.Errorf("the demo package is %q", got)
		}
		on(t, one, "apt-get", "install", "-y", "mirrorform-lab-demo")
		if got := on(t, one, "cat", "/usr/share/mirrorform-lab-demo/version"); got != "2.0" {
			t.Errorf("the demo package is %q after an upgrade", got)
		}
	})
	t.Run("upstream", func(t *testing.T) { testUpstream(t, upstream, one) })
	t.Run("disks", func(t *testing.T) { testDisks(t, one) })
	t.Run("files", func(t *testing.T) { testFiles(t, two) })
	t.Run("kill", func(t *testing.T) {
		on(t, two, "touch", "/root/kept")
		if err := two.Kill(ctx); err != nil {
			t.Fatal(err)
		}
		if two.Running() {
			t.Error("it still runs")
		}
		if _, err := ssh(t, l, two, "root", "", "true"); err == nil {
			t.Error("ssh still works")
		}
		if err := two.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := ssh(t, l, two, "root", "", "test", "-e", "/root/kept"); err != nil {
			t.Errorf("the file system is another one: %v", err)
		}
	})
	t.Run("list", func(t *testing.T) {
		infos, err := lab.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range infos {
			if info.Name != l.Name {
				continue
			}
			if len(info.Hosts) != 2 || info.Hosts[0].Name != "one" || info.Hosts[0].Address != one.Address || info.Hosts[0].Address6 != one.Address6 || !info.Hosts[1].Running || info.Upstream == "" {
				t.Errorf("listed as %+v", info)
			}
			return
		}
		t.Errorf("%s is not in %+v", l.Name, infos)
	})
	t.Run("names", func(t *testing.T) {
		if _, err := l.Boot(ctx, lab.HostSpec{Name: "one"}); err == nil {
			t.Error("a second host of one name was booted")
		}
		if h, err := l.Host("one"); err != nil || h != one {
			t.Errorf("the refused host took the first one's place: %v", err)
		}
		for _, name := range []string{"", "../x", "a b", "-x", strings.Repeat("a", 60)} {
			if _, err := l.Boot(ctx, lab.HostSpec{Name: name}); err == nil {
				t.Errorf("host name %q was taken", name)
			}
		}
	})
}

func testUsers(t *testing.T, l *lab.Lab, h *lab.Host) {
	const words = `it's "$HOME" \ * ; touch /pwn ! %`
	for _, user := range append(lab.Users(), "root") {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			out, err := ssh(t, l, h, user, "", "printf", "%s|", "id", words)
			if err != nil {
				t.Fatal(err)
			}
			if want := "id|" + words + "|"; !strings.HasSuffix(out, want) {
				t.Errorf("got %q, want %q", out, want)
			}
			if talks := len(out) > len("id|"+words+"|"); talks != (user == "noisy") {
				t.Errorf("a login prints %q", out)
			}
			become := map[string][]string{"doas": {"doas", "-n", "id", "-u"}, "op": {"sudo", "-S", "-p", "", "id", "-u"}, "root": {"id", "-u"}}[user]
			if become == nil {
				become = []string{"sudo", "-n", "id", "-u"}
			}
			out, err = ssh(t, l, h, user, lab.OpPassword+"\n", become...)
			if user == "plain" {
				if err == nil {
					t.Error("may use sudo")
				}
			} else if err != nil || !strings.HasSuffix(out, "0\n") {
				t.Errorf("%q: %q, %v", become, out, err)
			}
		})
	}
	t.Run("shells", func(t *testing.T) {
		t.Parallel()
		passwd, err := h.Read("/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"/home/csh:/bin/tcsh\n", "/home/fish:/usr/bin/fish\n"} {
			if !strings.Contains(string(passwd), want) {
				t.Errorf("no %q in\n%s", want, passwd)
			}
		}
		if _, err := ssh(t, l, h, "op", "", "sudo", "-n", "true"); err == nil {
			t.Error("op may use sudo without a password")
		}
	})
}

// testIPv6: the machine and the hosts reach each other over IPv6, from the moment that a host is up.
func testIPv6(t *testing.T, l *lab.Lab, one, two *lab.Host) {
	if l.Gateway6 == "" {
		t.Skip("this machine has no IPv6")
	}
	last := one.Address[strings.LastIndexByte(one.Address, '.')+1:]
	if prefix := strings.TrimSuffix(l.Gateway6, "::1"); one.Address6 != prefix+"::"+last || two.Address6 == one.Address6 {
		t.Errorf("the addresses are %s and %s, the machine's is %s", one.Address6, two.Address6, l.Gateway6)
	}
	over := *one
	over.Address = one.Address6
	if out, err := ssh(t, l, &over, "admin", "", "printenv", "SSH_CONNECTION"); err != nil || !strings.HasPrefix(out, l.Gateway6+" ") {
		t.Errorf("ssh over IPv6: %q, %v", out, err)
	}
	greet := func(from *lab.Host, to string) {
		t.Helper()
		if got := on(t, from, "bash", "-c", "exec 3<>/dev/tcp/"+to+"/22; head -c4 <&3"); got != "SSH-" {
			t.Errorf("%s receives %q from %s", from.Name, got, to)
		}
	}
	greet(one, two.Address6)
	if err := two.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, boot := range []func(context.Context) error{two.Start, two.Reboot} {
		if err := boot(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := on(t, two, "ip", "-6", "address", "show", "dev", "host0", "scope", "global")
		if !strings.Contains(got, two.Address6+"/64") || strings.Contains(got, "tentative") {
			t.Errorf("a host that is up has %s", got)
		}
		greet(one, two.Address6)
		greet(two, one.Address6)
	}
}

func testUpstream(t *testing.T, u *lab.Upstream, h *lab.Host) {
	// The guide's own command, under the real server's name.
	on(t, h, "rsync", "-avSH", "-f", "R .~tmp~", "--delete-delay", "--delay-updates", "rsync://rsync.repo.almalinux.org/almalinux/", "/srv/almalinux/")
	want, err := os.ReadFile(u.Path(lab.ModuleAlmaLinux, "TIME"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Read("/srv/almalinux/TIME")
	if err != nil || string(got) != string(want) {
		t.Errorf("TIME is %q, %v; want %q", got, err, want)
	}
	if got := on(t, h, "readlink", "/srv/almalinux/8"); got != "8.10" {
		t.Errorf("the link 8 points to %q", got)
	}
	if got := on(t, h, "stat", "--format=%h", "/srv/almalinux/8.10/BaseOS/x86_64/os/Packages/baseos-release-8.10-1.el.x86_64.rpm"); got != "2" {
		t.Errorf("a hard-linked file has %s links", got)
	}
	for _, file := range []string{"/srv/almalinux/8.10/BaseOS/x86_64/os/repodata/repomd.xml", "/srv/almalinux/9.8/AppStream/x86_64/os/repodata/repomd.xml"} {
		on(t, h, "test", "-s", file)
	}
	if _, err := os.Stat(u.Path(lab.ModuleAlmaLinux, ".~tmp~/TIME")); err != nil {
		t.Errorf("the upstream has no unfinished files: %v", err)
	}
	on(t, h, "test", "!", "-e", "/srv/almalinux/.~tmp~")
	on(t, h, "rsync", "-r", "--exclude=.~tmp~", u.URL(lab.ModuleKitten), "/srv/kitten/")
	on(t, h, "test", "-s", "/srv/kitten/10-kitten/BaseOS/x86_64/os/repodata/repomd.xml")
}

func testDisks(t *testing.T, h *lab.Host) {
	on(t, h, "mkfs.xfs", h.Disks[0].Path)
	on(t, h, "mkfs.ext4", "-q", h.Disks[1].Path)
	uuid := on(t, h, "blkid", "--output", "value", "--match-tag", "UUID", h.Disks[0].Path)
	fstab := "# comment\nUUID=" + uuid + " /srv/a\\040mirror xfs defaults,nofail 0 2\n" + h.Disks[1].Path + " /srv/small ext4 noauto 0 2\n"
	if err := h.Write("/etc/fstab", []byte(fstab), 0o644); err != nil {
		t.Fatal(err)
	}
	on(t, h, "mkdir", "-p", "/srv/a mirror", "/srv/small")
	on(t, h, "findmnt", "--verify")
	on(t, h, "systemctl", "daemon-reload")
	on(t, h, "mount", "/srv/a mirror")
	on(t, h, "mount", "/srv/small")
	if got := on(t, h, "systemctl", "is-active", `srv-a\x20mirror.mount`); got != "active" {
		t.Errorf("the mount unit is %s", got)
	}
	if err := h.Write("/srv/a mirror/kept", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, id := h.Address, on(t, h, "cat", "/proc/sys/kernel/random/uuid", "/etc/machine-id")[37:]
	// Every boot has its own; systemd writes it before sshd starts.
	invocation := on(t, h, "systemctl", "show", "--property=InvocationID", "ssh.service")
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := on(t, h, "systemctl", "show", "--property=InvocationID", "ssh.service"); again == invocation {
		t.Error("the host has not rebooted")
	}
	if h.Address != address || on(t, h, "cat", "/etc/machine-id") != id {
		t.Error("another host came back")
	}
	on(t, h, "systemctl", "is-active", "nginx")
	if got := on(t, h, "findmnt", "--noheadings", "--output=FSTYPE", "/srv/a mirror"); got != "xfs" {
		t.Errorf("/srv/a mirror is %q after the reboot", got)
	}
	if got, err := h.Read("/srv/a mirror/kept"); err != nil || string(got) != "x" {
		t.Errorf("after the reboot: %q, %v", got, err)
	}
	if _, err := h.Run(t.Context(), "findmnt", "/srv/small"); err == nil {
		t.Error("a noauto entry was mounted")
	}
}

func testFiles(t *testing.T, h *lab.Host) {
	if err := h.Write("/opt/new/dir/file", []byte("data"), 0o640); err != nil {
		t.Fatal(err)
	}
	if got := on(t, h, "stat", "--format=%a %U %s", "/opt/new/dir/file"); got != "640 root 4" {
		t.Errorf("the file is %q", got)
	}
	secret := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(secret, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	on(t, h, "ln", "-s", secret, "/opt/escape")
	on(t, h, "ln", "-s", "../../../../../.."+secret, "/opt/escape2")
	for _, link := range []string{"/opt/escape", "/opt/escape2"} {
		if data, err := h.Read(link); err == nil {
			t.Errorf("%s leads out of the host: %q", link, data)
		}
	}
	if err := h.Write("/tmp/in-tmpfs", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	on(t, h, "test", "-f", "/tmp/in-tmpfs")
	if _, err := h.Read("relative"); err == nil {
		t.Error("a relative path was taken")
	}
	out, err := h.RunInput(t.Context(), []byte("in"), "cat")
	if err != nil || string(out) != "in" {
		t.Errorf("cat: %q, %v", out, err)
	}
	_, err = h.Run(t.Context(), "ls", "/proc/nonexistent")
	var failed *lab.CommandError
	if !errors.As(err, &failed) || !strings.Contains(failed.Output, "nonexistent") {
		t.Errorf("the error of a failed program is %v", err)
	}
}

// leftovers names what is left of a lab that has ended.
func leftovers(t *testing.T, l *lab.Lab) []string {
	t.Helper()
	var left []string
	data := filepath.Join(lab.DefaultDir, "labs", l.Name)
	for _, path := range []string{data, filepath.Dir(l.KeyPath()), "/sys/class/net/" + l.Bridge,
		"/sys/fs/cgroup/mirrorform-lab/" + l.Name, "/sys/fs/cgroup/unified/mirrorform-lab/" + l.Name, "/sys/fs/cgroup/systemd/mirrorform-lab/" + l.Name} {
		if _, err := os.Lstat(path); err == nil {
			left = append(left, path)
		}
	}
	globs := []string{"/run/systemd/nspawn/*/" + l.Bridge + "-*", "/sys/class/net/vb-" + l.Bridge + "-*"}
	for _, glob := range globs {
		found, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	for glob, word := range map[string]string{"/proc/self/mountinfo": data + "/", "/sys/block/loop*/loop/backing_file": data + "/",
		"/proc/[0-9]*/cmdline": "--machine=" + l.Bridge + "-", "/proc/[0-9]*/cgroup": "/mirrorform-lab/" + l.Name + "/"} {
		files, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			status, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
			zombie := strings.Contains(string(status), "\nState:\tZ") // its parent's affair
			if text, err := os.ReadFile(file); err == nil && !zombie && strings.Contains(string(text), word) {
				left = append(left, file+": "+strings.ReplaceAll(string(text), "\x00", " "))
			}
		}
	}
	return left
}

const ownerEnv = "LAB_TEST_OWNER"

// ownLab is another process that makes a lab and ends without ending it.
func ownLab(name string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	l, err := lab.Open(ctx, lab.Options{Name: name, Persistent: strings.HasPrefix(name, "keep"), Log: os.Stderr})
	if err == nil {
		_, err = l.Boot(ctx, lab.HostSpec{Name: "one", Disks: []int64{64 << 20}, VM: strings.Contains(name, "-vm-")})
	}
	if err == nil {
		_, err = l.Upstream(ctx)
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}

func TestOwnerGone(t *testing.T) {
	labtest.Require(t)
	suffix := strings.ToLower(strings.ReplaceAll(filepath.Base(t.TempDir()), "_", "-")) // "001"
	for _, prefix := range []string{"drop", "keep"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			name := prefix + "-" + suffix + "-" + strings.TrimPrefix(strings.ToLower(time.Now().Format("150405.000")), "0")
			name = strings.ReplaceAll(name, ".", "-")
			t.Cleanup(func() {
				if err := lab.Down(context.Background(), name); err != nil {
					t.Error(err)
				}
			})
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), ownerEnv+"="+name)
			cmd.Stderr = os.Stderr
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			l, err := lab.Attach(t.Context(), name, nil)
			if prefix == "drop" {
				if err == nil {
					t.Fatal("attached to a lab without owner")
				}
				if err := lab.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if infos, err := lab.List(t.Context()); err != nil || containsLab(infos, name) {
					t.Errorf("still listed: %+v, %v", infos, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := lab.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			h, err := l.Host("one")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ssh(t, l, h, "admin", "", "true"); err != nil {
				t.Fatal(err)
			}
			if err := h.Reboot(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Boot(t.Context(), lab.HostSpec{Name: "two"}); err != nil {
				t.Fatal(err)
			}
			if err := l.Down(context.Background()); err != nil {
				t.Fatal(err)
			}
			for _, left := range leftovers(t, l) {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

func containsLab(infos []lab.Info, name string) bool {
	for _, info := range infos {
		if info.Name == name {
			return true
		}
	}
	return false
}
