package agent

import (
	"errors"
	"fmt"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// files writes files that have no undo: the helper's own, and those that an operation replaces as a
// whole.
type files struct {
	transaction string // ID of the open transaction, or ""
	// Some file systems do not support these; tests replace them.
	exchange        func(dir int, a, b string) error
	renameNoReplace func(dir int, from string, toDir int, to string) error
}

// move renames an entry, and never overwrites another one. On file systems without such a rename it
// checks first, which leaves a gap between the check and the rename.
func (f *files) move(dir int, from string, toDir int, to string) error {
	err := f.renameNoReplace(dir, from, toDir, to)
	if !unsupported(err) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(toDir, to, &st, unix.AT_SYMLINK_NOFOLLOW); err != unix.ENOENT {
		if err == nil {
			err = unix.EEXIST
		}
		return err
	}
	return rename(dir, from, toDir, to)
}

// replace writes a file that has no undo, atomically and synced. It fails if the file is not the
// expected one.
func (f *files) replace(p *place, content []byte, a attributes) (err error) {
	name := f.temp()
	defer func() {
		if err != nil {
			_ = unlink(p.dir, name)
		}
	}()
	if err := p.makeFile(name, content, a); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if err := rename(p.dir, name, p.dir, p.name); err != nil {
		return p.wrap("rename", err)
	}
	return p.sync()
}

// replaceFile writes one of the helper's own files.
func (f *files) replaceFile(file string, content []byte, mode uint32) error {
	p, err := at(file)
	if err != nil {
		return err
	}
	defer p.close()
	if p.was.Kind == wire.Directory {
		return fmt.Errorf("%s is a directory", file)
	}
	return f.replace(p, content, attributes{uid: unix.Geteuid(), gid: unix.Getegid(), mode: mode})
}

// temp returns a name for a temporary file of the open transaction, so that the cleanup of the
// transaction finds it if it is left over.
func (f *files) temp() string {
	id := f.transaction
	if id == "" {
		id = random()
	}
	// Random, not counted: a recovery that is interrupted leaves files behind, and the next one must
	// not collide with them.
	return tempPrefix + id + "-x" + random()
}

// unsupported reports that a file system does not support a kind of rename.
func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)
}
