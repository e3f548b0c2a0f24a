package lab_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// TestVM: a virtual machine is a host as the others, and its kernel has what theirs lacks.
func TestVM(t *testing.T) {
	labtest.RequireVM(t)
	l := labtest.Lab(t)
	hosts := labtest.Hosts(t, 2, lab.HostSpec{Name: "vm", VM: true, Disks: []int64{1 << 30, 1 << 30}},
		lab.HostSpec{Name: "peer"})
	vm, peer := hosts[0], hosts[1]
	if _, err := l.Upstream(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("enforcing", func(t *testing.T) { testEnforcing(t, vm) })
	t.Run("clock", func(t *testing.T) { testClock(t, vm) })
	t.Run("users", func(t *testing.T) { testUsers(t, l, vm) })
	t.Run("network", func(t *testing.T) {
		for _, address := range []string{vm.Address, vm.Address6} {
			if address != "" {
				greet(t, peer, address)
			}
		}
		greet(t, vm, peer.Address)
		got := on(t, vm, "bash", "-c", "exec 3<>/dev/tcp/upstream/873; head -c7 <&3")
		if got != "@RSYNCD" {
			t.Errorf("the upstream sends %q", got)
		}
	})
	t.Run("files", func(t *testing.T) { testVMFiles(t, vm) })
	t.Run("disks", func(t *testing.T) { testVolumes(t, vm) })
	t.Run("netem", func(t *testing.T) {
		on(t, vm, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "300ms")
		if got := on(t, vm, "tc", "qdisc", "show", "dev", "lo"); !strings.Contains(got, "delay 300ms") {
			t.Errorf("lo has %s", got)
		}
		on(t, vm, "tc", "qdisc", "delete", "dev", "lo", "root")
	})
	t.Run("reboot", func(t *testing.T) {
		testRestart(t, "reboot", vm, vm.Reboot)
		testRestart(t, "power cut", vm, func(ctx context.Context) error {
			if err := vm.Kill(ctx); err != nil {
				return err
			}
			if vm.Running() {
				t.Error("it still runs")
			}
			return vm.Start(ctx)
		})
	})
}

// greet has a host read the greeting of the sshd at an address.
func greet(t *testing.T, from *lab.Host, to string) {
	t.Helper()
	if got := on(t, from, "bash", "-c", "exec 3<>/dev/tcp/"+to+"/22; head -c4 <&3"); got != "SSH-" {
		t.Errorf("%s receives %q from %s", from.Name, got, to)
	}
}

func testEnforcing(t *testing.T, vm *lab.Host) {
	if got := on(t, vm, "getenforce"); got != "Enforcing" {
		t.Errorf("SELinux is %s", got)
	}
	if failed := on(t, vm, "systemctl", "--failed", "--no-legend", "--plain"); failed != "" {
		t.Errorf("failed units:\n%s", failed)
	}
	if got := on(t, vm, "systemctl", "is-system-running"); got != "running" {
		t.Errorf("the host is %s", got)
	}
	// The processes and files have the contexts that the policy gives them.
	for argv, want := range map[string]string{
		"id -Z":                                    "unconfined_u:unconfined_r:unconfined_t:s0",
		"ps -o label= -C sshd":                     ":sshd_t:",
		"ps -o label= -C cron":                     ":crond_t:",
		"stat -c %C /etc/ssh/ssh_host_rsa_key":     ":sshd_key_t:",
		"stat -c %C /root/.ssh/authorized_keys":    ":ssh_home_t:",
		"matchpathcon -V /etc/passwd /etc/crontab": "/etc/crontab verified.",
		"semodule -l":                              "permissive",
	} {
		if got := on(t, vm, strings.Fields(argv)...); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", argv, got, want)
		}
	}
	if out, err := vm.Run(t.Context(), "runcon", "-t", "httpd_t", "cat", "/etc/shadow"); err == nil {
		t.Errorf("the policy lets a web server read %q", out)
	}
}

// testClock: the clock is not that of the snapshot.
func testClock(t *testing.T, vm *lab.Host) {
	seconds, err := strconv.ParseInt(on(t, vm, "date", "+%s"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if off := time.Since(time.Unix(seconds, 0)).Abs(); off > time.Minute {
		t.Errorf("the clock is off by %s", off)
	}
}

func testVMFiles(t *testing.T, vm *lab.Host) {
	if err := vm.Write("/opt/new dir/it's a file", []byte("data\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if got := on(t, vm, "stat", "--format=%a %U %s", "/opt/new dir/it's a file"); got != "640 root 5" {
		t.Errorf("the file is %q", got)
	}
	if got, err := vm.Read("/opt/new dir/it's a file"); err != nil || string(got) != "data\n" {
		t.Errorf("the file has %q, %v", got, err)
	}
	if _, err := vm.Read("/opt/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	out, err := vm.RunInput(t.Context(), []byte("in"), "cat")
	if err != nil || string(out) != "in" {
		t.Errorf("cat: %q, %v", out, err)
	}
	var failed *lab.CommandError
	_, err = vm.Run(t.Context(), "ls", "/proc/nonexistent")
	if !errors.As(err, &failed) || !strings.Contains(failed.Output, "nonexistent") {
		t.Errorf("the error of a failed program is %v", err)
	}
}

// testVolumes: logical volumes on RAID, which containers cannot have.
func testVolumes(t *testing.T, vm *lab.Host) {
	on(t, vm, "mdadm", "--create", "/dev/md0", "--run", "--level=1", "--raid-devices=2", "--metadata=1.2",
		vm.Disks[0].Path, vm.Disks[1].Path)
	on(t, vm, "pvcreate", "--yes", "/dev/md0")
	on(t, vm, "vgcreate", "mirrors", "/dev/md0")
	on(t, vm, "lvcreate", "--yes", "--name=alma", "--size=500M", "mirrors")
	on(t, vm, "mkfs.xfs", "-q", "/dev/mirrors/alma")
	// A busy machine assembles the disks after more than the 90 s that systemd waits for a device.
	const mount = "/dev/mirrors/alma /srv/alma xfs defaults,x-systemd.device-timeout=15min 0 0\n"
	if err := vm.Write("/etc/fstab", []byte(mount), 0o644); err != nil {
		t.Fatal(err)
	}
	on(t, vm, "mkdir", "/srv/alma")
	on(t, vm, "systemctl", "daemon-reload")
	on(t, vm, "mount", "/srv/alma")
	if err := vm.Write("/srv/alma/kept", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	on(t, vm, "sync", "-f", "/srv/alma/kept")
}

// testRestart: the same host comes back, enforcing, with its volumes, and on time.
func testRestart(t *testing.T, name string, vm *lab.Host, boot func(context.Context) error) {
	t.Helper()
	identity := func() string {
		return on(t, vm, "cat", "/etc/machine-id", "/etc/hostname", "/etc/ssh/ssh_host_ed25519_key.pub",
			"/sys/class/net/host0/address")
	}
	before, id := identity(), on(t, vm, "cat", "/proc/sys/kernel/random/boot_id")
	if err := boot(t.Context()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if on(t, vm, "cat", "/proc/sys/kernel/random/boot_id") == id {
		t.Errorf("%s: the host was not booted", name)
	}
	if after := identity(); after != before {
		t.Errorf("%s: the host is\n%s\nand was\n%s", name, after, before)
	}
	if got := on(t, vm, "getenforce"); got != "Enforcing" {
		t.Errorf("%s: SELinux is %s", name, got)
	}
	if got, err := vm.Read("/srv/alma/kept"); err != nil || string(got) != "x" {
		t.Errorf("%s: the volume has %q, %v", name, got, err)
	}
	testClock(t, vm)
}

// TestVMOwnerGone: a virtual machine ends with its lab.
func TestVMOwnerGone(t *testing.T) {
	labtest.RequireVM(t)
	name := "drop-vm-" + strconv.Itoa(os.Getpid())
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
	if got := emulators(t, name); len(got) != 1 {
		t.Errorf("before it is swept, it has the processes %q", got)
	}
	if err := lab.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := emulators(t, name); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	if infos, err := lab.List(t.Context()); err != nil || containsLab(infos, name) {
		t.Errorf("still listed: %+v, %v", infos, err)
	}
}

// emulators returns the command lines of the qemu processes of a lab.
func emulators(t *testing.T, name string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		ofLab := strings.HasPrefix(string(line), "qemu-") && strings.Contains(string(line), "/mirrorform-lab/"+name+"/")
		if err == nil && ofLab {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
