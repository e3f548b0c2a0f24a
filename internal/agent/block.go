package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// block answers AskBlock.
func (s *storage) block(ctx context.Context, device string, mounts func() ([]mountEntry, error)) (*wire.Block, error) {
	if err := checkPath(device); err != nil {
		return nil, err
	}
	actual, err := realPath(device)
	if absent(err) {
		return &wire.Block{}, nil
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(actual, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", actual, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return &wire.Block{}, nil
	}
	// Opened to check the permission: blkid reports "nothing found" for a device that it may not read.
	fd, err := open(unix.AT_FDCWD, actual, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", actual, err)
	}
	defer closeFD(fd)

	b := &wire.Block{Path: actual}
	if err := kernelInfo(b, st.Rdev); err != nil {
		return nil, err
	}
	entries, err := mounts()
	if err != nil {
		return nil, err
	}
	if err := s.usedBy(b, st.Rdev, entries); err != nil {
		return nil, err
	}
	tags, err := probe(ctx, actual)
	if err != nil {
		return nil, err
	}
	b.Signature, b.UUID, b.Label = tags["TYPE"], tags["UUID"], tags["LABEL"]
	if b.Signature == "" {
		b.Signature = tags["PTTYPE"]
	}
	if b.Signature != "" {
		b.Used, b.Capacity = usage(fd, b.Signature)
		return b, nil
	}
	if inUse(b) == "" {
		if b.Data, err = dataOn(fd, b.Size, time.Now); err != nil {
			return nil, fmt.Errorf("%s: %w", actual, err)
		}
	}
	return b, nil
}

// kernelInfo adds what the kernel knows of a device.
func kernelInfo(b *wire.Block, rdev uint64) error {
	sys := "/sys/dev/block/" + devNumber(rdev)
	sectors, err := strconv.ParseUint(firstLine(sys+"/size"), 10, 64) // of 512 bytes, whatever the device's sector size
	if err != nil {
		return fmt.Errorf("size of %s: %w", b.Path, err)
	}
	b.Size = sectors * 512
	b.ReadOnly = firstLine(sys+"/ro") == "1"
	holders, err := listDir(sys + "/holders")
	if err != nil && !absent(err) { // some drivers have no such directory for partitions
		return err
	}
	for _, name := range holders {
		if mapped := firstLine(sys + "/holders/" + name + "/dm/name"); mapped != "" {
			name = "mapper/" + printable(mapped) // which has the names of LVM's volumes
		}
		b.Holders = append(b.Holders, "/dev/"+name)
	}
	parts, err := listDir(sys)
	if err != nil {
		return err
	}
	for _, name := range parts {
		if exists(sys + "/" + name + "/partition") {
			b.Partitions = append(b.Partitions, "/dev/"+name)
		}
	}
	return nil
}

// usedBy adds where a device is mounted, and whether it is used as swap.
func (s *storage) usedBy(b *wire.Block, rdev uint64, entries []mountEntry) error {
	for _, e := range entries {
		if slices.Contains(b.Mounts, e.point) {
			continue
		}
		if e.dev == devNumber(rdev) || e.source == b.Path || sameDevice(e.source, rdev) {
			b.Mounts = append(b.Mounts, e.point)
		}
	}
	slices.Sort(b.Mounts)
	swaps, err := readFile(s.swaps)
	if err != nil && !absent(err) {
		return err
	}
	for line := range strings.Lines(string(swaps)) {
		name, _, _ := strings.Cut(line, " ")
		name = unescape(strings.TrimSpace(name))
		b.Swap = b.Swap || name == b.Path || sameDevice(name, rdev)
	}
	return nil
}

func devNumber(rdev uint64) string {
	return fmt.Sprintf("%d:%d", unix.Major(rdev), unix.Minor(rdev))
}

// sameDevice reports whether a path names the block device with a number.
func sameDevice(p string, rdev uint64) bool {
	var st unix.Stat_t
	return strings.HasPrefix(p, "/dev/") && unix.Stat(p, &st) == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFBLK && st.Rdev == rdev
}

// probe reads the signatures on a device with blkid(8), and bypasses its cache.
func probe(ctx context.Context, device string) (map[string]string, error) {
	o, err := ask(ctx, "blkid", "-p", "-o", "export", device)
	switch {
	case errors.Is(err, errNotInstalled):
		return nil, errors.New("blkid is not installed: install the package util-linux")
	case err != nil:
		return nil, err
	case o.exit == 0:
		return parseBlkid(o.stdout.String()), nil
	case o.exit == 2 && strings.TrimSpace(o.stderr.String()) == "":
		return map[string]string{}, nil
	case o.exit == 8:
		return map[string]string{"TYPE": "ambivalent"}, nil
	}
	return nil, fmt.Errorf("blkid %s: exit status %d: %s", device, o.exit, lastLine(o.output()))
}

// parseBlkid parses the output of blkid -o export: lines NAME=value, with a backslash before each
// character that a shell would interpret.
func parseBlkid(text string) map[string]string {
	tags := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			continue
		}
		var b strings.Builder
		for i := 0; i < len(value); i++ {
			if value[i] == '\\' && i+1 < len(value) {
				i++
			}
			b.WriteByte(value[i])
		}
		tags[name] = printable(b.String())
	}
	return tags
}

// uuidOf returns the UUID of the file system on a device: from udev's links, or else from blkid.
func (s *storage) uuidOf(ctx context.Context, device string) (string, error) {
	links, _ := listDir(s.byUUID) // does not exist without udev
	for _, name := range links {
		if target, err := realPath(s.byUUID + "/" + name); err == nil && target == device {
			return name, nil
		}
	}
	tags, err := probe(ctx, device)
	return tags["UUID"], err
}
