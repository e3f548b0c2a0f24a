package agent

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// Before the first change of a message of orders, every path in it is checked: a read-only file
// system, a flag of chattr(1) or a mount point would stop the transaction half-way, and the
// kernel's error does not say which of them it was.

// obstacles finds reasons why an operation would fail.
type obstacles struct {
	storage *storage
	apt     bool
}

// to returns why an entry cannot be replaced or removed, or nil if no reason is known. It changes
// nothing.
func (o *obstacles) to(p string) error {
	dir, deeper := path.Dir(p), false
	fd, err := openDir(dir, nil)
	for absent(err) && dir != "/" {
		dir, deeper = path.Dir(dir), true
		fd, err = openDir(dir, nil)
	}
	if err != nil {
		return nil // the operation itself reports the error
	}
	defer closeFD(fd)
	if err := o.forbidden(fd, dir); err != nil || deeper {
		return err
	}
	entry, err := open(fd, path.Base(p), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer closeFD(entry)
	if id := mountID(entry); id != mountID(fd) {
		return fmt.Errorf("%s is itself a mount point%s, so it can be neither replaced nor removed: unmount it, or remove it "+
			"from the configuration", p, o.storage.mounted(id))
	}
	return flagged(entry, p)
}

// toAttributes returns why the attributes of an entry cannot be changed, or nil.
func (o *obstacles) toAttributes(p string) error {
	dir, err := openDir(path.Dir(p), nil)
	if err != nil {
		return nil
	}
	defer closeFD(dir)
	fd, err := open(dir, path.Base(p), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer closeFD(fd)
	return o.forbidden(fd, p)
}

// forbidden returns the error of an entry on a read-only file system, or with a flag that forbids
// changes.
func (o *obstacles) forbidden(fd int, p string) error {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) == nil && st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("%s is on a read-only file system%s: remount it writable first (mount -o remount,rw MOUNTPOINT)",
			p, o.storage.mounted(mountID(fd)))
	}
	return flagged(fd, p)
}

// flagged returns the error of an entry with a flag of chattr(1) that forbids changes. Not every
// kernel and file system reports the flags.
func flagged(fd int, p string) error {
	var st unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE, &st) != nil {
		return nil
	}
	switch {
	case st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return fmt.Errorf("%s is immutable (lsattr); to allow changes: chattr -i %s", p, p)
	case st.Attributes&unix.STATX_ATTR_APPEND != 0:
		return fmt.Errorf("%s is append-only (lsattr); to allow other changes: chattr -a %s", p, p)
	}
	return nil
}

// toOp returns why an operation would fail, as far as that can be seen without changing anything.
func (o *obstacles) toOp(op *wire.Op) error {
	var entries, directories []string
	switch {
	case op.Attr != nil:
		return o.toAttributes(op.Attr.Path)
	case op.Path() != "":
		entries = []string{op.Path()}
	case op.Mount != nil && o.storage.fstab.changes(op.Mount):
		file, err := o.storage.fstab.target()
		if err != nil {
			return err
		}
		entries = []string{file}
	case op.User != nil, op.Group != nil:
		entries = []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"}
	case op.Package != nil && !o.remounts():
		directories = []string{"/usr", "/etc", "/var/lib"}
	case op.Unit != nil && (op.Unit.Action == wire.UnitEnable || op.Unit.Action == wire.UnitDisable):
		directories = []string{"/etc/systemd/system"}
	}
	for _, p := range entries {
		if err := o.to(p); err != nil {
			return err
		}
	}
	for _, p := range directories {
		if err := o.toAttributes(p); err != nil {
			return err
		}
	}
	return nil
}

// first finds the first of the orders that would fail. It stops at an operation that may change
// which files are on the paths of later ones.
func (o *obstacles) first(orders []wire.Order) (id int, err error) {
	for i := range orders {
		op := &orders[i].Op
		if err := o.toOp(op); err != nil {
			return orders[i].ID, err
		}
		if opens(op) {
			break
		}
	}
	return 0, nil
}

// remounts reports whether apt remounts a read-only /usr writable by itself, with a hook as in
// apt.conf(5).
func (o *obstacles) remounts() bool {
	if !o.apt || o.toAttributes("/usr") == nil {
		return false
	}
	hooks, err := ask(context.Background(), "apt-config", "dump", "DPkg::Pre-Invoke")
	return err == nil && strings.Contains(hooks.stdout.String(), "remount")
}

// opens reports whether an operation may change which files are on the paths of later ones.
func opens(op *wire.Op) bool {
	return op.Mount != nil || op.Package != nil ||
		op.Unit != nil && (strings.HasSuffix(op.Unit.Name, ".mount") || strings.HasSuffix(op.Unit.Name, ".automount"))
}
