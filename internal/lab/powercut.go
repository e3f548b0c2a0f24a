package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// systemDisk is a block device of a host with a file system for all changes of its tree. It allows
// to simulate a power cut: Snapshot copies the data on the device, and PowerCut boots the host from
// such a copy. Data that was only in the page cache is not in the copy.
type systemDisk struct {
	kind string // "ext4" or "xfs"
	disk Disk
}

// systemSize is the size of the device in bytes; its backing file is sparse.
const systemSize = 1 << 30

// systemMakers create an empty file system on a device. They initialise everything at once, since
// later writes of the kernel would disturb a Snapshot.
var systemMakers = map[string][]string{
	"ext4": {"mkfs.ext4", "-q", "-F", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0"},
	"xfs":  {"mkfs.xfs", "-q", "-f"},
}

// systemOptions are mount(8) options. XFS rejects two file systems with the same UUID, as a copy
// and its original have while the kernel still releases the original.
var systemOptions = map[string]string{"ext4": "noatime", "xfs": "noatime,nouuid"}

func (h *Host) systemDir() string   { return filepath.Join(h.dir, "system") }
func (h *Host) systemImage() string { return filepath.Join(h.dir, "system.img") }

// overlayDirs returns the upper and work directories of the host's overlay.
func (h *Host) overlayDirs() (upper, work string) {
	top := h.dir
	if h.system != nil {
		top = h.systemDir()
	}
	return filepath.Join(top, "upper"), filepath.Join(top, "work")
}

// makeSystem creates and mounts the host's system disk.
func (h *Host) makeSystem(ctx context.Context, kind string) error {
	maker, ok := systemMakers[kind]
	if !ok {
		return fmt.Errorf("creating a host: unsupported file system %q for its system disk; use ext4 or xfs", kind)
	}
	disk, err := makeDisk(h.systemImage(), systemSize)
	if err != nil {
		return err
	}
	h.system = &systemDisk{kind, disk}
	if _, err := run(ctx, append(append([]string(nil), maker...), disk.Path)...); err != nil {
		return err
	}
	return h.mountSystem(ctx)
}

// mountSystem mounts the system disk below the host's directory. It first makes that directory a
// shared mount (mount_namespaces(7)), so that unmounting also applies to the copies of the mount in
// other hosts, which would otherwise keep it busy.
func (h *Host) mountSystem(ctx context.Context) error {
	if err := makeDirs(h.systemDir()); err != nil {
		return err
	}
	if _, err := run(ctx, "mount", "--bind", h.dir, h.dir); err != nil {
		return err
	}
	if _, err := run(ctx, "mount", "--make-shared", h.dir); err != nil {
		return err
	}
	_, err := run(ctx, "mount", "-t", h.system.kind, "-o", systemOptions[h.system.kind], h.system.disk.Path,
		h.systemDir())
	return err
}

// SystemWrites returns write counters of the host's system disk. While they do not change, the data
// on the disk does not change either.
func (h *Host) SystemWrites() (string, error) {
	if h.system == nil {
		return "", fmt.Errorf("host %s has no system disk", h.Name)
	}
	// Writes, written sectors, and requests in flight: Documentation/block/stat.rst of the kernel.
	data, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(h.system.disk.Path), "stat"))
	if err != nil {
		return "", fmt.Errorf("reading the counters of %s: %w", h.system.disk.Path, err)
	}
	fields := strings.Fields(string(data))
	if len(fields) < 15 {
		return "", fmt.Errorf("reading the counters of %s: unexpected %q", h.system.disk.Path, data)
	}
	return strings.Join([]string{fields[4], fields[6], fields[11], fields[8]}, " "), nil
}

// Snapshot makes a consistent copy of the host's system disk in file. If there were writes during
// the copy, it copies again. The host keeps running, but must not write for about 0.1 s.
func (h *Host) Snapshot(ctx context.Context, file string) error {
	err := poll(ctx, time.Minute, func() (bool, error) {
		before, err := h.SystemWrites()
		if err != nil || !strings.HasSuffix(before, " 0") {
			return false, err // writes are in flight
		}
		if err := copyImage(ctx, h.systemImage(), file); err != nil {
			return false, err
		}
		after, err := h.SystemWrites()
		return before == after, err
	})
	if err != nil {
		return fmt.Errorf("copying the disk of host %s: %w", h.Name, err)
	}
	return nil
}

// PowerCut kills the host and boots it from file, a Snapshot of its system disk. It returns when
// sshd accepts connections.
func (h *Host) PowerCut(ctx context.Context, file string) error {
	if h.system == nil {
		return fmt.Errorf("cutting the power of host %s: it has no system disk", h.Name)
	}
	if err := h.Kill(ctx); err != nil {
		return err
	}
	// This also unmounts the host's disks.
	err := unmountBelow(h.dir)
	if err == nil {
		err = h.detachSystem(ctx)
	}
	if err == nil {
		err = copyImage(ctx, file, h.systemImage())
	}
	if err == nil {
		h.system.disk.Path, err = attachLoop(h.systemImage())
	}
	if err == nil {
		err = h.mountSystem(ctx)
	}
	upper, work := h.overlayDirs()
	if err == nil {
		err = mountOverlay(h.root(), upper, work, false, h.lower...)
	}
	if err != nil {
		return fmt.Errorf("cutting the power of host %s: %w", h.Name, err)
	}
	return h.Start(ctx)
}

// detachSystem detaches the system disk and waits until the kernel has released it.
func (h *Host) detachSystem(ctx context.Context) error {
	return poll(ctx, 20*time.Second, func() (bool, error) {
		devices, err := loopsBelow(h.dir)
		if err != nil {
			return false, err
		}
		for _, device := range devices {
			if device == h.system.disk.Path {
				return false, detachLoop(device)
			}
		}
		return true, nil
	})
}

// copyImage copies a sparse file with its holes, or shares its blocks if the file system supports
// it.
func copyImage(ctx context.Context, from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err := run(ctx, "cp", "--sparse=auto", "--reflink=auto", "--", from, to)
	return err
}
