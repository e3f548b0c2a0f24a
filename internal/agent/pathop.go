package agent

import (
	"fmt"
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// pathOp performs an operation on a path. What it leaves when it fails, the rollback takes away.
func (t *transaction) pathOp(o *wire.Order) error {
	op := &o.Op
	b := &begun{ID: o.ID, Path: op.Path(), Undo: o.Undo, Final: o.Final, Private: o.Private}
	// Once more, since what came before may have shown another file system here.
	if err := t.host.obstacles.toOp(op); err != nil {
		return err
	}
	p, err := openPlace(b.Path, &b.Made)
	switch {
	case absent(err) && op.Remove != nil:
		// Its parent is gone, and with it what was to be removed.
		p = &place{dir: -1, name: path.Base(b.Path), path: b.Path, was: &wire.File{Fingerprint: fingerprintAbsent}}
		b.Made = nil
	case err != nil && op.Parents() && len(b.Made) > 0:
		p = &place{dir: -1, name: path.Base(b.Path), path: b.Path, was: &wire.File{Fingerprint: fingerprintAbsent}}
	case err != nil:
		return err
	default:
		b.Made = nil
		b.Was, err = markAt(p.dir, p.name, p.path)
	}
	defer func() { p.close() }()
	if err != nil && p.dir >= 0 {
		return err
	}
	if b.Was == nil {
		b.Was = &mark{Sum: fingerprintAbsent}
	}
	if op.Expect != "" {
		if err := unchanged(p.path, op.Expect, p.was); err != nil {
			return err
		}
	}
	p.expect = p.was.Fingerprint
	put, err := t.plan(op, p, b)
	if err != nil {
		return err
	}
	b.What = b.Verb + " " + b.Path
	rec, err := t.begin(b)
	if err != nil {
		return err
	}
	if put == nil {
		return t.end(rec, &ended{}, false)
	}
	if p.dir < 0 {
		if err := makeDirs(b.Made); err != nil {
			return err
		}
		if p, err = at(b.Path); err != nil {
			p = &place{dir: -1}
			return err
		}
		p.expect = fingerprintAbsent
	}
	if err := put(p, rec); err != nil {
		return err
	}
	return t.end(rec, &ended{}, false)
}

// placing performs an operation on a path, once it is recorded.
type placing func(*place, *operation) error

// plan checks an operation as far as nothing need be changed for it, completes what is recorded of
// it, and returns what performs it; nothing when nothing is to be done.
func (t *transaction) plan(op *wire.Op, p *place, b *begun) (placing, error) {
	switch {
	case op.Write != nil:
		b.Verb = "write"
		return t.planWrite(op.Write, p)
	case op.Symlink != nil:
		b.Verb = "symlink"
		return t.planSymlink(op.Symlink.Target, p)
	case op.Mkdir != nil:
		b.Verb = "mkdir"
		return t.planMkdir(op.Mkdir, p)
	case op.Attr != nil:
		b.Verb = "attr"
		return t.planAttr(op.Attr, p, b)
	}
	b.Verb = "remove"
	if p.was.Kind == wire.Absent {
		return nil, nil
	}
	return t.takeOut, nil
}

// planWrite plans to put a file in place.
func (t *transaction) planWrite(op *wire.WriteOp, p *place) (placing, error) {
	if p.was.Kind == wire.Directory {
		return nil, fmt.Errorf("%s is a directory: it is not replaced by a file", p.path)
	}
	if p.was.Kind == wire.Other {
		return nil, fmt.Errorf("%s is a device, socket or pipe: it is not replaced by a file", p.path)
	}
	a, err := t.host.accounts.resolve(op.Attributes, p.was, wire.Regular, 0o644)
	if err != nil {
		return nil, err
	}
	if p.was.Kind == wire.Regular {
		a.xattrs = p.xattrs()
	}
	return func(p *place, rec *operation) error {
		content, err := t.host.contentOf(op)
		if err != nil {
			return err
		}
		name := t.temp(rec)
		if err := p.makeFile(name, content, a); err != nil {
			return err
		}
		if v := op.Validate; len(v) > 0 {
			if err := p.validate(t.host.programs, v, path.Join(path.Dir(p.path), name)); err != nil {
				return err
			}
		}
		return t.put(p, rec)
	}, nil
}

// planSymlink plans to put a link in place.
func (t *transaction) planSymlink(target string, p *place) (placing, error) {
	if target == "" || len(target) >= unix.PathMax || strings.IndexByte(target, 0) >= 0 {
		return nil, fmt.Errorf("%s: %s is no target of a link", p.path, quote(target))
	}
	if p.was.Kind == wire.Directory || p.was.Kind == wire.Other {
		return nil, fmt.Errorf("%s is a %s: it is not replaced by a link", p.path, p.was.Kind)
	}
	return func(p *place, rec *operation) error {
		if err := p.makeLink(t.temp(rec), target); err != nil {
			return err
		}
		return t.put(p, rec)
	}, nil
}

// planMkdir plans to put a directory in place.
func (t *transaction) planMkdir(op *wire.MkdirOp, p *place) (placing, error) {
	if p.was.Kind != wire.Absent {
		return nil, p.wrap("mkdir", unix.EEXIST)
	}
	a, err := t.host.accounts.resolve(op.Attributes, nil, wire.Directory, 0o755)
	if err != nil {
		return nil, err
	}
	return func(p *place, rec *operation) error {
		if err := p.makeDirectory(t.temp(rec), a); err != nil {
			return err
		}
		return t.put(p, rec)
	}, nil
}

// planAttr plans to change attributes, and completes what is recorded of that.
func (t *transaction) planAttr(op *wire.AttrOp, p *place, b *begun) (placing, error) {
	want, err := p.wanted(t.host.accounts, op.Attributes)
	if err != nil {
		return nil, err
	}
	if err := p.severalLinks(p.was.Links); err != nil {
		return nil, err
	}
	b.Want = &mark{Kind: p.was.Kind, UID: want.uid, GID: want.gid, Mode: want.mode}
	b.Xattr = p.capability() // chown(2) takes it away
	return func(p *place, _ *operation) error { return p.setAttrChecked(want) }, nil
}

// wanted completes the attributes that an entry is to have.
func (p *place) wanted(db *accountDB, at wire.Attributes) (a attributes, err error) {
	if p.was.Kind == wire.Absent {
		return a, p.wrap("change attributes of", unix.ENOENT)
	}
	if p.was.Kind == wire.Symlink && at.Mode != nil {
		return a, fmt.Errorf("%s is a link, which has no mode", p.path)
	}
	return db.resolve(at, p.was, p.was.Kind, p.was.Mode)
}

// setAttrChecked changes owner, group and mode of what is expected to be there: of the very file
// that was examined, for another user may exchange it meanwhile.
func (p *place) setAttrChecked(want attributes) error {
	fd, err := open(p.dir, p.name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return p.wrap("open", err)
	}
	defer closeFD(fd)
	now, examined, err := examine(p.dir, p.name, p.path, nil)
	if err != nil {
		return err
	}
	if err := unchanged(p.path, p.expect, now); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return p.wrap("stat", err)
	}
	if inodeOf(&st) != examined {
		return fmt.Errorf("%s has been exchanged while it was examined: plan again", p.path)
	}
	if err := p.severalLinks(stated(&st).Links); err != nil {
		return err
	}
	return p.setAttr(fd, want)
}

// severalLinks is the error of a file that has other names, which may lie anywhere: somebody may
// have linked to a file of root's. mirrorform makes no hard links.
func (p *place) severalLinks(links int) error {
	if links < 2 {
		return nil
	}
	return fmt.Errorf("refused: %s has %d hard links, and its owner, group and mode are those of all of them. To see them: find / -xdev -samefile %s. To make it a file of its own: cp -p %s %s.new && mv %s.new %s", p.path, links, p.path, p.path, p.path, p.path, p.path)
}
