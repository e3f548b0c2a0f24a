package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// storage is the host's block devices and their mounts.
type storage struct {
	mountinfo, swaps, byUUID string
	fstab                    *fstab
	programs                 *programs
}

// toolsOf returns the package of a file system's mkfs, and how many bytes a label may have:
// mkfs.xfs(8), mke2fs(8), mkfs.btrfs(8).
func toolsOf(filesystem string) (pkg string, label int) {
	switch filesystem {
	case "xfs":
		return "xfsprogs", 12
	case "ext4":
		return "e2fsprogs", 16
	case "btrfs":
		return "btrfs-progs", 255
	}
	return "", 0
}

// mkfs performs a MkfsOp. The check here is what protects the data on the device: without a
// terminal, mkfs.ext4 overwrites it without asking.
func (s *storage) mkfs(op *wire.MkfsOp) error {
	tools, limit := toolsOf(op.Type)
	if limit == 0 {
		return fmt.Errorf("unsupported file system type %s: use xfs, ext4 or btrfs", quote(op.Type))
	}
	if len(op.Label) > limit || strings.HasPrefix(op.Label, "-") || strings.ContainsAny(op.Label, " \t\n\"\\") {
		return fmt.Errorf("invalid label %s of %s: it may have up to %d bytes, no white space, quotes or backslashes, "+
			"and no minus at the beginning", quote(op.Label), op.Type, limit)
	}
	b, err := s.block(context.Background(), op.Device, s.mounts)
	if err != nil {
		return fmt.Errorf("no file system was created: %w", err)
	}
	if why := inUse(b); why != "" {
		return fmt.Errorf("refused: cannot create a file system on %s: %s", op.Device, why)
	}
	// The kernel also knows of other uses, such as mounts in other namespaces: O_EXCL fails then
	// (open(2)).
	fd, err := open(unix.AT_FDCWD, b.Path, unix.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return fmt.Errorf("refused: cannot create a file system on %s: no exclusive access: %w", op.Device, err)
	}
	closeFD(fd)
	argv := []string{"mkfs." + op.Type, "-q"}
	if op.Label != "" {
		argv = append(argv, "-L", op.Label)
	}
	if err := s.programs.change(append(argv, "--", b.Path)...); err != nil {
		if errors.Is(err, errNotInstalled) {
			return fmt.Errorf("install %s: %w", tools, err)
		}
		return err
	}
	if fd, err = open(unix.AT_FDCWD, b.Path, unix.O_RDONLY, 0); err != nil {
		return fmt.Errorf("open %s: %w", b.Path, err)
	}
	err = fsync(fd)
	closeFD(fd)
	if err != nil {
		return fmt.Errorf("sync %s: %w", b.Path, err)
	}
	if exists("/run/udev/control") {
		// udev creates the links by UUID a moment later. The file system works without them, so a failure
		// does not matter.
		_ = s.programs.change("udevadm", "settle", "--timeout=30")
	}
	tags, err := probe(context.Background(), b.Path)
	if err == nil && tags["TYPE"] != op.Type {
		err = fmt.Errorf("mkfs.%s reported success, but %s has no %s file system", op.Type, b.Path, op.Type)
	}
	return err
}

// inUse returns why a device is not free, or "".
func inUse(b *wire.Block) string {
	switch {
	case b.Path == "":
		return "block device not found"
	case b.Size == 0:
		return "its size is 0"
	case b.ReadOnly:
		return "it is read-only"
	case len(b.Mounts) > 0:
		return "it is mounted on " + strings.Join(b.Mounts, " and ")
	case b.Swap:
		return "it is used as swap"
	case len(b.Holders) > 0:
		return "it is held by " + strings.Join(b.Holders, " and ")
	case len(b.Partitions) > 0:
		return "it has the partitions " + strings.Join(b.Partitions, " and ")
	case b.Signature != "":
		return "it contains data (" + b.Signature + ", label " + quote(b.Label) + ", UUID " + quote(b.UUID) + ")"
	case b.Data != "":
		return "it contains data without a signature (" + b.Data + ")"
	}
	return ""
}

// mount performs a MountOp. It changes fstab first: after a power cut, the host starts with the
// wanted mounts.
func (s *storage) mount(op *wire.MountOp) error {
	if err := checkPath(op.Path); err != nil {
		return err
	}
	entries, err := s.mounts()
	if err != nil {
		return err
	}
	mounted := mountAt(entries, op.Path)
	old, err := readFile(s.fstab.path)
	if err != nil && !absent(err) {
		return err
	}
	line, want, err := s.wantedLine(op)
	if err != nil {
		return err
	}
	if want && mounted == nil {
		if err := emptyMountPoint(op.Path); err != nil {
			return err
		}
	}
	if want && mounted != nil && op.Device != "" {
		if actual, err := realPath(op.Device); err != nil || actual != s.realSource(mounted) {
			return fmt.Errorf("%s is already mounted on %s, not %s", s.realSource(mounted), op.Path, op.Device)
		}
	}
	text := editFstab(string(old), op.Path, line)
	if text != string(old) { // an unchanged fstab may be on a read-only file system
		if err := s.fstab.verify(text, op.Path); err != nil {
			return err
		}
	}
	if err := s.fstab.write(string(old), text); err != nil {
		return err
	}
	switch {
	case want && mounted == nil:
		if op.Subvolume != "" {
			err = s.subvolume(op)
		}
		if err == nil {
			err = s.mountNow(op.Path, line)
		}
	case want && op.FstabOnly:
	case want:
		err = s.remount(op, line)
	case !want && mounted != nil:
		err = s.programs.change("umount", "--", op.Path)
	}
	if err != nil {
		if back := s.fstab.write(text, string(old)); back != nil {
			return fmt.Errorf("%w; %s could not be restored: %w", err, s.fstab.path, back)
		}
	}
	return err
}

// subvolume creates the subvolume that a MountOp mounts, if it is missing.
func (s *storage) subvolume(op *wire.MountOp) error {
	device, err := realPath(op.Device)
	if err != nil {
		return err
	}
	return makeSubvolume(device, op.Subvolume)
}

// wantedLine returns the line of fstab that a mount point is to have ("" for none), and whether it
// is to be mounted.
func (s *storage) wantedLine(op *wire.MountOp) (line string, mounted bool, err error) {
	switch {
	case op.Remove:
		return "", false, nil
	case op.Line == nil:
		line, err = s.mountLine(op)
		return line, true, err
	}
	if line = *op.Line; strings.ContainsAny(line, "\n\r\x00") || line != "" && fstabLines(line)[0].point() != op.Path {
		return "", false, fmt.Errorf("invalid fstab line %s for %s", quote(line), op.Path)
	}
	return line, op.Mounted, checkOptions(op.Options)
}

// remount applies the options of a mount, even if its line in fstab did not change: another user
// may have remounted it with other options.
func (s *storage) remount(op *wire.MountOp, line string) error {
	options := "remount," + strings.Join(op.Options, ",")
	switch {
	case op.Line == nil || len(op.Options) == 0 && line != "":
		options = remountOptions(line)
	case len(op.Options) == 0:
		return nil
	}
	return s.programs.change("mount", "-o", options, "--", op.Path)
}

// mountLine returns the line of fstab(5) for the file system on a device.
func (s *storage) mountLine(op *wire.MountOp) (string, error) {
	device, err := realPath(op.Device)
	if err != nil {
		return "", err
	}
	if kindOf(device) != unix.S_IFBLK {
		return "", fmt.Errorf("%s is not a block device", op.Device)
	}
	tags, err := probe(context.Background(), device)
	if err != nil {
		return "", err
	}
	if tags["UUID"] == "" || tags["TYPE"] != op.Type {
		return "", fmt.Errorf("%s has no %s file system; blkid reports %s", op.Device, op.Type, quote(tags["TYPE"]))
	}
	options := []string{"defaults"}
	if len(op.Options) > 0 {
		options = append([]string(nil), op.Options...)
	}
	if !slices.Contains(options, "nofail") {
		// Without nofail, the host would not start while the disk is missing.
		options = append(options, "nofail")
	}
	if err := checkOptions(options); err != nil {
		return "", err
	}
	pass := "2"
	if op.Type != "ext4" {
		pass = "0" // fsck.xfs(8) and fsck.btrfs(8) do nothing
	}
	return "UUID=" + tags["UUID"] + " " + escape(op.Path) + " " + op.Type + " " + strings.Join(options, ",") + " 0 " + pass, nil
}

// checkOptions refuses anything that is not exactly one mount option, or that would end the field
// in fstab.
func checkOptions(options []string) error {
	for _, o := range options {
		if o == "" || strings.ContainsAny(o, ", \t\r\n\\\"#") {
			return fmt.Errorf("invalid mount option %s", quote(o))
		}
	}
	return nil
}

// emptyMountPoint refuses a mount point that is not a directory, or whose files the mount would
// hide.
func emptyMountPoint(point string) error {
	p, err := at(point)
	if err != nil {
		return err
	}
	defer p.close()
	switch {
	case p.was.Kind != wire.Directory:
		return fmt.Errorf("the mount point %s is not an existing directory", point)
	case !p.was.Empty:
		return fmt.Errorf("the mount point %s is not empty, and a mount would hide its contents: "+
			"move them to another directory first", point)
	}
	if actual, err := realPath(point); err != nil || actual != point {
		return fmt.Errorf("the mount point %s leads through a link: use %s", point, actual)
	}
	return nil
}

// remountOptions returns the options that make a mount match a line of fstab. mount(8) clears a
// flag only if its opposite is given, and mount(2) keeps noatime unless another option about access
// times is given, and atime does not count as one. The options of the line come last, so they win.
func remountOptions(line string) string {
	options := "defaults"
	if f := fstabLines(line)[0].fields; len(f) > 3 {
		options += "," + f[3]
	}
	for _, o := range strings.Split(options, ",") {
		if slices.Contains([]string{"noatime", "relatime", "norelatime", "strictatime"}, o) {
			return "remount,diratime," + options
		}
	}
	return "remount,diratime,relatime," + options
}

// mountNow mounts a mount point from its line in fstab, and checks that it stays mounted.
func (s *storage) mountNow(point, line string) error {
	if line == "" {
		return fmt.Errorf("fstab has no line for %s", point)
	}
	// Again, since systemd takes some time to read fstab.
	if err := emptyMountPoint(point); err != nil {
		return err
	}
	if err := s.programs.change("mount", "--", point); err != nil {
		return err
	}
	entries, err := s.mounts()
	if err == nil && mountAt(entries, point) == nil {
		err = fmt.Errorf("mount reported success, but nothing is mounted on %s", point)
	}
	return err
}
