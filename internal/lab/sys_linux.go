package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// overlayMount mounts an overlay file system with the given options.
func overlayMount(point, options string) error {
	return unix.Mount("mirrorform-lab", point, "overlay", 0, options)
}

// unmount unmounts point. If lazy is true, it detaches point immediately, and the kernel releases
// the file system when it is no longer in use (umount2(2), MNT_DETACH).
func unmount(point string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	return unix.Unmount(point, flags)
}

// killPid sends SIGKILL. A process that has already ended is not an error.
func killPid(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing process %d: %w", pid, err)
	}
	return nil
}

// askReboot asks the systemd with process ID pid to reboot. SIGRTMIN+5 starts reboot.target
// (systemd(1), SIGNALS; SIGRTMIN is 34 in libc).
func askReboot(pid int) error {
	const sigrtmin = 34
	if err := unix.Kill(pid, unix.Signal(sigrtmin+5)); err != nil {
		return fmt.Errorf("asking process %d to reboot: %w", pid, err)
	}
	return nil
}

// detach makes cmd the leader of a new session, so that neither signals of the terminal nor the end
// of this process affect it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true} }

// endWithParent has the kernel kill cmd when the thread that starts it ends.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL} }

// tryFlock tries to take an exclusive flock(2) on file and reports whether it has the lock.
func tryFlock(file *os.File) (bool, error) {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// openBeneath opens path with the directory root as the root directory, so that absolute symbolic
// links and ".." remain inside it (openat2(2), RESOLVE_IN_ROOT).
func openBeneath(root, path string, flags int, mode os.FileMode) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer func() { _ = unix.Close(dir) }()
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode.Perm())
	}
	for {
		fd, err := unix.Openat2(dir, path, &how)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// attachLoop attaches file to a free loop device (loop(4)) and returns the path of the device,
// /dev/loopN.
func attachLoop(file string) (string, error) {
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("attaching a loop device: %w", err)
	}
	defer func() { _ = backing.Close() }()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("attaching a loop device to %s: %w", file, err)
	}
	defer func() { _ = control.Close() }()
	config := unix.LoopConfig{Fd: uint32(backing.Fd())}
	copy(config.Info.File_name[:], file)
	for range 64 { // another process may take the free device first
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", fmt.Errorf("finding a free loop device: %w", err)
		}
		path := fmt.Sprintf("/dev/loop%d", number)
		device, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return "", fmt.Errorf("attaching a loop device to %s: %w", file, err)
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		_ = device.Close()
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return "", fmt.Errorf("attaching %s to %s: %w", path, file, err)
		}
		time.Sleep(time.Millisecond)
	}
	return "", fmt.Errorf("attaching a loop device to %s: other processes took every free device; "+
		"run the command again", file)
}

// loopsBelow returns the loop devices with a backing file below dir.
func loopsBelow(dir string) ([]string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var devices []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the device was just detached
		}
		if strings.HasPrefix(string(data), dir+"/") {
			devices = append(devices, "/dev/"+filepath.Base(filepath.Dir(filepath.Dir(file))))
		}
	}
	return devices, nil
}

// detachLoop detaches a loop device. If it is still in use, the kernel detaches it at the last
// close.
func detachLoop(device string) error {
	file, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("detaching %s: %w", device, err)
	}
	defer func() { _ = file.Close() }()
	_, err = unix.IoctlRetInt(int(file.Fd()), unix.LOOP_CLR_FD)
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detaching %s: %w", device, err)
	}
	return nil
}
