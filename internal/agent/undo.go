package agent

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// left is the error of an undo that is skipped, because another program has changed the path since.
// It is not retried.
type left struct{ why string }

func (l *left) Error() string { return l.why }

// undoPath restores a path to its state before an operation, even if the operation was only partly
// done.
func (t *transaction) undoPath(op *operation) error {
	p, err := at(op.Path)
	if errors.Is(err, errRedirected) {
		return &left{fmt.Sprintf("not restored: %v", err)}
	}
	if absent(err) {
		removeMade(op.Made)
		if op.Was.Kind == wire.Absent || op.Verb != "remove" && op.ready == nil && op.Verb != "attr" {
			return nil
		}
		return &left{path.Dir(op.Path) + " was removed since: " + op.Path + " is not restored"}
	}
	if err != nil {
		return err
	}
	defer p.close()
	switch op.Verb {
	case "attr":
		return t.undoAttr(p, op)
	case "remove":
		err = t.undoRemove(p, op)
	default:
		err = t.undoPut(p, op)
	}
	if err == nil {
		removeMade(op.Made)
	}
	return err
}

// clear removes temporary entries beside a place.
func (p *place) clear(names ...string) error {
	removed := false
	for _, name := range names {
		err := unlink(p.dir, name)
		if errors.Is(err, unix.EISDIR) {
			err = p.clearDirectory(name)
		}
		if err != nil && !absent(err) {
			return fmt.Errorf("remove %s/%s: %w", path.Dir(p.path), name, err)
		}
		removed = removed || err == nil
	}
	if removed {
		return p.sync()
	}
	return nil
}

// clearDirectory removes a removed directory for good, with the originals that were removed from
// it.
func (p *place) clearDirectory(name string) error {
	fd, err := open(p.dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	inside := &place{dir: fd, path: path.Dir(p.path) + "/" + name + "/*"}
	defer inside.close()
	names, err := listDir(procFD(fd))
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, tempPrefix) {
			if err := inside.clear(n); err != nil {
				return err
			}
		}
	}
	return rmdir(p.dir, name)
}

// undoPut undoes a write, symlink or mkdir.
func (t *transaction) undoPut(p *place, op *operation) error {
	name, original := t.temp(op), t.temp(op)
	if op.ready != nil && op.ready.Copied {
		original = t.copied(op)
	}
	beside, err := markAt(p.dir, name, p.path)
	if err != nil {
		return err
	}
	if op.ready == nil || op.ready.New.is(beside, op.Was) {
		// The new content was not put in place, or this undo has already removed it from there.
		return p.clear(name, t.copied(op))
	}
	ours := op.ready.New
	now, err := markAt(p.dir, p.name, p.path)
	if err != nil {
		return err
	}
	if op.Was.Kind == wire.Absent {
		switch {
		case now.Kind == wire.Absent:
			return nil
		case !ours.is(now, nil):
			return t.edited(p, op, "")
		}
		return t.removeNew(p, op, name, ours)
	}
	kept, err := markAt(p.dir, original, p.path)
	if err != nil {
		return err
	}
	switch {
	case kept.Kind == wire.Absent && op.Was.is(now, nil):
		return p.clear(name, t.copied(op)) // it was already restored
	case kept.Kind == wire.Absent:
		return fmt.Errorf("the original of %s, kept beside it as %s, is missing: restore it by hand, then: rm -r %s",
			p.path, original, t.dir)
	case !ours.is(now, op.Was):
		if op.Was.is(now, nil) {
			return p.clear(name, t.copied(op))
		}
		return t.edited(p, op, original)
	case op.ready.Copied:
		err = rename(p.dir, original, p.dir, p.name)
		if err != nil {
			return p.wrap("restore", err)
		}
		return p.sync()
	}
	if err := t.host.files.exchange(p.dir, original, p.name); err != nil {
		return p.wrap("restore", err)
	}
	out, err := markAt(p.dir, original, p.path)
	if err != nil {
		return err
	}
	if !ours.is(out, nil) {
		// Another program has changed the path just before the exchange.
		if err := t.host.files.exchange(p.dir, original, p.name); err != nil {
			return p.wrap("restore the content that another program wrote to", err)
		}
		return t.edited(p, op, original)
	}
	if err := p.sync(); err != nil {
		return err
	}
	return p.clear(original)
}

// removeNew removes what an operation created where nothing was before.
func (t *transaction) removeNew(p *place, op *operation, name string, ours *mark) error {
	if ours.Kind == wire.Directory {
		err := rmdir(p.dir, p.name)
		if notEmpty(err) {
			return &left{p.path + " is not empty: it is not removed"}
		}
		if err != nil && !absent(err) {
			return p.wrap("remove", err)
		}
		return p.sync()
	}
	if err := t.host.files.move(p.dir, p.name, p.dir, name); err != nil {
		return p.wrap("remove", err)
	}
	out, err := markAt(p.dir, name, p.path)
	if err != nil {
		return err
	}
	if !ours.is(out, nil) {
		if err := t.host.files.move(p.dir, name, p.dir, p.name); err != nil {
			return p.wrap("restore the content that another program wrote to", err)
		}
		return t.edited(p, op, "")
	}
	if err := p.sync(); err != nil {
		return err
	}
	return p.clear(name)
}

// edited leaves a path unchanged that another program has edited, and keeps the original, if there
// is one.
func (t *transaction) edited(p *place, op *operation, original string) error {
	why := p.path + " was changed by another program since: it stays unchanged"
	if original != "" {
		kept, err := t.keep(p, original, op)
		if err != nil {
			return fmt.Errorf("%s: %w", why, err)
		}
		why += "; the original is kept in " + kept
	}
	if err := p.clear(t.temp(op), t.copied(op)); err != nil {
		return err
	}
	return &left{why}
}

// undoRemove restores what was removed.
func (t *transaction) undoRemove(p *place, op *operation) error {
	name := t.temp(op)
	beside, err := markAt(p.dir, name, p.path)
	if err != nil {
		return err
	}
	now, err := markAt(p.dir, p.name, p.path)
	if err != nil {
		return err
	}
	if beside.Kind == wire.Absent {
		return nil // it was not removed, or was already restored
	}
	if now.Kind != wire.Absent {
		if op.Was.is(now, nil) {
			return p.clear(name)
		}
		return t.edited(p, op, name)
	}
	err = t.host.files.move(p.dir, name, p.dir, p.name)
	if errors.Is(err, unix.EEXIST) {
		return t.edited(p, op, name)
	}
	if err != nil {
		return p.wrap("restore", err)
	}
	return p.sync()
}

// undoAttr restores owner, group and mode, unless another program has changed them since.
func (t *transaction) undoAttr(p *place, op *operation) error {
	fd, err := open(p.dir, p.name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if absent(err) {
		return &left{p.path + " was removed since: its attributes are not restored"}
	}
	if err != nil {
		return p.wrap("open", err)
	}
	defer closeFD(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return p.wrap("stat", err)
	}
	now, was, want := stated(&st), op.Was, op.Want
	if was.Inode != 0 && was.Inode != st.Ino || now.Links > 1 {
		// A different file, or a file with a new hard link: changing its owner could give away another
		// file.
		return &left{p.path + " was replaced or linked to by another program since: its attributes stay unchanged"}
	}
	owner := func(m *mark) bool { return now.UID == m.UID && now.GID == m.GID }
	// chown(2) clears setuid and setgid. chmod(2) may or may not have set them again.
	mode := func(m *mark) bool { return now.Mode == m.Mode || now.Mode == m.Mode&^0o6000 }
	if now.Kind != was.Kind || !owner(was) && !owner(want) || now.Kind != wire.Symlink && !mode(was) && !mode(want) {
		return &left{p.path + " was changed by another program since: its attributes stay unchanged"}
	}
	// Unchanged attributes are not set again: that may be forbidden, and the reason why the operation
	// failed.
	if !owner(was) || now.Kind != wire.Symlink && now.Mode != was.Mode {
		if err := p.setAttr(fd, attributes{uid: was.UID, gid: was.GID, mode: was.Mode}); err != nil {
			return err
		}
	}
	lost := op.Xattr
	if has := p.capability(); len(has) > 0 && len(lost) > 0 && string(has[0].Value) == string(lost[0].Value) {
		lost = nil
	}
	for _, x := range lost {
		if err := setxattrPath(fd, x.Name, x.Value); err != nil {
			return p.wrap("set "+x.Name+" of", err)
		}
	}
	return nil
}

// sweep removes leftover temporary files of the transaction, except those of operations that could
// not be undone.
func (t *transaction) sweep() error {
	h := t.host
	dirs := []string{h.state.dir, h.state.dir + "/loaded"}
	if h.boot != nil {
		dirs = append(dirs, h.boot.dirs()...)
	}
	for _, op := range t.ops {
		dir := ""
		if op.Path != "" {
			dir = path.Dir(op.Path)
		} else if op.Verb == "mount" {
			dir = path.Dir(h.storage.fstab.path)
			if file, err := h.storage.fstab.target(); err == nil {
				dir = path.Dir(file)
			}
		}
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	var failed error
	for _, dir := range dirs {
		if err := t.sweepDir(dir, tempPrefix+t.ID+"-"); err != nil {
			failed = err
		}
	}
	return failed
}

// sweepDir removes the entries of a directory whose names are a prefix and the number of an
// operation, unless that operation could not be undone. It keeps a removed directory that another
// program has written to since.
func (t *transaction) sweepDir(dir, prefix string) error {
	fd, err := openDir(dir, nil)
	if absent(err) || errors.Is(err, errRedirected) {
		return nil // the directory is out of reach
	}
	if err != nil {
		return err
	}
	p := &place{dir: fd, path: dir + "/*"}
	defer p.close()
	all, err := open(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	names, err := list(all, 0)
	closeFD(all)
	if err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	var found []string
	var of []*operation
	for _, name := range names {
		op := new(operation)
		rest, ok := strings.CutPrefix(name, prefix)
		if n := number(rest); n > 0 && n <= len(t.ops) {
			op = t.ops[n-1]
		}
		if ok && !op.stuck {
			found, of = append(found, name), append(of, op)
		}
	}
	if err = p.clear(found...); !notEmpty(err) {
		return err
	}
	for i, name := range found {
		if err = p.clear(name); notEmpty(err) {
			_, err = t.keep(p, name, of[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// notEmpty reports the error of removing a directory that is not empty.
func notEmpty(err error) bool { return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) }

// number returns the number that a text begins with, or 0.
func number(s string) (n int) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 1<<30 {
			return n
		}
		n = 10*n + int(c-'0')
	}
	return n
}
