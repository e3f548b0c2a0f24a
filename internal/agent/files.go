package agent

import (
	"errors"
	"fmt"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// files writes what has no undo of its own: the helper's files, and those that an operation
// replaces as a whole.
type files struct {
	transaction string // ID of the open transaction, or ""
	// What some file systems cannot; tests take their places.
	exchange        func(dir int, a, b string) error
	renameNoReplace func(dir int, from string, toDir int, to string) error
}

// move renames an entry and replaces nothing. Where the file system cannot make sure of that
// itself, a look before has to do.
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

// replace writes a file that has no undo of its own, atomically and synced, and fails when what was
// there is not what was expected.
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

// replaceFile writes a file of the helper's own.
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

// temp makes the name of a temporary file of the open transaction, by which it is swept should it
// be left.
func (f *files) temp() string {
	id := f.transaction
	if id == "" {
		id = random()
	}
	// No counter: a recovery that is cut short leaves names behind, which the next one must not
	// meet.
	return tempPrefix + id + "-x" + random()
}

// unsupported tells that a file system has no such kind of rename.
func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)
}
