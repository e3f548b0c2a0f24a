package agent

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// tempPrefix begins the names of temporary files. cron, nginx and logrotate ignore names with a
// leading dot.
const tempPrefix = ".mirrorform-"

// place is an entry of a directory that is kept open: it stays the same directory, even if a
// directory above it is renamed.
type place struct {
	dir    int
	name   string
	path   string
	expect string     // the fingerprint that the entry must have; "": any
	was    *wire.File // the entry when the place was opened
}

// at opens the parent of a path, and examines the entry.
func at(p string) (*place, error) { return openPlace(p, nil) }

// openPlace is at, and adds missing parent directories to missing.
func openPlace(p string, missing *[]string) (*place, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	dir, err := openDir(path.Dir(p), missing)
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
	return fmt.Errorf("%s %s: %w", op, p.path, err)
}

// check examines the entry again, and fails if it is not the expected one.
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

// unchanged returns an error if an entry is not the expected one.
func unchanged(path, expect string, now *wire.File) error {
	if now.Fingerprint == expect {
		return nil
	}
	is := string(now.Kind)
	switch {
	case now.Kind == wire.Absent:
		is = "absent"
	case expect == fingerprintAbsent:
		return fmt.Errorf("%s has changed since it was observed: it was absent, now it is a %s: plan again", path, is)
	}
	return fmt.Errorf("%s has changed since it was observed (expected fingerprint %s…, found %s…, now %s): plan again",
		path, expect, now.Fingerprint, is)
}

// attributes are the attributes that a new or changed entry gets, with all defaults resolved.
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

// resolve completes wanted attributes: from the existing entry if it is of the same kind, and
// otherwise with defaults.
func (db *accountDB) resolve(at wire.Attributes, was *wire.File, kind wire.Kind, mode uint32) (a attributes, err error) {
	if at.Mode != nil && *at.Mode&^0o7777 != 0 {
		return a, fmt.Errorf("invalid mode 0%o: only permission bits are allowed", *at.Mode)
	}
	if a.uid, a.gid, err = db.ids(at); err != nil {
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

// apply sets the attributes of a new entry that is open, owner first: chown(2) clears setuid and
// setgid.
func (a *attributes) apply(fd int) error {
	if err := fchown(fd, a.uid, a.gid); err != nil {
		return fmt.Errorf("change owner to %d:%d: %w", a.uid, a.gid, err)
	}
	for _, x := range a.xattrs {
		err := fsetxattr(fd, x.Name, x.Value)
		// Labels that only the kernel or a policy may set are inherited. A file system without extended
		// attributes had none to copy.
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set extended attribute %s: %w", x.Name, err)
		}
	}
	return fchmod(fd, a.mode)
}

// xattrs reads the extended attributes of an entry, except those that describe its content: they
// would be wrong for the new content.
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
	for _, name := range strings.Split(string(names[:n]), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.") || slices.Contains([]string{"security.capability", "security.ima", "security.evm"}, name) {
			continue
		}
		value := make([]byte, 64<<10)
		if n, err := unix.Fgetxattr(fd, name, value); err == nil {
			found = append(found, xattr{name, append([]byte(nil), value[:n]...)})
		}
	}
	return found
}

// makeFile writes a regular file under a temporary name beside the entry, and syncs it.
func (p *place) makeFile(name string, content []byte, a attributes) error {
	fd, err := create(p.dir, name, 0o600)
	if err != nil {
		return p.wrap("create a file beside", err)
	}
	err = writeAll(fd, content)
	if err == nil {
		err = a.complete(fd, nil)
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	return p.wrap("write", err)
}

// contentOf returns what an operation writes. A program is the helper's own executable, which runs
// that program when it is called by its name: a separate Go program would add 1.2 MB of runtime
// that every host already has.
func (h *host) contentOf(op *wire.WriteOp) ([]byte, error) {
	switch {
	case op.Program == "":
		return op.Content, nil
	case op.Program != wire.SyncProgram:
		return nil, fmt.Errorf("this helper has no program %s: replace the helper", quote(op.Program))
	case h.inProcess:
		return nil, errors.New("a program can be installed only by a helper with its own executable, " +
			"which host local does not have")
	}
	return readFile("/proc/self/exe")
}

// complete sets the attributes of a new entry, and its times unless they are nil, and syncs it.
func (a *attributes) complete(fd int, times []unix.Timespec) error {
	err := a.apply(fd)
	if err == nil && times != nil {
		err = setTimes(fd, times)
	}
	if err == nil {
		err = fsync(fd)
	}
	return err
}

// makeLink creates a symbolic link under a temporary name beside the entry.
func (p *place) makeLink(name, target string) error {
	return p.wrap("make a link beside", symlink(target, p.dir, name))
}

// makeDirectory creates a directory under a temporary name beside the entry.
func (p *place) makeDirectory(name string, a attributes) error {
	if err := mkdir(p.dir, name, 0o700); err != nil {
		return p.wrap("mkdir beside", err)
	}
	fd, err := open(p.dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return p.wrap("open a directory beside", err)
	}
	defer closeFD(fd)
	return p.wrap("mkdir", a.complete(fd, nil))
}

// validate runs a program on the new content.
func (p *place) validate(programs *programs, argv []string, file string) error {
	args := make([]string, len(argv))
	for i, a := range argv {
		if args[i] = a; a == "{}" {
			args[i] = file
		}
	}
	_, err := must(context.Background(), command{argv: args, timeout: opTimeout, merge: true, lock: programs.lock})
	var f *failure
	if errors.As(err, &f) {
		return fmt.Errorf("the new content of %s is not valid: %w", p.path, err)
	}
	return err
}

// sync makes the entry durable in its directory.
func (p *place) sync() error {
	if err := syncDir(p.dir); err != nil {
		return fmt.Errorf("sync %s: %w", path.Dir(p.path), err)
	}
	return nil
}

// setAttr changes an entry opened with O_PATH, completely or not at all.
func (p *place) setAttr(fd int, want attributes) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return p.wrap("stat", err)
	}
	owner := int(st.Uid) != want.uid || int(st.Gid) != want.gid
	if owner {
		if err := chownPath(fd, want.uid, want.gid); err != nil {
			return p.wrap("change owner of", err)
		}
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFLNK {
		// fchmod(2) refuses what O_PATH opened. chmod(2) on its link in /proc reaches exactly that file.
		if err := chmodPath(fd, want.mode); err != nil {
			if owner {
				_ = chownPath(fd, int(st.Uid), int(st.Gid))
				_ = chmodPath(fd, st.Mode&0o7777)
			}
			return p.wrap("change mode of", err)
		}
	}
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return p.sync()
	}
	open, err := unix.Open(procFD(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == unix.EACCES || err == unix.EPERM {
		return nil // a user may change, but not sync, a file that it cannot read
	}
	if err != nil {
		return p.wrap("open", err)
	}
	defer func() { closeFD(open) }()
	return p.wrap("sync", fsync(open))
}
