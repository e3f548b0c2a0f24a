package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// virtual is a host's virtual machine. Below the host's directory are a disk over the image's, its
// other disks, and a tree with the files of its identity, which are written into it when it is
// loaded from the image's snapshot.
type virtual struct {
	*Host
	index int    // the last byte of its address
	image string // directory of its image
	shell shell
}

func (v *virtual) disk() string { return filepath.Join(v.dir, "disk.qcow2") }

// sockets is the path of qemu's sockets, without their ends.
func (v *virtual) sockets() string { return filepath.Join(v.lab.dir, v.Name) }

// tap is the name of the virtual machine's interface on the machine.
func (v *virtual) tap() string { return fmt.Sprintf("%sv%d", v.lab.Bridge, v.index) }

// checkVMSpec returns an error for what a virtual machine cannot have.
func checkVMSpec(spec HostSpec) error {
	if spec.OS != "" || spec.System != "" {
		return fmt.Errorf("host %s: a virtual machine has the machine's own release and its own disk", spec.Name)
	}
	return checkVM()
}

// create prepares the virtual machine and starts it from the snapshot.
func (v *virtual) create(ctx context.Context, spec HostSpec) error {
	l := v.lab
	if err := install(ctx, vmRequirements, l.log); err != nil {
		return err
	}
	r, err := newVMRecipe(ctx, l.base)
	if err != nil {
		return err
	}
	image, err := l.cache.vmImage(ctx, l.base, l.recipe, r)
	if err != nil {
		return err
	}
	if err := makeDirs(v.root()); err != nil {
		return err
	}
	if _, err := run(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Join(image, vmDisk),
		v.disk()); err != nil {
		return err
	}
	for i, size := range spec.Disks {
		file := filepath.Join(v.dir, fmt.Sprintf("disk%d", i))
		if err := makeSparse(file, size); err != nil {
			return err
		}
		v.Disks = append(v.Disks, Disk{Path: "/dev/vd" + string(rune('b'+i)), Backing: file, Size: size})
	}
	if err := v.change(ctx, func(hs *hostState) { hs.Disks, hs.Image = v.Disks, image }); err != nil {
		return err
	}
	v.image = image
	script, err := v.identity(ctx)
	if err != nil {
		return err
	}
	return v.start(ctx, r, script)
}

// identity writes the files that differ between hosts, and returns the script that makes them those
// of the virtual machine.
func (v *virtual) identity(ctx context.Context) (string, error) {
	if err := v.copyAccounts(); err != nil {
		return "", err
	}
	publics, err := v.writeHostKeys()
	if err == nil {
		err = v.writeIdentity()
	}
	if err == nil {
		err = v.authorize()
	}
	if err == nil {
		err = v.editKnownHosts(ctx, publics)
	}
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = filepath.WalkDir(v.root(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		// The files exist, with their modes, owners and labels.
		fmt.Fprintf(&b, "printf %%s %s >%s\n", quoteWord(string(data)), quoteWord(strings.TrimPrefix(path, v.root())))
		return err
	})
	// The journal is in the directory of the machine ID with which journald started.
	b.WriteString("systemctl restart systemd-journald.service &\n")
	// networkd reads its file at the next boot: the policy keeps it from answering networkctl.
	fmt.Fprintf(&b, "hostname %s\nip -batch - <<'EOF'\nlink set dev host0 address %s\naddress add %s/24 dev host0\n",
		v.Name, v.mac(), v.Address)
	if v.Address6 != "" {
		fmt.Fprintf(&b, "address add fe80::6d:66ff:fe6c:61%02x/64 dev host0 nodad\n", v.index) // from mac (RFC 4291)
		fmt.Fprintf(&b, "address add %s/64 dev host0 nodad\n", v.Address6)
	}
	b.WriteString("EOF\nwait $!\n")
	return b.String(), err
}

// copyAccounts copies the accounts of the tree, with empty home directories.
func (v *virtual) copyAccounts() error {
	passwd, err := os.ReadFile(filepath.Join(v.lab.base, "root/etc/passwd"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(passwd)) {
		if fields := strings.Split(line, ":"); len(fields) == 7 {
			if err := makeDirs(filepath.Join(v.root(), fields[5])); err != nil {
				return err
			}
		}
	}
	return writeTreeFiles(v.root(), []treeFile{{"/etc/passwd", 0o644, string(passwd)}})
}

// mac is the hardware address of the virtual machine, which is unique in its lab.
func (v *virtual) mac() string { return fmt.Sprintf("02:6d:66:6c:61:%02x", v.index) }

// start starts the virtual machine. With the script of an identity it starts from the image's
// snapshot, otherwise it boots from its disk.
func (v *virtual) start(ctx context.Context, r *vmRecipe, script string) error {
	if err := v.forgetNeighbour(ctx); err != nil {
		return err
	}
	if err := v.addTap(ctx); err != nil {
		return err
	}
	e := &emulator{recipe: r, image: v.image, name: v.machine, sockets: v.sockets(),
		console: v.ConsolePath(), disk: v.disk(), format: "qcow2", tap: v.tap(), mac: v.mac()}
	if script != "" {
		e.memory, e.state = copiedMemory, true
	} else {
		for _, disk := range v.Disks {
			e.disks = append(e.disks, disk.Backing)
		}
	}
	ended, err := v.emulate(ctx, e)
	if err != nil {
		return err
	}
	if script != "" {
		if err := v.load(ctx, e, script, ended); err != nil {
			return fmt.Errorf("%w; console output:\n%s", err, v.consoleTail())
		}
	}
	return v.wait(ctx, ended, "")
}

// addTap adds the interface of the virtual machine to the lab's bridge. A killed qemu leaves it.
func (v *virtual) addTap(ctx context.Context) error {
	if _, err := os.Stat("/sys/class/net/" + v.tap()); err == nil {
		return nil
	}
	if _, err := run(ctx, "ip", "tuntap", "add", "dev", v.tap(), "mode", "tap"); err != nil {
		return fmt.Errorf("creating the interface of host %s: %w", v.Name, err)
	}
	if _, err := run(ctx, "ip", "link", "set", "dev", v.tap(), "master", v.lab.Bridge, "up"); err != nil {
		return fmt.Errorf("creating the interface of host %s: %w", v.Name, err)
	}
	return nil
}

// remove removes what is left of the virtual machine outside the host's directory.
func (v *virtual) remove(ctx context.Context) error {
	v.logout()
	for _, end := range []string{".qmp", ".identity"} {
		_ = os.Remove(v.sockets() + end)
	}
	if _, err := os.Stat("/sys/class/net/" + v.tap()); err != nil {
		return nil
	}
	_, err := run(ctx, "ip", "link", "delete", "dev", v.tap())
	return err
}

// emulate starts qemu in the host's control group.
func (v *virtual) emulate(ctx context.Context, e *emulator) (<-chan struct{}, error) {
	group, err := makeCgroup(v.lab.Name, v.Name, "keeper")
	if err != nil {
		return nil, err
	}
	console, err := os.OpenFile(v.ConsolePath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
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
		return nil, fmt.Errorf("qemu ended immediately: %s", v.consoleTail())
	}
	return ended, v.change(ctx, func(hs *hostState) { hs.Keeper = keeping })
}

// load waits until the snapshot is loaded, adds the host's disks and gives the host its identity.
func (v *virtual) load(ctx context.Context, e *emulator, script string, ended <-chan struct{}) error {
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
	for i, disk := range v.Disks {
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

// wait waits until root can log in, to another boot than that with the ID old. ended, if not nil,
// is closed when qemu has ended.
func (v *virtual) wait(ctx context.Context, ended <-chan struct{}, old string) error {
	v.logout()
	var last error
	err := poll(ctx, vmBootLimit, func() (bool, error) {
		select {
		case <-ended:
			return false, errors.New("qemu has ended")
		default:
		}
		last = v.enter(ctx, old)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for sshd of %s at %s: %w; console output:\n%s", v.Name, v.Address,
			errors.Join(err, last), v.consoleTail())
	}
	return nil
}

// reboot has the host's systemd reboot it. qemu goes on and resets the virtual machine.
func (v *virtual) reboot(ctx context.Context) error {
	old, err := v.run(ctx, nil, bootIDCommand...)
	if err != nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	if _, err := v.Run(ctx, "systemctl", "reboot", "--no-block"); err != nil {
		return err
	}
	return v.wait(ctx, nil, string(old))
}

// restart boots the host from its disk after it has ended.
func (v *virtual) restart(ctx context.Context) error {
	r, err := newVMRecipe(ctx, v.lab.base)
	if err != nil {
		return err
	}
	return v.start(ctx, r, "")
}
