package agent

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/claim"
	"golang.org/x/sys/unix"
)

// askTree answers AskTree. It never walks the directory tree: a tree with a million files takes no
// longer than its top directory.
func (b *batch) askTree(q wire.Query) wire.Answer {
	entries, err := b.mounts()
	if err != nil {
		return failed(err)
	}
	t := &wire.Tree{}
	w, there, err := placeOf(entries, q.Arg)
	if err != nil {
		return failed(err)
	}
	defer w.close()
	t.Place = there
	for _, other := range q.Args {
		o, p, err := placeOf(entries, other)
		if err != nil {
			return failed(err)
		}
		o.close()
		t.Others = append(t.Others, p)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.point, strings.TrimSuffix(t.Real, "/")+"/") && e.point != t.Real && !slices.Contains(t.Mounts, e.point) {
			t.Mounts = append(t.Mounts, e.point)
		}
	}
	slices.Sort(t.Mounts)
	if w.mount != nil {
		t.On = printable(w.mount.kind + " " + w.mount.source)
	}
	if e := mountAt(entries, t.Real); e != nil && e.root != "/" && !slices.Contains(e.options, "subvol="+e.root) {
		t.Bound = printable(e.root)
	}
	if w.missing != "" {
		return wire.Answer{Tree: t}
	}
	if t.Kind = stated(&w.st).Kind; t.Kind != wire.Directory {
		return wire.Answer{Tree: t}
	}
	fd, err := w.reopen(unix.O_RDONLY | unix.O_DIRECTORY)
	if err != nil {
		return failed(err)
	}
	defer closeFD(fd)
	id, err := claim.OfFD(fd)
	if err != nil {
		return failed(fmt.Errorf("identify the directory %s: %w", t.Real, err))
	}
	t.Identity = id.String()
	if t.Entries, t.More, err = firstEntries(fd); err != nil {
		return failed(fmt.Errorf("read %s: %w", t.Real, err))
	}
	return wire.Answer{Tree: t}
}

// firstEntries returns the first names in a directory, and whether there are more.
func firstEntries(fd int) (names []string, more bool, err error) {
	all, err := list(fd, 4*wire.MaxTreeEntries) // a directory with more names is not read to its end
	if err != nil {
		return nil, false, err
	}
	for _, name := range all {
		var st unix.Stat_t
		directory := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
		if name == "lost+found" && directory {
			continue
		}
		if len(names) == wire.MaxTreeEntries {
			return names, true, nil
		}
		if name = printable(name); directory {
			name += "/"
		}
		names = append(names, name)
	}
	return names, len(all) > 4*wire.MaxTreeEntries, nil
}

// reached is the nearest existing directory on a path, and the rest of the path below it.
type reached struct {
	*way
	missing string
	mount   *mountEntry // of the directory
}

// placeOf returns where a path leads.
func placeOf(entries []mountEntry, p string) (reached, wire.Place, error) {
	pl := wire.Place{Path: p}
	if err := checkPath(p); err != nil {
		return reached{}, pl, err
	}
	rest, dir := "", p
	w, err := walk(dir, nil)
	for absent(err) && dir != "/" {
		if isLink(dir) {
			return reached{}, pl, fmt.Errorf("%s is a link to a path that does not exist", dir)
		}
		rest, dir = path.Join(path.Base(dir), rest), path.Dir(dir)
		w, err = walk(dir, nil)
	}
	if err != nil {
		return reached{}, pl, err
	}
	resolved, err := w.real()
	if err != nil {
		w.close()
		return reached{}, pl, fmt.Errorf("find the real path of %s: %w", dir, err)
	}
	pl.Real = path.Join(resolved, rest)
	id := mountID(w.fd)
	var mount *mountEntry
	for i := range entries {
		if e := &entries[i]; e.id == id {
			mount = e
			pl.At = e.dev + ":" + path.Join(e.root, strings.TrimPrefix(pl.Real, strings.TrimSuffix(e.point, "/")))
		}
	}
	return reached{w, rest, mount}, pl, nil
}

// isLink reports whether a path is a link.
func isLink(p string) bool {
	w, name, err := parentOf(p)
	if err != nil {
		return false
	}
	defer w.close()
	_, err = readLink(w.fd, name)
	return err == nil
}

// claimed turns a ClaimOp into a WriteOp of its file.
func claimed(op *wire.ClaimOp) (*wire.WriteOp, error) {
	if err := checkPath(op.Tree); err != nil {
		return nil, err
	}
	dir, err := openDir(op.Tree, nil) // no other user can redirect this path
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", op.Tree, err)
	}
	defer closeFD(dir)
	fd, err := open(unix.AT_FDCWD, procFD(dir), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", op.Tree, err)
	}
	defer closeFD(fd)
	id, err := claim.OfFD(fd)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", op.Tree, err)
	}
	if op.Identity != "" && op.Identity != id.String() {
		was, err := claim.Parse(op.Identity)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s is not the directory that was observed (%s): plan again", op.Tree, was.Differs(id))
	}
	if op.Identity == "" {
		names, _, err := firstEntries(fd)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", op.Tree, err)
		}
		if len(names) > 0 {
			return nil, fmt.Errorf("%s is no longer empty, it contains %s: plan again", op.Tree, names[0])
		}
	}
	mode, root := uint32(0o644), "0"
	w := &wire.WriteOp{Path: op.Path, Content: []byte(id.String()), Parents: true, Attributes: wire.Attributes{Mode: &mode}}
	if unix.Geteuid() == 0 {
		w.Owner, w.Group = &root, &root
	}
	return w, nil
}
