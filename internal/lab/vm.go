package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A host that is a virtual machine has, below its directory, a disk over the image's, its other
// disks, and a tree with the files of its identity, which are written into it when it is loaded
// from the image's snapshot.

func (h *Host) vmDisk() string { return filepath.Join(h.dir, "disk.qcow2") }

// socketsPath is the path of qemu's sockets, without their ends.
func (h *Host) socketsPath() string { return filepath.Join(h.lab.dir, h.Name) }

// tap is the name of the virtual machine's interface on the machine.
func (h *Host) tap() string { return fmt.Sprintf("%sv%d", h.lab.Bridge, h.index) }

// checkVMSpec returns an error for what a virtual machine cannot have.
func checkVMSpec(spec HostSpec) error {
	if spec.Family == EL || spec.Release != "" || spec.System != "" {
		return fmt.Errorf("host %s: a virtual machine has the machine's own release and its own disk", spec.Name)
	}
	return checkVM()
}

// bootVM prepares the virtual machine and starts it from the snapshot.
func (h *Host) bootVM(ctx context.Context, spec HostSpec) error {
	l := h.lab
	if err := install(ctx, vmRequirements, l.log); err != nil {
		return err
	}
	v, err := newVMRecipe(ctx, l.base)
	if err != nil {
		return err
	}
	image, err := l.cache.vmImage(ctx, l.base, l.recipe, v)
	if err != nil {
		return err
	}
	if err := makeDirs(h.root()); err != nil {
		return err
	}
	if _, err := run(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Join(image, vmDisk),
		h.vmDisk()); err != nil {
		return err
	}
	for i, size := range spec.Disks {
		file := filepath.Join(h.dir, fmt.Sprintf("disk%d", i))
		if err := makeSparse(file, size); err != nil {
			return err
		}
		h.Disks = append(h.Disks, Disk{Path: "/dev/vd" + string(rune('b'+i)), Backing: file, Size: size})
	}
	if err := h.change(ctx, func(hs *hostState) { hs.Disks, hs.Image = h.Disks, image }); err != nil {
		return err
	}
	h.image = image
	script, err := h.identity(ctx)
	if err != nil {
		return err
	}
	return h.startVM(ctx, v, script)
}

// identity writes the files that differ between hosts, and returns the script that makes them those
// of the virtual machine.
func (h *Host) identity(ctx context.Context) (string, error) {
	if err := h.copyAccounts(); err != nil {
		return "", err
	}
	publics, err := h.writeHostKeys()
	if err == nil {
		err = h.writeIdentity()
	}
	if err == nil {
		err = h.authorize()
	}
	if err == nil {
		err = h.editKnownHosts(ctx, publics)
	}
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = filepath.WalkDir(h.root(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		// The files exist, with their modes, owners and labels.
		fmt.Fprintf(&b, "printf %%s %s >%s\n", quoteWord(string(data)), quoteWord(strings.TrimPrefix(path, h.root())))
		return err
	})
	// The journal is in the directory of the machine ID with which journald started.
	b.WriteString("systemctl restart systemd-journald.service &\n")
	// networkd reads its file at the next boot: the policy keeps it from answering networkctl.
	fmt.Fprintf(&b, "hostname %s\nip -batch - <<'EOF'\nlink set dev host0 address %s\naddress add %s/24 dev host0\n",
		h.Name, h.mac(), h.Address)
	if h.Address6 != "" {
		fmt.Fprintf(&b, "address add fe80::6d:66ff:fe6c:61%02x/64 dev host0 nodad\n", h.index) // from mac (RFC 4291)
		fmt.Fprintf(&b, "address add %s/64 dev host0 nodad\n", h.Address6)
	}
	b.WriteString("EOF\nwait $!\n")
	return b.String(), err
}

// copyAccounts copies the accounts of the tree, with empty home directories.
func (h *Host) copyAccounts() error {
	passwd, err := os.ReadFile(filepath.Join(h.lab.base, "root/etc/passwd"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(passwd)) {
		if fields := strings.Split(line, ":"); len(fields) == 7 {
			if err := makeDirs(filepath.Join(h.root(), fields[5])); err != nil {
				return err
			}
		}
	}
	return writeTreeFiles(h.root(), []treeFile{{"/etc/passwd", 0o644, string(passwd)}})
}

// mac is the hardware address of the virtual machine, which is unique in its lab.
func (h *Host) mac() string { return fmt.Sprintf("02:6d:66:6c:61:%02x", h.index) }

// startVM starts the virtual machine. With the script of an identity it starts from the image's
// snapshot, otherwise it boots from its disk.
func (h *Host) startVM(ctx context.Context, v *vmRecipe, script string) error {
	if err := h.forgetNeighbour(ctx); err != nil {
		return err
	}
	if err := h.addTap(ctx); err != nil {
		return err
	}
	e := &emulator{recipe: v, image: h.image, name: h.machine, sockets: h.socketsPath(),
		console: h.ConsolePath(), disk: h.vmDisk(), format: "qcow2", tap: h.tap(), mac: h.mac()}
	if script != "" {
		e.memory, e.state = copiedMemory, true
	} else {
		for _, disk := range h.Disks {
			e.disks = append(e.disks, disk.Backing)
		}
	}
	ended, err := h.emulate(ctx, e)
	if err != nil {
		return err
	}
	if script != "" {
		if err := h.load(ctx, e, script, ended); err != nil {
			return fmt.Errorf("%w; console output:\n%s", err, h.consoleTail())
		}
	}
	return h.waitVM(ctx, ended, "")
}

// addTap adds the interface of the virtual machine to the lab's bridge. A killed qemu leaves it.
func (h *Host) addTap(ctx context.Context) error {
	if _, err := os.Stat("/sys/class/net/" + h.tap()); err == nil {
		return nil
	}
	if _, err := run(ctx, "ip", "tuntap", "add", "dev", h.tap(), "mode", "tap"); err != nil {
		return fmt.Errorf("creating the interface of host %s: %w", h.Name, err)
	}
	if _, err := run(ctx, "ip", "link", "set", "dev", h.tap(), "master", h.lab.Bridge, "up"); err != nil {
		return fmt.Errorf("creating the interface of host %s: %w", h.Name, err)
	}
	return nil
}

func (h *Host) removeTap(ctx context.Context) error {
	if _, err := os.Stat("/sys/class/net/" + h.tap()); err != nil {
		return nil
	}
	_, err := run(ctx, "ip", "link", "delete", "dev", h.tap())
	return err
}

// emulate starts qemu in the host's control group.
func (h *Host) emulate(ctx context.Context, e *emulator) (<-chan struct{}, error) {
	group, err := makeCgroup(h.lab.Name, h.Name, "keeper")
	if err != nil {
		return nil, err
	}
	console, err := os.OpenFile(h.ConsolePath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = console.Close() }()
	// The hosts of a persistent lab outlive ctx and the terminal's session.
	cmd := command(context.WithoutCancel(ctx), inCgroup(group, e.argv()...)...)
	cmd.Stdout, cmd.Stderr = console, console
	if e.state {
		state, err := os.Open(filepath.Join(e.image, vmState))
		if err != nil {
			return nil, err
		}
		defer func() { _ = state.Close() }()
		cmd.ExtraFiles = []*os.File{state}
	}
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	keeping, err := findProcess(cmd.Process.Pid)
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	if err != nil {
		return nil, fmt.Errorf("qemu ended immediately: %s", h.consoleTail())
	}
	return ended, h.change(ctx, func(hs *hostState) { hs.Keeper = keeping })
}

// load waits until the snapshot is loaded, adds the host's disks and gives the host its identity.
func (h *Host) load(ctx context.Context, e *emulator, script string, ended <-chan struct{}) error {
	port, err := openIdentity(ctx, e.sockets+".identity", ended)
	if err != nil {
		return err
	}
	defer port.close()
	m, err := openMonitor(ctx, e.sockets+".qmp", ended)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.load(ctx); err != nil {
		return err
	}
	for i, disk := range h.Disks {
		if err := m.plug(i, disk.Backing); err != nil {
			return err
		}
	}
	if err := m.run("cont", nil, nil); err != nil {
		return err
	}
	// The clock is that of the snapshot. Certificates of today would not be valid yet.
	now := fmt.Sprintf("date --utc --set=@%.3f >/dev/null\n", float64(time.Now().UnixMilli())/1000)
	return port.send(ctx, now+script)
}

// waitVM waits until sshd answers and the boot ID is not old. ended, if not nil, is closed when
// qemu has ended.
func (h *Host) waitVM(ctx context.Context, ended <-chan struct{}, old string) error {
	err := poll(ctx, vmBootLimit, func() (bool, error) {
		select {
		case <-ended:
			return false, errors.New("qemu has ended")
		default:
		}
		if !sshAnswers(ctx, h.Address) {
			return false, nil
		}
		if old == "" {
			return true, nil
		}
		now, err := h.bootID(ctx)
		return err == nil && now != old, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for sshd of %s at %s: %w; console output:\n%s", h.Name, h.Address, err, h.consoleTail())
	}
	return nil
}

func (h *Host) bootID(ctx context.Context) (string, error) {
	out, err := h.Run(ctx, "cat", "/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(out)), err
}

// rebootVM has the host's systemd reboot it. qemu goes on and resets the virtual machine.
func (h *Host) rebootVM(ctx context.Context) error {
	old, err := h.bootID(ctx)
	if err != nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	if _, err := h.Run(ctx, "systemctl", "reboot", "--no-block"); err != nil {
		return err
	}
	return h.waitVM(ctx, nil, old)
}

// restartVM boots the host from its disk after it has ended.
func (h *Host) restartVM(ctx context.Context) error {
	v, err := newVMRecipe(ctx, h.lab.base)
	if err != nil {
		return err
	}
	return h.startVM(ctx, v, "")
}
