package agent

import (
	"fmt"
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// pathOp performs an operation on a path. If it fails half-way, the rollback removes what it left.
func (t *transaction) pathOp(o *wire.Order) error {
	op := &o.Op
	b := &begun{ID: o.ID, Path: op.Path(), Undo: o.Undo, Final: o.Final, Private: o.Private}
	// Again, since an earlier operation may have mounted another file system here.
	if err := t.host.obstacles.toOp(op); err != nil {
		return err
	}
	p, err := openPlace(b.Path, &b.Made)
	switch {
	case absent(err) && op.Remove != nil:
		// The parent does not exist, and neither does the entry.
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

// placing performs an operation on a path after it was recorded.
type placing func(*place, *operation) error

// plan checks an operation as far as that changes nothing, completes its record, and returns the
// function that performs it; nil if no change is needed.
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

// planWrite plans to write a file.
func (t *transaction) planWrite(op *wire.WriteOp, p *place) (placing, error) {
	if p.was.Kind == wire.Directory {
		return nil, fmt.Errorf("%s is a directory, which is never replaced by a file", p.path)
	}
	if p.was.Kind == wire.Other {
		return nil, fmt.Errorf("%s is a device, socket or pipe, which is never replaced by a file", p.path)
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

// planSymlink plans to create a link.
func (t *transaction) planSymlink(target string, p *place) (placing, error) {
	if target == "" || len(target) >= unix.PathMax || strings.IndexByte(target, 0) >= 0 {
		return nil, fmt.Errorf("%s: invalid target %s of a link", p.path, quote(target))
	}
	if p.was.Kind == wire.Directory || p.was.Kind == wire.Other {
		return nil, fmt.Errorf("%s is a %s, which is never replaced by a link", p.path, p.was.Kind)
	}
	return func(p *place, rec *operation) error {
		if err := p.makeLink(t.temp(rec), target); err != nil {
			return err
		}
		return t.put(p, rec)
	}, nil
}

// planMkdir plans to create a directory.
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

// planAttr plans to change attributes, and completes their record.
func (t *transaction) planAttr(op *wire.AttrOp, p *place, b *begun) (placing, error) {
	want, err := p.wanted(t.host.accounts, op.Attributes)
	if err != nil {
		return nil, err
	}
	if err := p.severalLinks(p.was.Links); err != nil {
		return nil, err
	}
	b.Want = &mark{Kind: p.was.Kind, UID: want.uid, GID: want.gid, Mode: want.mode}
	b.Xattr = p.capability() // chown(2) removes it
	return func(p *place, _ *operation) error { return p.setAttrChecked(want) }, nil
}

// wanted completes the attributes that an entry is to get.
func (p *place) wanted(db *accountDB, at wire.Attributes) (a attributes, err error) {
	if p.was.Kind == wire.Absent {
		return a, p.wrap("change attributes of", unix.ENOENT)
	}
	if p.was.Kind == wire.Symlink && at.Mode != nil {
		return a, fmt.Errorf("%s is a link, and links have no mode", p.path)
	}
	return db.resolve(at, p.was, p.was.Kind, p.was.Mode)
}

// setAttrChecked changes owner, group and mode of exactly the file that was examined: another user
// might replace the path in the meantime.
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
		return fmt.Errorf("%s was replaced while it was being examined: plan again", p.path)
	}
	if err := p.severalLinks(stated(&st).Links); err != nil {
		return err
	}
	return p.setAttr(fd, want)
}

// severalLinks returns an error for a file with several hard links. The others may be anywhere:
// another user may have linked to a file of root. mirrorform never creates hard links.
func (p *place) severalLinks(links int) error {
	if links < 2 {
		return nil
	}
	return fmt.Errorf("refused: %s has %d hard links, which share owner, group and mode. "+
		"To list them: find / -xdev -samefile %s. To make it a separate file: cp -p %s %s.new && mv %s.new %s",
		p.path, links, p.path, p.path, p.path, p.path, p.path)
}
