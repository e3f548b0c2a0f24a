package agent

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// checkPath refuses paths that do not say plainly where they lead.
func checkPath(p string) error {
	switch {
	case p == "" || p[0] != '/':
		return fmt.Errorf("refused: path %s is not absolute", quote(p))
	case p == "/":
		return errors.New("refused: the root directory is not changed")
	case path.Clean(p) != p || strings.IndexByte(p, 0) >= 0:
		return fmt.Errorf("refused: path %s is not clean", quote(p))
	case len(p) >= unix.PathMax:
		return errors.New("refused: the path is too long")
	}
	return nil
}

// errAstray is the error of a path that somebody could have led elsewhere.
var errAstray = errors.New("a link is followed only where root alone can change it: give the path that it leads to, or make its directory one that only root can write to")

// way is what a path leads to, and how. Questions and operations of the helper, which is root, open
// paths so, one component at a time, for a user who owns a directory can exchange what is in it for
// a link to any file of root's.
type way struct {
	fd    int    // opened with O_PATH
	at    string // its path without links
	st    unix.Stat_t
	who   string // who else can exchange what follows: "user 1000 can write to /home/a"; "": nobody
	links int
}

// walk opens what a path leads to. A link on the way or at its end is followed only if root or the
// helper's own user owns it, and nobody else can put another one in its place. Where a directory is
// missing, the paths of it and of those below it are added to missing.
func walk(p string, missing *[]string) (*way, error) {
	w := &way{fd: -1}
	if err := w.root(); err != nil {
		return nil, err
	}
	todo := strings.Split(p, "/")
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if name == "" || name == "." {
			continue
		}
		target, err := w.enter(name)
		if err != nil {
			if missing != nil && errors.Is(err, unix.ENOENT) {
				*missing = append(*missing, below(path.Join(w.at, name), todo)...)
			}
			w.close()
			return nil, err
		}
		if target != "" {
			todo = append(strings.Split(target, "/"), todo...)
		}
	}
	return w, nil
}

// below is a directory and those that are named below it.
func below(dir string, names []string) []string {
	dirs := []string{dir}
	for _, name := range names {
		if name != "" && name != "." && name != ".." {
			dir = path.Join(dir, name)
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func (w *way) close() { closeFD(w.fd) }

// kind is the type of what was reached.
func (w *way) kind() uint32 { return w.st.Mode & unix.S_IFMT }

// reopen opens what was reached for more than its path.
func (w *way) reopen(flags int) (int, error) {
	fd, err := open(unix.AT_FDCWD, procFD(w.fd), flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", w.at, err)
	}
	return fd, nil
}

// real is the path of what was reached, as the kernel has it.
func (w *way) real() (string, error) { return readLink(unix.AT_FDCWD, procFD(w.fd)) }

// root goes to the root directory.
func (w *way) root() error {
	fd, err := open(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open /: %w", err)
	}
	if err = unix.Fstat(fd, &w.st); err != nil {
		closeFD(fd)
		return fmt.Errorf("stat /: %w", err)
	}
	w.move(fd, "/")
	return nil
}

// move takes w to what is open now, of which it has the state.
func (w *way) move(fd int, at string) {
	if w.fd >= 0 {
		closeFD(w.fd)
	}
	w.fd, w.at = fd, at
	if w.who == "" && w.kind() == unix.S_IFDIR {
		w.who = writer(fd, at, &w.st)
	}
}

// enter goes to an entry of the directory that was reached. Of a link it returns the target, which
// is relative to where w is then.
func (w *way) enter(name string) (target string, err error) {
	if w.kind() != unix.S_IFDIR {
		return "", fmt.Errorf("open %s: %w", w.at, unix.ENOTDIR)
	}
	shown := path.Join(w.at, name)
	// As a directory first: that mounts what is to be mounted on it when it is entered (autofs).
	fd, err := open(w.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		fd, err = open(w.fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return "", fmt.Errorf("open %s: %w", shown, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		closeFD(fd)
		return "", fmt.Errorf("stat %s: %w", shown, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		w.st = st
		w.move(fd, shown)
		return "", nil
	}
	target, err = readLink(fd, "")
	closeFD(fd)
	if err != nil {
		return "", fmt.Errorf("readlink %s: %w", shown, err)
	}
	if err := w.mayFollow(shown, &st); err != nil {
		return "", err
	}
	if target[0] == '/' {
		err = w.root()
	}
	return target, err
}

// mayFollow is the error of a link that is not followed.
func (w *way) mayFollow(shown string, link *unix.Stat_t) error {
	switch {
	case !ownerTrusted(link.Uid):
		return fmt.Errorf("refused: %s is a link owned by user %d: %w", shown, link.Uid, errAstray)
	case w.who != "":
		return fmt.Errorf("refused: %s is a link, and %s: %w", shown, w.who, errAstray)
	}
	if w.links++; w.links > maxLinks {
		return fmt.Errorf("open %s: %w", shown, unix.ELOOP)
	}
	return nil
}

// ownerTrusted tells that a user is root, or the helper's own.
func ownerTrusted(uid uint32) bool { return uid == 0 || int(uid) == unix.Geteuid() }

// writer says who besides root and the helper's own user can exchange the entries of a directory,
// or "". In a sticky directory only the owners of an entry and of the directory can.
func writer(fd int, dir string, st *unix.Stat_t) string {
	who := ""
	switch own := st.Gid == 0 || int(st.Gid) == unix.Getegid(); {
	case !ownerTrusted(st.Uid):
		who = fmt.Sprintf("user %d", st.Uid)
	case st.Mode&unix.S_ISVTX != 0:
	case st.Mode&0o002 != 0:
		who = "anybody"
	case st.Mode&0o020 != 0 && !own:
		who = fmt.Sprintf("group %d", st.Gid)
	case st.Mode&0o020 != 0 && hasACL(fd):
		who = "somebody, by an access control list,"
	}
	if who != "" {
		who += " can write to " + dir
	}
	return who
}

// hasACL tells that an access control list says more than the mode.
func hasACL(fd int) bool {
	n, err := unix.Getxattr(procFD(fd), "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// openDir opens a directory as walk does.
func openDir(dir string, missing *[]string) (fd int, err error) {
	w, err := walk(dir, missing)
	if err != nil {
		return -1, err
	}
	if w.kind() != unix.S_IFDIR {
		w.close()
		return -1, fmt.Errorf("open %s: %w", w.at, unix.ENOTDIR)
	}
	return w.fd, nil
}

// makeDirs makes directories on the way to a path, with the defaults of new ones.
func makeDirs(dirs []string) error {
	for _, dir := range dirs {
		p, err := at(dir)
		if err != nil {
			return err
		}
		err = mkdir(p.dir, p.name, 0o700)
		if err == nil {
			err = p.makeUsable()
		}
		p.close()
		if err != nil {
			return fmt.Errorf("mkdir %s: %w", dir, err)
		}
	}
	return nil
}

// makeUsable gives a new directory its mode, since mkdir(2) heeds the umask, and makes it durable.
func (p *place) makeUsable() error {
	fd, err := open(p.dir, p.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	if err := fchmod(fd, 0o755); err != nil {
		return err
	}
	return syncDir(p.dir)
}

// removeMade takes away directories that were made on the way to a path, as far as they are empty.
func removeMade(made []string) {
	for i := len(made) - 1; i >= 0; i-- {
		dir := made[i]
		p, err := at(dir)
		if err != nil {
			continue // it was not made yet, or is gone
		}
		if p.was.Kind == wire.Directory {
			if err = rmdir(p.dir, p.name); err == nil {
				err = syncDir(p.dir)
			}
		}
		p.close()
		if err != nil {
			return
		}
	}
}
