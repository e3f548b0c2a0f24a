package agent

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// mountEntry is a line of proc_pid_mountinfo(5).
type mountEntry struct {
	id          int
	dev         string // MAJOR:MINOR
	root, point string
	options     []string
	kind        string
	source      string
}

// parseMountinfo parses proc_pid_mountinfo(5), and skips lines that do not follow it.
func parseMountinfo(text string) (entries []mountEntry) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		f, g := strings.Split(before, " "), strings.Split(after, " ")
		if !ok || len(f) < 6 || len(g) < 3 {
			continue
		}
		id, err := strconv.Atoi(f[0])
		if err != nil {
			continue
		}
		e := mountEntry{id: id, dev: f[2], root: unescape(f[3]), point: unescape(f[4]), kind: g[0], source: unescape(g[1])}
		// The options of the mount come first, then those that only the file system has.
		seen := map[string]bool{}
		for _, o := range strings.Split(f[5]+","+g[2], ",") {
			// A read-only mount may show a file system that is writable: the option of the mount counts.
			if o == "" || seen[o] || o == "rw" && seen["ro"] {
				continue
			}
			seen[o] = true
			e.options = append(e.options, unescape(o))
		}
		entries = append(entries, e)
	}
	return entries
}

// unescape decodes the octal escapes of fstab(5) and mountinfo: \040 is a space.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// escape encodes a field of fstab(5): white space would end it, and # would begin a comment.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(" \t\n\r\\#", s[i]) >= 0 {
			b.Write([]byte{'\\', '0' + s[i]>>6, '0' + s[i]>>3&7, '0' + s[i]&7})
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func (s *storage) mounts() ([]mountEntry, error) {
	data, err := readFile(s.mountinfo)
	return parseMountinfo(string(data)), err
}

// mounted describes a mount by its number in mountinfo: what is mounted, and where.
func (s *storage) mounted(id int) string {
	entries, _ := s.mounts() // without it, only the message lacks this
	for i := range entries {
		if e := &entries[i]; e.id == id {
			what := e.source
			if e.root != "/" {
				what = e.root + " of " + what
			}
			return printable(" (" + what + ", mounted on " + e.point + ")")
		}
	}
	return ""
}

// mountAt returns the topmost mount on a mount point, or nil.
func mountAt(entries []mountEntry, point string) *mountEntry {
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].point == point {
			return &entries[i]
		}
	}
	return nil
}

// mountedOn reports whether a file system is mounted on an entry of a directory, after all links
// are resolved.
func (b *batch) mountedOn(dir *way, name string) (bool, error) {
	entries, err := b.mounts()
	if err != nil {
		return false, err
	}
	parent, err := dir.real()
	return mountAt(entries, path.Join(parent, name)) != nil, err
}

// askFilesystem answers AskFilesystem.
func (b *batch) askFilesystem(p string) wire.Answer {
	if p == "" || p[0] != '/' || strings.IndexByte(p, 0) >= 0 {
		return failed(notAbsolute(p))
	}
	dir, err := walk(p, nil)
	for absent(err) && p != "/" {
		p = path.Dir(p)
		dir, err = walk(p, nil)
	}
	if err != nil {
		return failed(err)
	}
	defer dir.close()
	fd := dir.fd
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return failed(fmt.Errorf("statfs %s: %w", p, err))
	}
	entries, err := b.mounts()
	if err != nil {
		return failed(err)
	}
	unit := uint64(st.Frsize)
	if unit == 0 {
		unit = uint64(st.Bsize)
	}
	w := &wire.Filesystem{Size: st.Blocks * unit, Available: st.Bavail * unit, Free: st.Bfree * unit, ReadOnly: st.Flags&unix.ST_RDONLY != 0}
	id := mountID(fd)
	for i := range entries {
		if e := &entries[i]; e.id == id {
			w.MountPoint, w.Source, w.Type = e.point, e.source, e.kind
		}
	}
	if w.Type == "btrfs" {
		b.limited(w, dir)
	}
	if w.MountPoint == "" {
		return failed(fmt.Errorf("%s: its mount is not in %s", p, b.storage.mountinfo))
	}
	return wire.Answer{Filesystem: w}
}

// limited reduces the sizes of a Btrfs file system to those of the directory's quota group.
func (b *batch) limited(w *wire.Filesystem, dir *way) {
	fd, err := dir.reopen(unix.O_RDONLY | unix.O_DIRECTORY)
	if err != nil {
		return // the subvolume of a file is that of no tree
	}
	defer closeFD(fd)
	limit, used := quota(fd)
	if limit == 0 || limit >= w.Size {
		return
	}
	w.Quota, w.Size, w.Free = limit, limit, limit-min(limit, used)
	w.Available = min(w.Available, w.Free)
}

// mountID returns the number in mountinfo of the mount that fd is on; 0 if it is unknown.
func mountID(fd int) int {
	data, _ := readFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			id, _ := strconv.Atoi(strings.TrimSpace(v))
			return id
		}
	}
	return 0
}

// askMount answers AskMount.
func (b *batch) askMount(point string) wire.Answer {
	entries, err := b.mounts()
	if err != nil {
		return failed(err)
	}
	w := &wire.Mount{}
	e, at := mountAt(entries, point), point
	if e == nil {
		if dir, place, err := placeOf(entries, point); err == nil {
			dir.close()
			if at = place.Real; at != point {
				w.Real, e = at, mountAt(entries, at)
			}
		}
	}
	table, err := readFile(b.storage.fstab.path)
	if err != nil && !absent(err) {
		return failed(err)
	}
	spec := ""
	for _, l := range fstabLines(string(table)) {
		if l.point() != point && l.point() != at {
			continue
		}
		if spec != "" {
			return failed(fmt.Errorf("%s has two lines for %s: remove one of them", b.storage.fstab.path, point))
		}
		w.Fstab, spec = printable(l.text), strings.ReplaceAll(l.fields[0], `"`, "")
	}
	if e != nil {
		w.Mounted, w.Type, w.Options = true, e.kind, e.options
		w.Source = b.storage.realSource(e)
		if strings.HasPrefix(w.Source, "/dev/") && kindOf(w.Source) == unix.S_IFBLK {
			if w.UUID, err = b.storage.uuidOf(b.ctx, w.Source); err != nil {
				return failed(err)
			}
		}
	}
	if w.UUID != "" && spec == "UUID="+w.UUID {
		w.FstabDevice = w.Source
	} else if w.FstabDevice, err = namedDevice(b.ctx, spec); err != nil {
		return failed(err)
	}
	return wire.Answer{Mount: w}
}

// namedDevice returns the real path of the block device that the first field of a line of fstab(5)
// names, by path, UUID, label or partition. It returns "" if the field names no device.
func namedDevice(ctx context.Context, spec string) (string, error) {
	if tag, value, ok := strings.Cut(spec, "="); ok && value != "" && slices.Contains([]string{"UUID", "LABEL", "PARTUUID", "PARTLABEL", "ID"}, tag) {
		o, err := ask(ctx, "findfs", spec)
		if err != nil {
			return "", fmt.Errorf("find the device of %s in fstab: %w", spec, err)
		}
		if o.exit == 1 { // findfs(8): not found
			return "", nil
		}
		if o.exit != 0 {
			return "", fmt.Errorf("findfs %s: %s", spec, o.output())
		}
		spec = strings.TrimSpace(o.stdout.String())
	}
	if !strings.HasPrefix(spec, "/dev/") {
		return "", nil
	}
	actual, err := realPath(spec)
	if err != nil && !absent(err) || err == nil && kindOf(actual) != unix.S_IFBLK {
		return "", err
	}
	return actual, nil
}

// realSource returns the real path of the mounted device, or the source as given if that is not a
// device.
func (s *storage) realSource(e *mountEntry) string {
	if actual, err := realPath(e.source); err == nil && strings.HasPrefix(e.source, "/dev/") {
		return actual
	}
	// The kernel calls some root devices /dev/root: the number identifies the device.
	if target, err := readLink(unix.AT_FDCWD, "/sys/dev/block/"+e.dev); err == nil && exists("/dev/"+path.Base(target)) {
		return "/dev/" + path.Base(target)
	}
	return e.source
}
