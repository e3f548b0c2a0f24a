package agent

import (
	"errors"
	"reflect"
	"strings"

	"github.com/mirrorform/mirrorform/internal/wire"
	"golang.org/x/sys/unix"
)

// journal keeps the originals of what a session changes, in a directory of its own.
type journal struct {
	state string
	dir   string // made when the first original is kept
	kept  bool   // an undo failed: the originals stay for a person to look at
}

// original is what was at a path before an operation.
type original struct {
	Path     string     `json:"path"`
	File     *wire.File `json:"file"`
	Xattrs   []xattr    `json:"xattrs"`
	Content  bool       `json:"content"`  // it is in the file beside
	Accessed int64      `json:"accessed"` // nanoseconds since the epoch
	Modified int64      `json:"modified"`
	Made     []string   `json:"made"` // directories above it that the operation made
}

// makeState makes a directory of the state directory, which only this user can write to.
func (h *host) makeState(name string) error { return makePrivate(h.state, name) }

func makePrivate(state, name string) error {
	if err := checkPath(state); err != nil {
		return err
	}
	if err := mkdirAll(state + "/" + name); err != nil {
		return because("state directory", err)
	}
	for _, dir := range []string{state, state + "/" + name} {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return because("state directory "+dir, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != unix.Geteuid() || st.Mode&0o022 != 0 {
			return errors.New("refused: state directory " + dir + " must be a directory of user " + itoa(unix.Geteuid()) + " that nobody else can write to")
		}
	}
	return nil
}

// open makes the session's directory.
func (j *journal) open() error {
	if j.dir != "" {
		return nil
	}
	if err := makePrivate(j.state, "journal"); err != nil {
		return err
	}
	dir := j.state + "/journal/" + random()
	if err := unix.Mkdir(dir, 0o700); err != nil {
		return because("mkdir "+dir, err)
	}
	j.dir = dir
	return nil
}

// save keeps what is at a place. attributes says that the operation leaves content alone, which then is not kept.
func (j *journal) save(id int, p *place, attributes bool) error {
	if err := j.open(); err != nil {
		return err
	}
	o := &original{Path: p.path, File: p.was, Made: p.made}
	base := j.dir + "/" + itoa(id)
	if p.was.Kind == wire.Other && !attributes {
		return errors.New(p.path + " is a device, socket or pipe, which could not be brought back: nothing was changed")
	}
	if p.was.Kind == wire.Regular || p.was.Kind == wire.Directory {
		o.Xattrs = p.xattrs()
	}
	if p.was.Kind == wire.Regular && !attributes {
		if p.was.SHA256 == "" {
			return errors.New(p.path + " has more than " + itoa(maxDigest>>20) + " MiB, too much to be kept for undoing the change: nothing was changed")
		}
		if err := o.copyContent(p, base+".data"); err != nil {
			return because("keep the original of "+p.path, err)
		}
	}
	if err := replaceFile(base+".json", encode(nil, reflect.ValueOf(o)), 0o600); err != nil {
		return because("keep the original of "+p.path, err)
	}
	if p.expect == "" {
		// What is kept is what has to be replaced.
		p.expect = p.was.Fingerprint
	}
	return nil
}

func (o *original) copyContent(p *place, to string) error {
	in, err := open(p.dir, p.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer closeFD(in)
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return err
	}
	out, err := open(unix.AT_FDCWD, to, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum, _, err := digest(in, func(b []byte) error { return writeAll(out, b) })
	if err == nil {
		err = unix.Fsync(out)
	}
	if closed := unix.Close(out); err == nil {
		err = closed
	}
	if err == nil && sum != p.was.SHA256 {
		err = errors.New("it is being changed by something else")
	}
	o.Content, o.Accessed, o.Modified = true, st.Atim.Nano(), st.Mtim.Nano()
	return err
}

// restore puts a path back as it was before the operation with that ID.
func (j *journal) restore(id int, p string) error {
	base := j.dir + "/" + itoa(id)
	data, err := readFile(base + ".json")
	if j.dir == "" || absent(err) {
		return errors.New("no original of " + p + " was kept")
	}
	if err != nil {
		return err
	}
	var o original
	if err := decode(data, &o); err != nil {
		return because(base+".json", err)
	}
	if o.Path != p {
		return errors.New("the original that was kept is of " + o.Path + " and not of " + p)
	}
	pl, err := at(p)
	if absent(err) && o.File.Kind == wire.Absent {
		return nil
	}
	if err != nil {
		return err
	}
	defer pl.close()
	a := attributes{uid: o.File.UID, gid: o.File.GID, mode: o.File.Mode, xattrs: o.Xattrs}
	if a.xattrs == nil {
		a.xattrs = []xattr{}
	}
	if o.File.Kind != wire.Absent && pl.was.Kind == wire.Directory && o.File.Kind != wire.Directory {
		// The operation made nothing of the kind; only an empty one can be in the way of the original.
		if err := pl.remove(); err != nil {
			return err
		}
		pl.was = &wire.File{Fingerprint: fingerprintAbsent}
	}
	switch {
	case o.File.Kind == wire.Absent:
		if err := pl.remove(); err != nil {
			return err
		}
		removeMade(o.Made)
		return nil
	case o.File.Kind == wire.Regular && o.Content:
		content, err := readFile(base + ".data")
		if err != nil {
			return err
		}
		times := []unix.Timespec{unix.NsecToTimespec(o.Accessed), unix.NsecToTimespec(o.Modified)}
		return pl.write(content, a, times, nil)
	case o.File.Kind == wire.Symlink && (pl.was.Kind != wire.Symlink || pl.was.Target != o.File.Target):
		if err := pl.symlink(o.File.Target); err != nil {
			return err
		}
	case o.File.Kind == wire.Directory && pl.was.Kind == wire.Absent:
		return pl.mkdir(a)
	case o.File.Kind != pl.was.Kind:
		return errors.New(p + " was a " + string(o.File.Kind) + " and now is a " + string(pl.was.Kind) + ": it is left as it is")
	}
	fd, err := unix.Openat(pl.dir, pl.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return pl.wrap("open", err)
	}
	defer closeFD(fd)
	return pl.setAttr(fd, a)
}

// end removes the originals, unless one may still be needed.
func (j *journal) end() {
	if j.dir == "" || j.kept || !strings.HasPrefix(j.dir, j.state+"/journal/") {
		return
	}
	names, _ := listDir(j.dir)
	for _, name := range names {
		_ = unix.Unlink(j.dir + "/" + name)
	}
	_ = unix.Rmdir(j.dir)
}
