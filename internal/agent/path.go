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

// checkPath refuses paths that are relative, not clean, or too long.
func checkPath(p string) error {
	switch {
	case p == "" || p[0] != '/':
		return fmt.Errorf("refused: %s is not an absolute path", quote(p))
	case p == "/":
		return errors.New("refused: the root directory is never changed")
	case path.Clean(p) != p || strings.IndexByte(p, 0) >= 0:
		return fmt.Errorf("refused: %s is not a clean path (no double slashes, no . or .., no slash at the end)", quote(p))
	case len(p) >= unix.PathMax:
		return errors.New("refused: the path is too long")
	}
	return nil
}

// errRedirected is the error of a path that another user could redirect.
var errRedirected = errors.New("links are followed only where root alone can change them: " +
	"use the path that the link leads to, or make its directory writable by root only")

// way is what a path leads to, and how. The helper, as root, opens the paths of all questions and
// operations one component at a time: a user who owns a directory on the way could otherwise
// replace an entry by a link to any file of root.
type way struct {
	fd    int    // opened with O_PATH
	at    string // its path without links
	st    unix.Stat_t
	who   string // "user 1000 can write to /home/a"; "": no other user can
	links int
}

// walk opens what a path leads to. It follows a link only if root or the helper's own user owns it,
// and no other user can replace it. If a directory does not exist, its path and the paths below it
// are added to missing.
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

// below lists a directory and the directories below it that names lead to.
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

// kind returns the type of what was reached.
func (w *way) kind() uint32 { return w.st.Mode & unix.S_IFMT }

// reopen opens what was reached for more than its path (open(2), O_PATH).
func (w *way) reopen(flags int) (int, error) {
	fd, err := open(unix.AT_FDCWD, procFD(w.fd), flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", w.at, err)
	}
	return fd, nil
}

// real returns the kernel's path of what was reached.
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

// move goes to an open file or directory, whose status is in w.st.
func (w *way) move(fd int, at string) {
	if w.fd >= 0 {
		closeFD(w.fd)
	}
	w.fd, w.at = fd, at
	if w.who == "" && w.kind() == unix.S_IFDIR {
		w.who = writer(fd, at, &w.st)
	}
}

// enter goes to an entry of the directory that was reached. For a link it returns the target, which
// is relative to the position of w afterwards.
func (w *way) enter(name string) (target string, err error) {
	if w.kind() != unix.S_IFDIR {
		return "", fmt.Errorf("open %s: %w", w.at, unix.ENOTDIR)
	}
	shown := path.Join(w.at, name)
	// First as a directory: that triggers the mount of an automount point (autofs).
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

// mayFollow returns an error if a link must not be followed.
func (w *way) mayFollow(shown string, link *unix.Stat_t) error {
	switch {
	case !ownerTrusted(link.Uid):
		return fmt.Errorf("refused: %s is a link owned by user %d: %w", shown, link.Uid, errRedirected)
	case w.who != "":
		return fmt.Errorf("refused: %s is a link, and %s: %w", shown, w.who, errRedirected)
	}
	if w.links++; w.links > maxLinks {
		return fmt.Errorf("open %s: %w", shown, unix.ELOOP)
	}
	return nil
}

// ownerTrusted reports whether a user is root or the helper's own user.
func ownerTrusted(uid uint32) bool { return uid == 0 || int(uid) == unix.Geteuid() }

// writer returns who besides root and the helper's own user can replace the entries of a directory,
// or "". In a sticky directory only the owners of the entry and of the directory can.
func writer(fd int, dir string, st *unix.Stat_t) string {
	who := ""
	switch own := st.Gid == 0 || int(st.Gid) == unix.Getegid(); {
	case !ownerTrusted(st.Uid):
		who = fmt.Sprintf("user %d", st.Uid)
	case st.Mode&unix.S_ISVTX != 0:
	case st.Mode&0o002 != 0:
		who = "every user"
	case st.Mode&0o020 != 0 && !own:
		who = fmt.Sprintf("group %d", st.Gid)
	case st.Mode&0o020 != 0 && hasACL(fd):
		who = "another user, by an access control list,"
	}
	if who != "" {
		who += " can write to " + dir
	}
	return who
}

// hasACL reports whether an access control list grants more than the mode.
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

// makeDirs creates the parent directories of a path, with default attributes.
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

// makeUsable sets the mode of a new directory, since mkdir(2) applies the umask, and makes the
// directory durable.
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

// removeMade removes directories that were created as parents, unless something is in them.
func removeMade(made []string) {
	for i := len(made) - 1; i >= 0; i-- {
		dir := made[i]
		p, err := at(dir)
		if err != nil {
			continue // not created yet, or already removed
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
