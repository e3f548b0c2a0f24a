package agent

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// Before anything is written for a message of orders, each path is looked at: a file system that is
// read-only, a flag of chattr(1) or a mount point would stop the transaction half-way, and the
// kernel's words for them do not say which.

// obstacle is the error of what keeps an entry from being replaced or removed; nil when nothing is
// known to. It changes nothing.
func (h *host) obstacle(p string) error {
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
	if err := h.forbidden(fd, dir); err != nil || deeper {
		return err
	}
	entry, err := open(fd, path.Base(p), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer closeFD(entry)
	if id := mountID(entry); id != mountID(fd) {
		return errors.New(p + " is itself a mount point" + h.mounted(id) + ", so it can be neither replaced nor removed: unmount it, or leave it out of the configuration")
	}
	return flagged(entry, p)
}

// attrObstacle is the error of what keeps the attributes of an entry from being changed.
func (h *host) attrObstacle(p string) error {
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
	return h.forbidden(fd, p)
}

// forbidden is the error of an entry on a read-only file system, or with a flag that forbids
// changes.
func (h *host) forbidden(fd int, p string) error {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) == nil && st.Flags&unix.ST_RDONLY != 0 {
		return errors.New(p + " is on a read-only file system" + h.mounted(mountID(fd)) + ": make it writable first (mount -o remount,rw)")
	}
	return flagged(fd, p)
}

// mounted says what is mounted where, of a mount's number.
func (h *host) mounted(id int) string {
	entries, _ := h.mounts() // only the message suffers
	for i := range entries {
		if e := &entries[i]; e.id == id {
			what := e.source
			if e.root != "/" {
				what = e.root + " of " + what
			}
			return printable(" (" + what + ", mounted on " + e.point + ")")
		}
	}
	return ""
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
		return errors.New(p + " is immutable (lsattr). To permit changes: chattr -i " + p)
	case st.Attributes&unix.STATX_ATTR_APPEND != 0:
		return errors.New(p + " is append-only (lsattr). To permit other changes: chattr -a " + p)
	}
	return nil
}

// obstacleTo is the error of what keeps an operation from being done, as far as that can be seen
// without changing anything.
func (h *host) obstacleTo(op *wire.Op) error {
	var entries, directories []string
	switch {
	case op.Attr != nil:
		return h.attrObstacle(op.Attr.Path)
	case op.Path() != "":
		entries = []string{op.Path()}
	case op.Mount != nil && h.changesFstab(op.Mount):
		file, err := h.fstabFile()
		if err != nil {
			return err
		}
		entries = []string{file}
	case op.User != nil, op.Group != nil:
		entries = []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"}
	case op.Package != nil && !h.remounts():
		directories = []string{"/usr", "/etc", "/var/lib"}
	case op.Unit != nil && (op.Unit.Action == wire.UnitEnable || op.Unit.Action == wire.UnitDisable):
		directories = []string{"/etc/systemd/system"}
	}
	for _, p := range entries {
		if err := h.obstacle(p); err != nil {
			return err
		}
	}
	for _, p := range directories {
		if err := h.attrObstacle(p); err != nil {
			return err
		}
	}
	return nil
}

// changesFstab tells whether a mount is known to change fstab: it has a line, or lacks it.
func (h *host) changesFstab(op *wire.MountOp) bool {
	table, _ := readFile(h.fstab)
	there := slices.ContainsFunc(fstabLines(string(table)), func(l fstabLine) bool { return l.point() == op.Path })
	return there == op.Remove
}

// firstObstacle finds the first of some orders that cannot be done. What comes after one that shows
// other files on the paths of later ones is not looked at.
func (h *host) firstObstacle(orders []wire.Order) (id int, err error) {
	for i := range orders {
		op := &orders[i].Op
		if err := h.obstacleTo(op); err != nil {
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
func (h *host) remounts() bool {
	if h.facts.Packages != "apt" || h.attrObstacle("/usr") == nil {
		return false
	}
	o, err := ask(forever, "apt-config", "dump", "DPkg::Pre-Invoke")
	return err == nil && strings.Contains(o.stdout.String(), "remount")
}

// opens tells whether an operation shows other files on the paths of later ones.
func opens(op *wire.Op) bool {
	return op.Mount != nil || op.Package != nil ||
		op.Unit != nil && (strings.HasSuffix(op.Unit.Name, ".mount") || strings.HasSuffix(op.Unit.Name, ".automount"))
}
