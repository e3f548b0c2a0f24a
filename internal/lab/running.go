package lab

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// keepScript repeats its arguments while they end with status 133, the exit status of
// systemd-nspawn --keep-unit when the container reboots.
const keepScript = `"$@"
while [ $? -eq 133 ]; do "$@"; done`

// Start boots a host that was stopped by Kill or a power-off, with the same file system, disks and
// address. It returns when sshd accepts connections.
func (h *Host) Start(ctx context.Context) error {
	if h.Running() {
		return fmt.Errorf("starting host %s: it is already running", h.Name)
	}
	if h.vm != nil {
		return h.vm.restart(ctx)
	}
	if err := h.forgetNeighbour(ctx); err != nil {
		return err
	}
	keeper, err := makeCgroup(h.lab.Name, h.Name, "keeper")
	if err != nil {
		return err
	}
	// nspawn creates two groups below its own group, which must not have other processes.
	machine, err := makeCgroup(h.lab.Name, h.Name, "machine")
	if err != nil {
		return err
	}
	argv := []string{"systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit",
		"--directory=" + h.root(), "--machine=" + h.machine, "--hostname=" + h.Name,
		"--network-bridge=" + h.lab.Bridge, "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"}
	for _, disk := range h.Disks {
		argv = append(argv, "--bind="+disk.Path)
	}
	console, err := os.OpenFile(h.ConsolePath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = console.Close() }()
	// The hosts of a persistent lab outlive ctx, and an interrupt of the terminal must not reach them,
	// so they have their own session.
	cmd := command(context.WithoutCancel(ctx),
		inCgroup(keeper, append([]string{"/bin/sh", "-c", keepScript, "sh"}, inCgroup(machine, argv...)...)...)...)
	// The lab itself ensures one host per tree. Newer systemd versions do not boot with cgroup v1.
	cmd.Env = append(cmd.Env, "SYSTEMD_NSPAWN_LOCK=0", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.Stdout, cmd.Stderr = console, console
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	keeping, err := findProcess(cmd.Process.Pid)
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // Wait also prevents a zombie
	if err != nil {
		return fmt.Errorf("systemd-nspawn ended immediately: %s", h.consoleTail())
	}
	if err := h.change(ctx, func(hs *hostState) { hs.Keeper = keeping }); err != nil {
		return err
	}
	return h.waitSSH(ctx, ended, 0)
}

// forgetNeighbour removes the host's addresses from the machine's neighbour tables. A removed host
// with another hardware address may have used them.
func (h *Host) forgetNeighbour(ctx context.Context) error {
	var batch strings.Builder // one program for both families, see ip(8), -batch
	for _, address := range []string{h.Address, h.Address6} {
		if address != "" {
			fmt.Fprintf(&batch, "neighbour flush to %s dev %s\n", address, h.lab.Bridge)
		}
	}
	cmd := command(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	_, err := runCmd(cmd)
	return err
}

// ConsolePath returns the path of the console log of the host and systemd-nspawn.
func (h *Host) ConsolePath() string { return filepath.Join(h.lab.dir, h.Name+".console") }

func (h *Host) consoleTail() string {
	data, err := os.ReadFile(h.ConsolePath())
	if err != nil {
		return err.Error()
	}
	return lastLines(string(data), 15)
}

// waitSSH waits until sshd answers and the host's init is not the process old. ended, if not nil,
// is closed when systemd-nspawn has ended.
func (h *Host) waitSSH(ctx context.Context, ended <-chan struct{}, old int) error {
	err := poll(ctx, bootLimit, func() (bool, error) {
		select {
		case <-ended:
			return false, errors.New("systemd-nspawn has ended")
		default:
		}
		pid, err := h.Init()
		if err != nil || pid == old {
			return false, nil
		}
		return sshAnswers(ctx, h.Address), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for sshd of %s at %s: %w; console output:\n%s", h.Name, h.Address, err, h.consoleTail())
	}
	return h.waitIPv6(ctx)
}

// waitIPv6 waits until the host has its IPv6 address, which networkd sets at the same time as the
// other one. A test may have turned IPv6 off, so a host that does not get it in time is up as well.
func (h *Host) waitIPv6(ctx context.Context) error {
	address, err := netip.ParseAddr(h.Address6)
	if err != nil {
		return nil // a lab without IPv6
	}
	bytes := address.As16()
	want := hex.EncodeToString(bytes[:])
	err = poll(ctx, time.Second, func() (bool, error) {
		pid, err := h.Init()
		if err != nil {
			return false, err
		}
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "net/if_inet6"))
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil // turned off for the whole host
		}
		return strings.Contains(string(data), want), err
	})
	if errors.Is(err, errTimeout) {
		return nil
	}
	return err
}

// sshAnswers reports whether a server at address sends the SSH identification string (RFC 4253,
// section 4.2).
func sshAnswers(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: 200 * time.Millisecond}
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort(address, "22"))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	greeting := make([]byte, 4)
	_, err = conn.Read(greeting)
	return err == nil && string(greeting) == "SSH-"
}

// Init returns the process ID of the host's init on the machine. That of a virtual machine has
// none.
func (h *Host) Init() (int, error) {
	if h.vm != nil {
		return 0, fmt.Errorf("host %s is a virtual machine: its processes are not processes of this machine", h.Name)
	}
	pids, err := cgroupPids(h.lab.Name, h.Name)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
				if fields := strings.Fields(ids); len(fields) > 1 && fields[len(fields)-1] == "1" {
					return pid, nil
				}
			}
		}
	}
	return 0, fmt.Errorf("host %s is not running", h.Name)
}

// Running reports whether the host's init is running, or its qemu.
func (h *Host) Running() bool {
	if h.vm != nil {
		pids, err := cgroupPids(h.lab.Name, h.Name)
		return err == nil && len(pids) > 0
	}
	_, err := h.Init()
	return err == nil
}

// Run runs a program as root on the host, with empty standard input and a minimal environment. It
// does not use SSH, but the namespaces of the host's init (nsenter(1)); with a virtual machine it
// uses SSH. It returns standard output. A failure is a *CommandError with the end of standard
// error.
func (h *Host) Run(ctx context.Context, argv ...string) ([]byte, error) {
	return h.RunInput(ctx, nil, argv...)
}

// RunInput is Run with standard input.
func (h *Host) RunInput(ctx context.Context, input []byte, argv ...string) ([]byte, error) {
	if h.vm != nil {
		return h.vm.run(ctx, input, argv...)
	}
	pid, err := h.Init()
	if err != nil {
		return nil, err
	}
	full := append([]string{"nsenter", "--target", strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid",
		"--root", "--wd",
		"--", "/usr/bin/env", "-i", "PATH=" +
			commandPath, "HOME=/root", "LANG=C.UTF-8", "USER=root", "LOGNAME=root"}, argv...)
	cmd := command(ctx, full...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := runCmd(cmd)
	if err != nil {
		var failed *CommandError
		if errors.As(err, &failed) {
			failed.Argv = argv // hide the arguments of nsenter
		}
		return out, fmt.Errorf("on host %s: %w", h.Name, err)
	}
	return out, nil
}

// Read returns the content of a file on the host, as the host's processes see it, including mounts.
// Symbolic links cannot point outside the host.
func (h *Host) Read(name string) ([]byte, error) {
	if h.vm != nil {
		return h.vm.read(name)
	}
	file, err := h.open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(file); err != nil {
		return nil, fmt.Errorf("on host %s: %w", h.Name, err)
	}
	return b.Bytes(), nil
}

// Write writes a file on the host as root, with the given mode, and creates missing directories. An
// existing file keeps its owner and inode.
func (h *Host) Write(name string, data []byte, mode os.FileMode) error {
	if h.vm != nil {
		return h.vm.write(name, data, mode)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	file, err := h.open(name, flags, mode)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := h.Run(context.Background(), "mkdir", "-p", "--", path.Dir(name)); err != nil {
			return err
		}
		file, err = h.open(name, flags, mode)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Chmod(mode), file.Close()); err != nil {
		return fmt.Errorf("on host %s: %w", h.Name, err)
	}
	return nil
}

func (h *Host) open(name string, flags int, mode os.FileMode) (*os.File, error) {
	if !path.IsAbs(name) {
		return nil, fmt.Errorf("on host %s: path %q is not absolute", h.Name, name)
	}
	pid, err := h.Init()
	if err != nil {
		return nil, err
	}
	file, err := openBeneath(filepath.Join("/proc", strconv.Itoa(pid), "root"), name, flags, mode)
	if err != nil {
		return nil, fmt.Errorf("on host %s: %w", h.Name, err)
	}
	return file, nil
}

// Path returns the path on the machine for a path on the host, as the host sees it, including
// mounts. It is valid while the host runs. It must not contain symbolic links of the host, which
// would point to files of the machine.
func (h *Host) Path(name string) (string, error) {
	pid, err := h.Init()
	if err != nil {
		return "", err
	}
	return filepath.Join("/proc", strconv.Itoa(pid), "root", name), nil
}

// Reboot shuts the host down and boots it again, like `systemctl reboot`. It returns when sshd
// accepts connections again.
func (h *Host) Reboot(ctx context.Context) error {
	if h.vm != nil {
		return h.vm.reboot(ctx)
	}
	old, err := h.Init()
	if err != nil {
		return fmt.Errorf("rebooting: %w", err)
	}
	if err := askReboot(old); err != nil {
		return fmt.Errorf("rebooting host %s: %w", h.Name, err)
	}
	return h.waitSSH(ctx, nil, old)
}

// Kill kills every process of the host. Its file system, disks and address remain, for Start. Kill
// is not a power cut, since the machine's page cache survives, except that of a virtual machine.
func (h *Host) Kill(ctx context.Context) error {
	if h.vm != nil {
		h.vm.logout()
	}
	if err := endCgroup(ctx, h.lab.Name, h.Name); err != nil {
		return fmt.Errorf("killing host %s: %w", h.Name, err)
	}
	return h.change(ctx, func(hs *hostState) { hs.Keeper = process{} })
}

// Remove ends the host and removes everything of it, even if ctx is cancelled.
func (h *Host) Remove(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	h.lab.mu.Lock()
	delete(h.lab.hosts, h.Name)
	h.lab.mu.Unlock()
	err := errors.Join(
		endCgroup(ctx, h.lab.Name, h.Name),
		unmountBelow(h.dir),
		detachLoops(ctx, h.dir),
		removePropagation(h.machine),
	)
	if err == nil {
		err = removeTree(h.dir)
	}
	if h.vm != nil {
		err = errors.Join(err, h.vm.remove(ctx))
	}
	_ = os.Remove(h.ConsolePath())
	err = errors.Join(err,
		h.editKnownHosts(ctx, nil),
		h.lab.update(ctx, func(s *state) error { delete(s.Hosts, h.Name); return nil }),
	)
	if err != nil {
		return fmt.Errorf("removing host %s: %w", h.Name, err)
	}
	return nil
}

// removePropagation removes the directory that systemd-nspawn creates for each machine, and does
// not remove when it is killed.
func removePropagation(machine string) error {
	return os.RemoveAll(filepath.Join("/run/systemd/nspawn/propagate", machine))
}
