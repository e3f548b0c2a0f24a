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

// storage is the host's block devices, and what is mounted from them.
type storage struct {
	mountinfo, swaps, byUUID string
	fstab                    *fstab
	programs                 *programs
}

// mkfs performs a MkfsOp. Its own look is what protects the device: mkfs.ext4 overwrites silently where there is no terminal.
func (s *storage) mkfs(op *wire.MkfsOp) error {
	limit := map[string]int{"xfs": 12, "ext4": 16}[op.Type] // bytes in a label: mkfs.xfs(8), mke2fs(8)
	if limit == 0 {
		return fmt.Errorf("%s is no type of file system that is made: it has to be xfs or ext4", quote(op.Type))
	}
	if len(op.Label) > limit || strings.HasPrefix(op.Label, "-") || strings.ContainsAny(op.Label, " \t\n\"\\") {
		return fmt.Errorf("%s is no label of %s: it has up to %d bytes, no white space, and no minus first", quote(op.Label), op.Type, limit)
	}
	b, err := s.block(context.Background(), op.Device, s.mounts)
	if err != nil {
		return fmt.Errorf("no file system is made: %w", err)
	}
	if why := inUse(b); why != "" {
		return fmt.Errorf("refused: no file system is made on %s: %s", op.Device, why)
	}
	// The kernel knows of uses that none of the above shows, as mounts in other namespaces.
	fd, err := open(unix.AT_FDCWD, b.Path, unix.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return fmt.Errorf("refused: no file system is made on %s: it cannot be had exclusively: %w", op.Device, err)
	}
	closeFD(fd)
	argv := []string{"mkfs." + op.Type, "-q"}
	if op.Label != "" {
		argv = append(argv, "-L", op.Label)
	}
	if err := s.programs.change(append(argv, "--", b.Path)...); err != nil {
		if errors.Is(err, errNotInstalled) {
			return fmt.Errorf("install %s: %w", map[string]string{"xfs": "xfsprogs", "ext4": "e2fsprogs"}[op.Type], err)
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
		// Links by UUID follow a moment later. Without them nothing is wrong, so a failure is none.
		_ = s.programs.change("udevadm", "settle", "--timeout=30")
	}
	tags, err := probe(context.Background(), b.Path)
	if err == nil && tags["TYPE"] != op.Type {
		err = fmt.Errorf("mkfs.%s reported success, and %s has no %s file system", op.Type, b.Path, op.Type)
	}
	return err
}

// inUse says why a device is not free, or "".
func inUse(b *wire.Block) string {
	switch {
	case b.Path == "":
		return "there is no such block device"
	case b.Size == 0:
		return "it has no size"
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
		return "it holds data (" + b.Signature + ", label " + quote(b.Label) + ", UUID " + quote(b.UUID) + ")"
	case b.Data != "":
		return "it holds data without a signature (" + b.Data + ")"
	}
	return ""
}

// mount performs a MountOp. fstab changes first, so that a power cut leaves what the next start mounts.
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
			return fmt.Errorf("%s is mounted on %s already, and not %s", s.realSource(mounted), op.Path, op.Device)
		}
	}
	text := editFstab(string(old), op.Path, line)
	if text != string(old) { // what is not changed may be read-only
		if err := s.fstab.verify(text, op.Path); err != nil {
			return err
		}
	}
	if err := s.fstab.write(string(old), text); err != nil {
		return err
	}
	switch {
	case want && mounted == nil:
		err = s.mountNow(op.Path, line)
	case want && op.FstabOnly:
	case want:
		err = s.remount(op, line)
	case !want && mounted != nil:
		err = s.programs.change("umount", "--", op.Path)
	}
	if err != nil {
		if back := s.fstab.write(text, string(old)); back != nil {
			return fmt.Errorf("%w; and %s could not be put back: %w", err, s.fstab.path, back)
		}
	}
	return err
}

// wantedLine is the line that fstab is to have for a mount point, "" for none, and whether it is to
// be mounted.
func (s *storage) wantedLine(op *wire.MountOp) (line string, mounted bool, err error) {
	switch {
	case op.Remove:
		return "", false, nil
	case op.Line == nil:
		line, err = s.mountLine(op)
		return line, true, err
	}
	if line = *op.Line; strings.ContainsAny(line, "\n\r\x00") || line != "" && fstabLines(line)[0].point() != op.Path {
		return "", false, fmt.Errorf("%s is no line of fstab for %s", quote(line), op.Path)
	}
	return line, op.Mounted, checkOptions(op.Options)
}

// remount brings a mount to its options, also where fstab says the same as before: somebody may
// have remounted it with others.
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

// mountLine makes the line of fstab(5) for what is on a device.
func (s *storage) mountLine(op *wire.MountOp) (string, error) {
	device, err := realPath(op.Device)
	if err != nil {
		return "", err
	}
	if kindOf(device) != unix.S_IFBLK {
		return "", fmt.Errorf("%s is no block device", op.Device)
	}
	tags, err := probe(context.Background(), device)
	if err != nil {
		return "", err
	}
	if tags["UUID"] == "" || tags["TYPE"] != op.Type {
		return "", fmt.Errorf("%s holds no %s file system, but %s", op.Device, op.Type, quote(tags["TYPE"]))
	}
	options := []string{"defaults"}
	if len(op.Options) > 0 {
		options = append([]string(nil), op.Options...)
	}
	if !slices.Contains(options, "nofail") {
		// Without it a missing disk would keep the host from starting.
		options = append(options, "nofail")
	}
	if err := checkOptions(options); err != nil {
		return "", err
	}
	pass := "2"
	if op.Type == "xfs" {
		pass = "0" // fsck.xfs(8) does nothing
	}
	return "UUID=" + tags["UUID"] + " " + escape(op.Path) + " " + op.Type + " " + strings.Join(options, ",") + " 0 " + pass, nil
}

// checkOptions refuses what would be more than one mount option, or end the field of fstab.
func checkOptions(options []string) error {
	for _, o := range options {
		if o == "" || strings.ContainsAny(o, ", \t\r\n\\\"#") {
			return fmt.Errorf("%s is no mount option", quote(o))
		}
	}
	return nil
}

// emptyMountPoint refuses what is no directory, or has files that a mount would hide.
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
		return fmt.Errorf("the mount point %s is not empty: a mount would hide what is in it; move it away first", point)
	}
	if actual, err := realPath(point); err != nil || actual != point {
		return fmt.Errorf("the mount point %s is reached through a link: use %s", point, actual)
	}
	return nil
}

// remountOptions are the options that bring a mount to what a line of fstab says: mount(8) clears a flag only where its opposite
// is given, and mount(2) leaves noatime as it is unless it gets another word on it, which atime is not. Those of the line come
// last, and count.
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

// mountNow mounts what fstab has for a mount point, and looks whether it stays.
func (s *storage) mountNow(point, line string) error {
	if line == "" {
		return fmt.Errorf("fstab has no line for %s", point)
	}
	// Once more, since having systemd read fstab takes its time.
	if err := emptyMountPoint(point); err != nil {
		return err
	}
	if err := s.programs.change("mount", "--", point); err != nil {
		return err
	}
	entries, err := s.mounts()
	if err == nil && mountAt(entries, point) == nil {
		err = fmt.Errorf("mount reported success, and nothing is mounted on %s", point)
	}
	return err
}
