package agent

import (
	"errors"
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/internal/wire"
	"golang.org/x/sys/unix"
)

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// checkPath refuses paths that do not say plainly where they lead.
func checkPath(p string) error {
	switch {
	case p == "" || p[0] != '/':
		return errors.New("refused: path " + quote(p) + " is not absolute")
	case p == "/":
		return errors.New("refused: the root directory is not changed")
	case path.Clean(p) != p || strings.IndexByte(p, 0) >= 0:
		return errors.New("refused: path " + quote(p) + " is not clean")
	case len(p) >= unix.PathMax:
		return errors.New("refused: the path is too long")
	}
	return nil
}

// errAstray is the error of a path that somebody could have led elsewhere.
var errAstray = errors.New("only links of root and of the helper's own user are followed")

// openDir opens a directory one component at a time. A link on the way is followed only if root or the helper's own
// user owns it: nobody else can lead the helper astray. Where a directory is missing, the paths of it and of those below it are added to missing.
func openDir(dir string, missing *[]string) (fd int, err error) {
	fd, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			closeFD(fd)
		}
	}()
	at, links := "/", 0
	todo := strings.Split(dir, "/")
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if name == "" || name == "." {
			continue
		}
		shown := path.Join(at, name)
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT && missing != nil {
			*missing = append(*missing, shown)
			for _, name := range todo {
				if shown = path.Join(shown, name); name != "" && name != "." && name != ".." {
					*missing = append(*missing, shown)
				}
			}
		}
		if err != nil {
			return fd, because("open "+shown, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(next, &st); err != nil {
			closeFD(next)
			return fd, because("stat "+shown, err)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			closeFD(fd)
			fd, at = next, shown
			continue
		case unix.S_IFLNK:
			target, err := readLink(next, "")
			closeFD(next)
			if err != nil {
				return fd, because("readlink "+shown, err)
			}
			if st.Uid != 0 && int(st.Uid) != unix.Geteuid() {
				return fd, because("refused: "+shown+" is a link owned by user "+itoa(int(st.Uid)), errAstray)
			}
			if links++; links > maxLinks {
				return fd, because("open "+shown, unix.ELOOP)
			}
			if target[0] == '/' {
				root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				if err != nil {
					return fd, err
				}
				closeFD(fd)
				fd, at = root, "/"
			}
			todo = append(strings.Split(target, "/"), todo...)
		default:
			closeFD(next)
			return fd, because("open "+shown, unix.ENOTDIR)
		}
	}
	return fd, nil
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
			return because("mkdir "+dir, err)
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
