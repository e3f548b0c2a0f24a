package agent

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// maxDigest is the size of the largest file whose content is read.
const maxDigest = 64 << 20

// fingerprintAbsent is the fingerprint of a path where nothing exists.
const fingerprintAbsent = "absent"

// look returns what the entry name of the directory dir is (or the path name, with unix.AT_FDCWD),
// without the names of owners. Errors call it shown. content, if not nil, gets the content of a
// regular file up to its limit.
func look(dir int, name, shown string, content *capture) (*wire.File, error) {
	f, _, err := examine(dir, name, shown, content)
	return f, err
}

// inode identifies a file while it is open.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{st.Dev, st.Ino} }

// examine is look, and also returns which file it looked at.
func examine(dir int, name, shown string, content *capture) (*wire.File, inode, error) {
	var st unix.Stat_t
	f, err := examined(dir, name, shown, content, &st)
	return f, inodeOf(&st), err
}

func examined(dir int, name, shown string, content *capture, st *unix.Stat_t) (*wire.File, error) {
	err := unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW)
	if absent(err) {
		return &wire.File{Fingerprint: fingerprintAbsent}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stat %s: %w", shown, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return lookFile(dir, name, shown, content, st)
	}
	f := stated(st)
	var more []string
	switch f.Kind {
	case wire.Symlink:
		if f.Target, err = readLink(dir, name); err != nil {
			return nil, fmt.Errorf("readlink %s: %w", shown, err)
		}
		f.Size = int64(len(f.Target))
	case wire.Directory:
		if f.Empty, f.Entries, err = entries(dir, name); err != nil {
			return nil, fmt.Errorf("read %s: %w", shown, err)
		}
	default:
		more = []string{octal(st.Mode & unix.S_IFMT), strconv.FormatUint(st.Rdev, 10)}
	}
	fingerprint(f, more...)
	return f, nil
}

// stated returns what stat(2) reports.
func stated(st *unix.Stat_t) *wire.File {
	f := &wire.File{Kind: wire.Other, Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f.Kind, f.Size = wire.Regular, st.Size
		if st.Nlink > 1 {
			f.Links = int(st.Nlink)
		}
	case unix.S_IFDIR:
		f.Kind = wire.Directory // st_size of a directory depends on its entries and the file system
	case unix.S_IFLNK:
		f.Kind = wire.Symlink
	}
	return f
}

func lookFile(dir int, name, shown string, content *capture, st *unix.Stat_t) (*wire.File, error) {
	// Non-blocking: another user may have replaced the file by a named pipe.
	fd, err := open(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", shown, err)
	}
	defer closeFD(fd)
	if err := unix.Fstat(fd, st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", shown, err)
	}
	f := stated(st)
	if f.Kind != wire.Regular {
		return nil, fmt.Errorf("%s: it changed while it was being read", shown)
	}
	if st.Size > maxDigest {
		// The content is not read: the times and the inode stand in for it.
		fingerprint(f, strconv.FormatUint(st.Dev, 10), strconv.FormatUint(st.Ino, 10),
			strconv.Itoa(int(st.Mtim.Nano())), strconv.Itoa(int(st.Ctim.Nano())))
		return f, nil
	}
	var each func([]byte) error
	known := false
	if content != nil {
		each = content.add
	} else {
		f.SHA256, known = self().sumOf(fd, f.Size)
	}
	if !known {
		if f.SHA256, f.Size, err = digest(fd, each); err != nil {
			return nil, fmt.Errorf("read %s: %w", shown, err)
		}
	}
	fingerprint(f)
	return f, nil
}

// fingerprint sets f.Fingerprint; more holds anything else that should change it.
func fingerprint(f *wire.File, more ...string) {
	parts := append([]string{string(f.Kind), octal(f.Mode), strconv.Itoa(f.UID), strconv.Itoa(f.GID), strconv.Itoa(int(f.Size)), f.Target, f.SHA256}, more...)
	f.Fingerprint = digestOf(strings.Join(parts, "\x00"))
}

// mark identifies an entry later, also after a rename or a restart of the host.
type mark struct {
	Kind  wire.Kind `json:"kind,omitempty"`
	Inode uint64    `json:"inode,omitempty"`
	Mode  uint32    `json:"mode,omitempty"`
	UID   int       `json:"uid"`
	GID   int       `json:"gid"`
	// Sum is the fingerprint. For a file that is too large to read, the change time would differ after
	// every rename: the modification time stands in for its content.
	Sum string `json:"sum"`
}

// markAt returns the mark of an entry of the directory dir; errors call it shown.
func markAt(dir int, name, shown string) (*mark, error) {
	f, err := look(dir, name, shown, nil)
	if err != nil {
		return nil, err
	}
	m := &mark{Kind: f.Kind, Mode: f.Mode, UID: f.UID, GID: f.GID, Sum: f.Fingerprint}
	if f.Kind == wire.Absent {
		return m, nil
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, fmt.Errorf("stat %s: %w", shown, err)
	}
	m.Inode = st.Ino
	if f.Kind == wire.Regular && f.SHA256 == "" {
		fingerprint(f, strconv.Itoa(int(st.Mtim.Nano())))
		m.Sum = f.Fingerprint
	}
	return m, nil
}

// is reports whether m is the mark of now, and not of other. If both have the same fingerprint, the
// inode decides.
func (m *mark) is(now, other *mark) bool {
	return m.Sum == now.Sum && (other == nil || m.Sum != other.Sum || m.Inode == now.Inode)
}

// capture keeps what is added to it, unless that exceeds limit bytes.
type capture struct {
	limit int
	buf   []byte
	over  bool
}

func (c *capture) add(p []byte) error {
	if c.over = c.over || len(c.buf)+len(p) > c.limit; c.over {
		c.buf = nil
	} else {
		c.buf = append(c.buf, p...)
	}
	return nil
}

// entries returns whether a directory is empty, and the names in it if they are few.
func entries(dir int, name string) (empty bool, names []string, err error) {
	fd, err := open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.EACCES) {
		return false, nil, nil // unknown: a directory that cannot be read is not reported as empty
	}
	if err != nil {
		return false, nil, err
	}
	defer closeFD(fd)
	names, err = list(fd, wire.MaxEntries+1)
	if len(names) > wire.MaxEntries {
		return false, nil, err
	}
	return len(names) == 0, names, err
}

// askFile answers AskFile.
func (b *batch) askFile(q wire.Query) wire.Answer {
	if q.Arg == "" || q.Arg[0] != '/' || strings.IndexByte(q.Arg, 0) >= 0 {
		return failed(notAbsolute(q.Arg))
	}
	if option, ok := strings.CutPrefix(q.Option, "follow"); ok {
		w, err := walk(q.Arg, nil)
		if absent(err) {
			return wire.Answer{File: &wire.File{Fingerprint: fingerprintAbsent}}
		}
		if err != nil {
			return failed(err)
		}
		w.close()
		// This path has no links: one that was put there since is not followed.
		q.Arg, q.Option = w.at, strings.TrimPrefix(option, "-")
	}
	w, name, err := parentOf(q.Arg)
	if absent(err) {
		return wire.Answer{File: &wire.File{Fingerprint: fingerprintAbsent}}
	}
	if err != nil {
		return failed(err)
	}
	defer w.close()
	switch q.Option {
	case "head", "tail", "labels", "stat":
		f, err := w.piece(name, q)
		if err != nil {
			return failed(err)
		}
		return wire.Answer{File: f}
	}
	var content *capture
	known, unless := strings.CutPrefix(q.Option, "content-unless:")
	if unless || q.Option == "content" {
		content = &capture{limit: wire.MaxContent}
	}
	f, err := look(w.fd, name, q.Arg, content)
	if err != nil {
		return failed(err)
	}
	if err := w.ownLink(f, q.Arg); err != nil {
		return failed(err)
	}
	if content != nil && f.SHA256 != "" && !content.over && (!unless || f.SHA256 != known) && b.room(len(content.buf)) {
		f.Content, f.HasContent = content.buf, true
	}
	if f.Kind == wire.Directory {
		if f.MountAt, err = b.mountedOn(w, name); err != nil {
			return failed(err)
		}
	}
	return wire.Answer{File: f}
}

// piece returns an entry of a directory by itself, with its label, or with one end of a file.
func (w *way) piece(name string, q wire.Query) (*wire.File, error) {
	fd, err := open(w.fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if absent(err) {
		return &wire.File{Fingerprint: fingerprintAbsent}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", q.Arg, err)
	}
	entry := &way{fd: fd, at: q.Arg}
	defer entry.close()
	if err := unix.Fstat(fd, &entry.st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", q.Arg, err)
	}
	f := stated(&entry.st)
	if q.Option == "stat" {
		fingerprint(f)
		return f, nil
	}
	fingerprint(f, strconv.FormatUint(entry.st.Ino, 10),
		strconv.Itoa(int(entry.st.Mtim.Nano())), strconv.Itoa(int(entry.st.Ctim.Nano())))
	if q.Option == "labels" {
		return f, entry.readLabels(f, w.fd, name)
	}
	if err := w.ownLink(f, q.Arg); err != nil || f.Kind != wire.Regular {
		return f, err
	}
	file, err := entry.reopen(unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer closeFD(file)
	from := int64(0)
	if q.Option == "tail" {
		from = max(0, f.Size-wire.MaxPiece)
	}
	buf := make([]byte, wire.MaxPiece)
	n, err := unix.Pread(file, buf, from)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", q.Arg, err)
	}
	f.Content, f.HasContent = buf[:n], true
	return f, nil
}

// parentOf opens the directory of an entry.
func parentOf(p string) (w *way, name string, err error) {
	p = strings.TrimRight(p, "/")
	switch name = path.Base(p); name {
	case ".", "..", "/": // these have no name in a parent
		w, err = walk(p, nil)
		return w, ".", err
	}
	w, err = walk(p[:len(p)-len(name)], nil)
	if err == nil && w.kind() != unix.S_IFDIR {
		w.close()
		return nil, "", fmt.Errorf("open %s: %w", w.at, unix.ENOTDIR)
	}
	return w, name, err
}

// ownLink returns an error for a hard link that another user may have created to read a file of
// root: it is in a directory that other users can write to, and the file belongs to someone other
// than the directory's owner. The kernel forbids such links unless fs.protected_hardlinks is 0
// (proc_sys_fs(5)).
func (w *way) ownLink(f *wire.File, p string) error {
	if w.who == "" || f.Links < 2 || !ownerTrusted(uint32(f.UID)) && f.UID == int(w.st.Uid) {
		return nil
	}
	return fmt.Errorf("refused: %s is one of %d hard links to a file of user %d, and %s, so the link may lead to "+
		"any file of user %d. To list the links: find / -xdev -samefile %s", p, f.Links, f.UID, w.who, f.UID, p)
}
