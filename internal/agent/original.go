package agent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// Until the transaction is committed, an operation on a path keeps the original beside it, under a
// temporary name. So a rollback needs no space, and restores the same inode with all its
// attributes.

// temp returns the temporary name of an operation: of the new content before it is put in place,
// and of the original afterwards.
func (t *transaction) temp(op *operation) string {
	return fmt.Sprintf("%s%s-%d", tempPrefix, t.ID, op.n)
}

// copied returns the name of the copy of the original, on file systems that cannot exchange
// entries.
func (t *transaction) copied(op *operation) string { return t.temp(op) + "-copy" }

// put records the new content under the temporary name, and puts it in place. The original, if
// there is one, gets the temporary name.
func (t *transaction) put(p *place, op *operation) error {
	name := t.temp(op)
	now, err := markAt(p.dir, name, p.path)
	if err != nil {
		return err
	}
	if err := t.prepared(op, &ready{New: now}); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if op.Was.Kind == wire.Absent {
		// The kernel makes sure that nothing was created in between, if the file system supports it.
		err := t.host.files.move(p.dir, name, p.dir, p.name)
		if errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s has changed since it was observed: it was absent and now exists: plan again", p.path)
		}
		if err != nil {
			return p.wrap("rename", err)
		}
		return p.sync()
	}
	err = t.host.files.exchange(p.dir, name, p.name)
	if unsupported(err) {
		return t.putByCopy(p, op)
	}
	if err != nil {
		return p.wrap("exchange", err)
	}
	out, err := markAt(p.dir, name, p.path)
	if err == nil && !out.is(op.Was, nil) {
		err = fmt.Errorf("%s has changed since it was observed, just before it was replaced: plan again", p.path)
	}
	if err != nil {
		return t.exchangeBack(p, name, now, op, err)
	}
	return p.sync()
}

// exchangeBack undoes an exchange that hit a different file than expected; why is the error to
// return. If another program has replaced the path in the meantime, its file is kept.
func (t *transaction) exchangeBack(p *place, name string, ours *mark, op *operation, why error) error {
	if err := t.host.files.exchange(p.dir, name, p.name); err != nil {
		return fmt.Errorf("%w; the original could not be restored: %w", why, err)
	}
	if out, err := markAt(p.dir, name, p.path); err == nil && !out.is(ours, nil) {
		kept, err := t.keep(p, name, op)
		if err != nil {
			return fmt.Errorf("%w; the file that replaced it in the meantime could not be kept: %w", why, err)
		}
		why = fmt.Errorf("%w; the file that replaced it in the meantime is kept in %s", why, kept)
	}
	if err := p.sync(); err != nil {
		return fmt.Errorf("%w: %w", why, err)
	}
	return why
}

// putByCopy is put for file systems that cannot exchange entries: it first copies the original.
func (t *transaction) putByCopy(p *place, op *operation) error {
	if err := copyEntry(p, p.name, p.dir, t.copied(op)); err != nil {
		return fmt.Errorf("keep the original of %s: %w", p.path, err)
	}
	if err := p.sync(); err != nil {
		return err
	}
	if err := t.prepared(op, &ready{New: op.ready.New, Copied: true}); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if err := rename(p.dir, t.temp(op), p.dir, p.name); err != nil {
		return p.wrap("rename", err)
	}
	return p.sync()
}

// takeOut removes a file, a link or an empty directory: it stays under the temporary name. A
// directory may still contain entries that this transaction has removed from it.
func (t *transaction) takeOut(p *place, op *operation) error {
	if err := p.check(); err != nil {
		return err
	}
	if err := t.checkEmptied(p, p.name, op); err != nil {
		return err
	}
	name := t.temp(op)
	if err := t.host.files.move(p.dir, p.name, p.dir, name); err != nil {
		return p.wrap("rename", err)
	}
	out, err := markAt(p.dir, name, p.path)
	if err == nil && !out.is(op.Was, nil) {
		err = fmt.Errorf("%s has changed since it was observed, just before it was removed: plan again", p.path)
	}
	if err == nil {
		err = t.checkEmptied(p, name, op)
	}
	if err != nil {
		if back := t.host.files.move(p.dir, name, p.dir, p.name); back != nil {
			return fmt.Errorf("%w; the original could not be restored: %w", err, back)
		}
		return err
	}
	return p.sync()
}

// checkEmptied returns an error if an operation removes a directory that contains anything but
// originals of this transaction.
func (t *transaction) checkEmptied(p *place, name string, op *operation) error {
	if op.Was.Kind != wire.Directory {
		return nil
	}
	fd, err := open(p.dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return p.wrap("open", err)
	}
	defer closeFD(fd)
	names, err := list(fd, 0)
	if err != nil {
		return p.wrap("read", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix+t.ID+"-") {
			return fmt.Errorf("%s is not empty, so it is not removed", p.path)
		}
	}
	return nil
}

// capability returns the extended attribute with a file's capabilities.
func (p *place) capability() []xattr {
	fd, err := open(p.dir, p.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer closeFD(fd)
	value := make([]byte, 1024)
	n, err := unix.Fgetxattr(fd, "security.capability", value)
	if err != nil {
		return nil
	}
	return []xattr{{"security.capability", value[:n]}}
}

// copyEntry copies a file or link with all its attributes to a new name. The content is synced, the
// name is not.
func copyEntry(p *place, name string, toDir int, to string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(p.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := readLink(p.dir, name)
		if err != nil {
			return err
		}
		if err := symlink(target, toDir, to); err != nil {
			return err
		}
		fd, err := open(toDir, to, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer closeFD(fd)
		return chownPath(fd, int(st.Uid), int(st.Gid))
	case unix.S_IFREG:
	default:
		return errors.New("not a file or link")
	}
	in, err := open(p.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer closeFD(in)
	from := &place{dir: p.dir, name: name}
	out, err := create(toDir, to, 0o600)
	if err != nil {
		return err
	}
	_, _, err = digest(in, func(b []byte) error { return writeAll(out, b) })
	if err == nil {
		a := attributes{
			uid: int(st.Uid), gid: int(st.Gid), mode: st.Mode & 0o7777, xattrs: append(from.xattrs(), from.capability()...),
		}
		err = a.complete(out, []unix.Timespec{
			unix.NsecToTimespec(st.Atim.Nano()), unix.NsecToTimespec(st.Mtim.Nano()),
		})
	}
	if closed := unix.Close(out); err == nil {
		err = closed
	}
	return err
}

// keep moves an entry permanently to the directory kept/ID of the state directory, and returns its
// path there.
func (t *transaction) keep(p *place, name string, op *operation) (string, error) {
	dir := "kept/" + t.ID
	if err := t.host.state.make(dir); err != nil {
		return "", err
	}
	dir = t.host.state.dir + "/" + dir
	fd, err := openDir(dir, nil)
	if err != nil {
		return "", err
	}
	defer closeFD(fd)
	for n := 1; ; n++ {
		to := strconv.Itoa(op.n)
		if n > 1 {
			to += fmt.Sprintf(".%d", n)
		}
		err := t.host.files.move(p.dir, name, fd, to)
		if errors.Is(err, unix.EEXIST) && n < 100 {
			continue
		}
		if errors.Is(err, unix.EXDEV) {
			if err = copyEntry(p, name, fd, to); err == nil {
				err = syncDir(fd)
			}
			if err == nil {
				err = unlink(p.dir, name)
			}
		}
		if err == nil {
			err = syncDir(fd)
		}
		if err != nil {
			return "", fmt.Errorf("keep the original of %s: %w", p.path, err)
		}
		t.kept = dir
		return dir + "/" + to, nil
	}
}
