package agent

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// Before anything is written for a message of orders, each path is looked at: a file system that is
// read-only, a flag of chattr(1) or a mount point would stop the transaction half-way, and the
// kernel's words for them do not say which.

// obstacles finds what would keep operations from being done.
type obstacles struct {
	storage *storage
	apt     bool
}

// to is the error of what keeps an entry from being replaced or removed; nil when nothing is
// known to. It changes nothing.
func (o *obstacles) to(p string) error {
	dir, deeper := path.Dir(p), false
	fd, err := openDir(dir, nil)
	for absent(err) && dir != "/" {
		dir, deeper = path.Dir(dir), true
		fd, err = openDir(dir, nil)
	}
	if err != nil {
		return nil // the operation itself says so
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
		return fmt.Errorf("%s is itself a mount point%s, so it can be neither replaced nor removed: unmount it, or leave it out of the configuration", p, o.storage.mounted(id))
	}
	return flagged(entry, p)
}

// toAttributes is the error of what keeps the attributes of an entry from being changed.
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

// forbidden is the error of an entry on a read-only file system, or with a flag that forbids
// changes.
func (o *obstacles) forbidden(fd int, p string) error {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) == nil && st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("%s is on a read-only file system%s: make it writable first (mount -o remount,rw)", p, o.storage.mounted(mountID(fd)))
	}
	return flagged(fd, p)
}

// flagged is the error of an entry with a flag of chattr(1) that forbids changes. Not each kernel
// and file system tells.
func flagged(fd int, p string) error {
	var st unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE, &st) != nil {
		return nil
	}
	switch {
	case st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return fmt.Errorf("%s is immutable (lsattr). To permit changes: chattr -i %s", p, p)
	case st.Attributes&unix.STATX_ATTR_APPEND != 0:
		return fmt.Errorf("%s is append-only (lsattr). To permit other changes: chattr -a %s", p, p)
	}
	return nil
}

// toOp is the error of what keeps an operation from being done, as far as that can be seen
// without changing anything.
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

// first finds the first of some orders that cannot be done. What comes after one that shows
// other files on the paths of later ones is not looked at.
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

// remounts tells whether the package manager makes a read-only /usr writable itself, as apt.conf(5)
// can have it.
func (o *obstacles) remounts() bool {
	if !o.apt || o.toAttributes("/usr") == nil {
		return false
	}
	hooks, err := ask(context.Background(), "apt-config", "dump", "DPkg::Pre-Invoke")
	return err == nil && strings.Contains(hooks.stdout.String(), "remount")
}

// opens tells whether an operation shows other files on the paths of later ones.
func opens(op *wire.Op) bool {
	return op.Mount != nil || op.Package != nil ||
		op.Unit != nil && (strings.HasSuffix(op.Unit.Name, ".mount") || strings.HasSuffix(op.Unit.Name, ".automount"))
}
