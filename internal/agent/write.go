package agent

import (
	"errors"
	"path"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/wire"
	"golang.org/x/sys/unix"
)

// tempPrefix begins the names of files that are being written. Cron, nginx and logrotate pass over names with a leading dot.
const tempPrefix = ".mirrorform-"

// place is an entry of a directory that is held open: whatever is renamed above it, it stays the same directory.
type place struct {
	dir    int
	name   string
	path   string
	expect string     // the fingerprint that the entry must have; empty: any
	was    *wire.File // what was there when it was opened
	made   []string   // directories above it that were made when it was opened
}

// at opens the parent of a path, and looks at the entry.
func at(p string) (*place, error) { return openPlace(p, nil) }

// atWithParents is at, and makes the directories that are missing above the path.
func atWithParents(p string) (*place, error) {
	var made []string
	pl, err := openPlace(p, &made)
	if err != nil {
		removeMade(made)
		return nil, err
	}
	pl.made = made
	return pl, nil
}

func openPlace(p string, made *[]string) (*place, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	dir, err := openDir(path.Dir(p), made)
	if err != nil {
		return nil, err
	}
	pl := &place{dir: dir, name: path.Base(p), path: p}
	if pl.was, err = look(dir, pl.name, p, nil); err != nil {
		pl.close()
		return nil, err
	}
	return pl, nil
}

func (p *place) close() { closeFD(p.dir) }

func (p *place) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return because(op+" "+p.path, err)
}

// check looks again whether the entry is what it is expected to be.
func (p *place) check() error {
	if p.expect == "" {
		return nil
	}
	now, err := look(p.dir, p.name, p.path, nil)
	if err != nil {
		return err
	}
	return unchanged(p.path, p.expect, now)
}

// unchanged is an error when what is there now is not what was expected.
func unchanged(path, expect string, now *wire.File) error {
	if now.Fingerprint == expect {
		return nil
	}
	is := string(now.Kind)
	switch {
	case now.Kind == wire.Absent:
		is = "absent"
	case expect == fingerprintAbsent:
		return errors.New(path + " has changed since it was observed: nothing was there, and now there is a " + is)
	}
	return errors.New(path + " has changed since it was observed (expected fingerprint " + expect + "…, found " + now.Fingerprint + "…, now " + is + "): plan again")
}

// temp makes a name for a temporary entry.
func temp() string { return tempPrefix + random() }

// sweep removes temporary files of this user that a crash left in the directory more than an hour ago.
func (p *place) sweep() {
	fd, err := open(p.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer closeFD(fd)
	names, _ := list(fd, 0) // what cannot be listed is not swept
	for _, name := range names {
		var st unix.Stat_t
		if !strings.HasPrefix(name, tempPrefix) || unix.Fstatat(p.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		kind := st.Mode & unix.S_IFMT
		old := time.Since(time.Unix(st.Mtim.Unix())) > time.Hour
		if old && int(st.Uid) == unix.Geteuid() && (kind == unix.S_IFREG || kind == unix.S_IFLNK) {
			_ = unix.Unlinkat(p.dir, name, 0)
		}
	}
}

// attributes are those that a new or changed entry is to have, all resolved.
type attributes struct {
	uid, gid int
	mode     uint32
	xattrs   []xattr
}

// xattr is an extended attribute.
type xattr struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// resolve completes wanted attributes from what is there, when it is of the kind that is made, or else with defaults.
func (h *host) resolve(at wire.Attributes, was *wire.File, kind wire.Kind, mode uint32) (a attributes, err error) {
	if at.Mode != nil && *at.Mode&^0o7777 != 0 {
		return a, errors.New("mode " + octal(*at.Mode) + " has more than permission bits")
	}
	if a.uid, a.gid, err = h.ids(at); err != nil {
		return a, err
	}
	keep := was != nil && was.Kind == kind
	if a.uid < 0 {
		if a.uid = unix.Geteuid(); keep {
			a.uid = was.UID
		}
	}
	if a.gid < 0 {
		if a.gid = unix.Getegid(); keep {
			a.gid = was.GID
		}
	}
	switch a.mode = mode; {
	case at.Mode != nil:
		a.mode = *at.Mode
	case keep:
		a.mode = was.Mode
	}
	return a, nil
}

// apply sets them on a new entry that is open, owner first: chown(2) clears setuid and setgid.
func (a *attributes) apply(fd int) error {
	if err := unix.Fchown(fd, a.uid, a.gid); err != nil {
		return because("change owner to "+itoa(a.uid)+":"+itoa(a.gid), err)
	}
	for _, x := range a.xattrs {
		err := unix.Fsetxattr(fd, x.Name, x.Value, 0)
		// Labels that only the kernel or a policy sets are inherited; where there is no support, there was none to lose.
		if err != nil && err != unix.EPERM && err != unix.EACCES && err != unix.ENOTSUP {
			return because("set extended attribute "+x.Name, err)
		}
	}
	return unix.Fchmod(fd, a.mode)
}

// xattrs reads the extended attributes of an entry. Those that describe its content are left out: they would be wrong for another.
func (p *place) xattrs() (found []xattr) {
	fd, err := open(p.dir, p.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer closeFD(fd)
	names := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, names)
	if err != nil {
		return nil
	}
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.") || contains([]string{"security.capability", "security.ima", "security.evm"}, name) {
			continue
		}
		value := make([]byte, 64<<10)
		if n, err := unix.Fgetxattr(fd, name, value); err == nil {
			found = append(found, xattr{name, append([]byte(nil), value[:n]...)})
		}
	}
	return found
}

// write replaces the entry by a regular file: written under another name, synced, validated, and renamed.
func (p *place) write(content []byte, a attributes, times []unix.Timespec, validate []string) (err error) {
	if p.was.Kind == wire.Directory {
		return errors.New(p.path + " is a directory: it is not replaced by a file")
	}
	if p.was.Kind == wire.Other {
		return errors.New(p.path + " is a device, socket or pipe: it is not replaced by a file")
	}
	if p.was.Kind == wire.Regular && a.xattrs == nil {
		a.xattrs = p.xattrs()
	}
	p.sweep()
	name := temp()
	fd, err := open(p.dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return p.wrap("create a file beside", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Unlinkat(p.dir, name, 0)
		}
	}()
	err = writeAll(fd, content)
	if err == nil {
		err = a.apply(fd)
	}
	if err == nil && times != nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, procFD(fd), times, 0)
	}
	if err == nil {
		err = unix.Fsync(fd)
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	if err != nil {
		return p.wrap("write", err)
	}
	if len(validate) > 0 {
		if err := p.validate(validate, path.Join(path.Dir(p.path), name)); err != nil {
			return err
		}
	}
	if err := p.check(); err != nil {
		return err
	}
	return p.rename(name)
}

// validate runs a program on the new content.
func (p *place) validate(argv []string, file string) error {
	args := make([]string, len(argv))
	for i, a := range argv {
		if args[i] = a; a == "{}" {
			args[i] = file
		}
	}
	_, err := must(forever, command{argv: args, timeout: opTimeout, merge: true})
	var f *failure
	if errors.As(err, &f) {
		return &failure{message: "the new content of " + p.path + " is not valid: " + f.message, output: f.output}
	}
	return err
}

// rename puts a temporary entry in place, and makes that durable.
func (p *place) rename(name string) error {
	var err error = unix.ENOSYS
	if p.expect == fingerprintAbsent {
		// The kernel itself makes sure that nothing came in between, where the file system can.
		err = unix.Renameat2(p.dir, name, p.dir, p.name, unix.RENAME_NOREPLACE)
	}
	if errors.Is(err, unix.EEXIST) {
		return errors.New(p.path + " has changed since it was observed: nothing was there, and now there is something")
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		err = unix.Renameat(p.dir, name, p.dir, p.name)
	}
	return p.finish("rename", err)
}

// finish syncs the directory after a successful change.
func (p *place) finish(op string, err error) error {
	if err != nil {
		return p.wrap(op, err)
	}
	if err := syncDir(p.dir); err != nil {
		return because("sync "+path.Dir(p.path), err)
	}
	return nil
}

// mkdir makes a directory.
func (p *place) mkdir(a attributes) (err error) {
	if err := p.check(); err != nil {
		return err
	}
	if err := unix.Mkdirat(p.dir, p.name, 0o700); err != nil {
		return p.wrap("mkdir", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Unlinkat(p.dir, p.name, unix.AT_REMOVEDIR)
		}
	}()
	fd, err := unix.Openat(p.dir, p.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return p.wrap("open", err)
	}
	defer closeFD(fd)
	if err := a.apply(fd); err != nil {
		return p.wrap("mkdir", err)
	}
	if err := unix.Fsync(fd); err != nil {
		return p.wrap("sync", err)
	}
	return p.finish("mkdir", nil)
}

// symlink makes a link, or replaces a link or file by one.
func (p *place) symlink(target string) (err error) {
	if target == "" || len(target) >= unix.PathMax || strings.IndexByte(target, 0) >= 0 {
		return errors.New(p.path + ": " + quote(target) + " is no target of a link")
	}
	if p.was.Kind == wire.Directory || p.was.Kind == wire.Other {
		return errors.New(p.path + " is a " + string(p.was.Kind) + ": it is not replaced by a link")
	}
	p.sweep()
	name := temp()
	if err := unix.Symlinkat(target, p.dir, name); err != nil {
		return p.wrap("make a link beside", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Unlinkat(p.dir, name, 0)
		}
	}()
	if err := p.check(); err != nil {
		return err
	}
	return p.rename(name)
}

// attr changes owner, group and mode of what is there; nil fields stay.
func (p *place) attr(h *host, at wire.Attributes) error {
	if p.was.Kind == wire.Absent {
		return p.wrap("change attributes of", unix.ENOENT)
	}
	if p.was.Kind == wire.Symlink && at.Mode != nil {
		return errors.New(p.path + " is a link, which has no mode")
	}
	want, err := h.resolve(at, p.was, p.was.Kind, p.was.Mode)
	if err != nil {
		return err
	}
	fd, err := unix.Openat(p.dir, p.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return p.wrap("open", err)
	}
	defer closeFD(fd)
	if err := p.check(); err != nil {
		return err
	}
	return p.setAttr(fd, want)
}

// setAttr changes an entry opened with O_PATH, wholly or not at all.
func (p *place) setAttr(fd int, want attributes) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return p.wrap("stat", err)
	}
	owner := int(st.Uid) != want.uid || int(st.Gid) != want.gid
	if owner {
		if err := unix.Fchownat(fd, "", want.uid, want.gid, unix.AT_EMPTY_PATH); err != nil {
			return p.wrap("change owner of", err)
		}
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFLNK {
		// chmod(2) through /proc works on what O_PATH opened, and cannot be led elsewhere.
		if err := unix.Chmod(procFD(fd), want.mode); err != nil {
			if owner {
				_ = unix.Fchownat(fd, "", int(st.Uid), int(st.Gid), unix.AT_EMPTY_PATH)
				_ = unix.Chmod(procFD(fd), st.Mode&0o7777)
			}
			return p.wrap("change mode of", err)
		}
	}
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return p.finish("change attributes of", nil)
	}
	open, err := unix.Open(procFD(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == unix.EACCES || err == unix.EPERM {
		return nil // an owner may change what it cannot read, but not sync it
	}
	if err != nil {
		return p.wrap("open", err)
	}
	defer func() { closeFD(open) }()
	return p.wrap("sync", unix.Fsync(open))
}

// remove removes a file, a link or an empty directory.
func (p *place) remove() error {
	if err := p.check(); err != nil {
		return err
	}
	flags := 0
	switch p.was.Kind {
	case wire.Absent:
		return nil
	case wire.Directory:
		flags = unix.AT_REMOVEDIR
	}
	err := unix.Unlinkat(p.dir, p.name, flags)
	switch err {
	case unix.ENOENT:
		return nil
	case unix.ENOTEMPTY, unix.EEXIST:
		return errors.New(p.path + " is not empty: it is left as it is")
	}
	return p.finish("remove", err)
}

// replaceFile writes a file of the helper's own, atomically.
func replaceFile(file string, content []byte, mode uint32) error {
	p, err := at(file)
	if err != nil {
		return err
	}
	defer p.close()
	return p.write(content, attributes{uid: unix.Geteuid(), gid: unix.Getegid(), mode: mode}, nil, nil)
}
