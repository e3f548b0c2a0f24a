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

// systemDisk is a block device of a host's own with a file system that holds all
// that the host changes of its tree, so that the host can lose its power:
// Snapshot copies what has reached the device, and PowerCut goes on from such
// a copy. What the page cache held and nobody synced is not in it.
type systemDisk struct {
	kind string // "ext4" or "xfs"
	disk Disk
}

// systemSize is the size of the device in bytes; its backing file is sparse.
const systemSize = 1 << 30

// systemMakers make an empty file system on a device, without anything left
// to be initialised later: the kernel's own writes would disturb a Snapshot.
var systemMakers = map[string][]string{
	"ext4": {"mkfs.ext4", "-q", "-F", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0"},
	"xfs":  {"mkfs.xfs", "-q", "-f"},
}

// systemOptions are mount(8) options: XFS refuses a second file system with
// one UUID, which a copy has while the first is still being let go of.
var systemOptions = map[string]string{"ext4": "noatime", "xfs": "noatime,nouuid"}

func (h *Host) systemDir() string   { return filepath.Join(h.dir, "system") }
func (h *Host) systemImage() string { return filepath.Join(h.dir, "system.img") }

// overlayDirs returns the upper and the work directory of the host's overlay.
func (h *Host) overlayDirs() (upper, work string) {
	top := h.dir
	if h.system != nil {
		top = h.systemDir()
	}
	return filepath.Join(top, "upper"), filepath.Join(top, "work")
}

// makeSystem makes the host's system disk and mounts it.
func (h *Host) makeSystem(ctx context.Context, kind string) error {
	maker, ok := systemMakers[kind]
	if !ok {
		return fmt.Errorf("making a host: its system cannot be on %q, only on ext4 or xfs", kind)
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

// mountSystem mounts the system disk below the host's directory, which becomes
// a shared mount first (mount_namespaces(7)): hosts that start meanwhile take
// copies of all mounts with them, and would keep this one from ending.
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
	_, err := run(ctx, "mount", "-t", h.system.kind, "-o", systemOptions[h.system.kind], h.system.disk.Path, h.systemDir())
	return err
}

// SystemWrites returns how many writes have reached the host's system disk.
// While the number stays, so does what is on the disk.
func (h *Host) SystemWrites() (string, error) {
	if h.system == nil {
		return "", fmt.Errorf("host %s has no system disk", h.Name)
	}
	// Documentation/block/stat.rst: writes, sectors written, and requests in flight.
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

// Snapshot copies the host's system disk to file, as it is at one moment: when
// something is written to the disk meanwhile, it copies again. The host runs
// on; what it does must be quiet for about a tenth of a second.
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

// PowerCut ends the host at once, and boots it again from file, a Snapshot of
// its system disk. It returns when sshd accepts connections.
func (h *Host) PowerCut(ctx context.Context, file string) error {
	if h.system == nil {
		return fmt.Errorf("cutting the power of host %s: it has no system disk", h.Name)
	}
	if err := h.Kill(ctx); err != nil {
		return err
	}
	// The disks of the host as well: nothing below its directory stays mounted.
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
		err = mountOverlay(h.root(), upper, work, h.lower...)
	}
	if err != nil {
		return fmt.Errorf("cutting the power of host %s: %w", h.Name, err)
	}
	return h.Start(ctx)
}

// detachSystem detaches the system disk and waits until the kernel has let go
// of it.
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

// copyImage copies a sparse file, with its holes, or shares its blocks where
// the file system can.
func copyImage(ctx context.Context, from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err := run(ctx, "cp", "--sparse=auto", "--reflink=auto", "--", from, to)
	return err
}
