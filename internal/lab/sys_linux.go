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

// unmount unmounts point; when lazy, it is cut off now and released when the
// last user leaves (umount2(2), MNT_DETACH).
func unmount(point string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	return unix.Unmount(point, flags)
}

// killPid sends SIGKILL. A process that is gone already is no error.
func killPid(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing process %d: %w", pid, err)
	}
	return nil
}

// askReboot asks the systemd whose process id is pid to reboot: SIGRTMIN+5
// starts reboot.target (systemd(1), SIGNALS; SIGRTMIN is 34 in libc).
func askReboot(pid int) error {
	const sigrtmin = 34
	if err := unix.Kill(pid, unix.Signal(sigrtmin+5)); err != nil {
		return fmt.Errorf("asking process %d to reboot: %w", pid, err)
	}
	return nil
}

// detach makes cmd the leader of a session of its own, so that neither a
// terminal's signals nor this process's end reach it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true} }

// tryFlock takes an exclusive flock(2) on file and reports whether it could.
func tryFlock(file *os.File) (bool, error) {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// openBeneath opens path as seen from the directory root: absolute symbolic
// links and ".." stay inside it (openat2(2), RESOLVE_IN_ROOT).
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

// attachLoop sets up a free loop device over file (loop(4)) and returns its
// path, /dev/loopN.
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
	for range 64 { // others may take the free device first
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
	return "", fmt.Errorf("attaching a loop device to %s: every free one was taken by others", file)
}

// loopsBelow returns the loop devices whose backing file lies in dir.
func loopsBelow(dir string) ([]string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var devices []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // detached meanwhile
		}
		if strings.HasPrefix(string(data), dir+"/") {
			devices = append(devices, "/dev/"+filepath.Base(filepath.Dir(filepath.Dir(file))))
		}
	}
	return devices, nil
}

// detachLoop detaches a loop device. When it is still in use, the kernel
// detaches it at its last close.
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
