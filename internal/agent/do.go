package agent

import (
	"errors"
	"slices"

	"github.com/mirrorform/mirrorform/internal/wire"
)

// finished is an operation that was done and not undone.
type finished struct {
	order wire.Order
	unit  *unitState // what its undo brings back, where that is UnitRestore
}

// restores names the unit that undoing the operation restores, or is "".
func (f *finished) restores() string {
	if u := f.order.Undo; u != nil && u.Unit != nil && u.Unit.Action == wire.UnitRestore {
		return u.Unit.Name
	}
	return ""
}

// last tells whether the operation is undone after all others: a unit is to load the files that they put back. A unit that is
// restored gets the state that is given.
func (f *finished) last(was *unitState) bool {
	if f.restores() != "" {
		return was.running
	}
	u := f.order.Undo
	return u != nil && u.Unit != nil && slices.Contains([]wire.UnitAction{wire.UnitStart, wire.UnitRestart, wire.UnitLoad}, u.Unit.Action)
}

// job is one operation to be performed.
type job struct {
	op   *wire.Op
	id   int        // of its order: the name of what the journal keeps
	keep bool       // the original is kept first
	unit *unitState // what UnitRestore brings back
}

// do performs orders until one fails or the controller is gone; then it undoes what was done of that one's group.
func (s *session) do(orders []wire.Order) *wire.Done {
	earlier := len(s.done)
	for _, o := range orders {
		s.event(o.ID, wire.Started, nil)
		f := &finished{order: o}
		err := s.order(f)
		if err == nil {
			s.done = append(s.done, f)
			s.event(o.ID, wire.Finished, nil)
			continue
		}
		s.event(o.ID, wire.Failed, err)
		var group []*finished
		for _, f := range s.done[earlier:] {
			if f.order.Group == o.Group && f.order.Undo != nil {
				group = append(group, f)
			}
		}
		s.takeBack(group)
		return &wire.Done{Failed: &o.ID}
	}
	return &wire.Done{}
}

func (s *session) order(f *finished) error {
	o := f.order
	if why := s.alive.over(); why != nil {
		return because("not begun", why)
	}
	if slices.ContainsFunc(s.done, func(f *finished) bool { return f.order.ID == o.ID }) {
		return errors.New("an operation with the ID " + itoa(o.ID) + " was done already")
	}
	keep := o.Undo != nil && o.Undo.Restore != nil
	if keep && (o.Op.Path() == "" || o.Undo.Restore.Path != o.Op.Path()) {
		return errors.New(quote(o.Undo.Restore.Path) + " cannot be restored: the operation changes " + quote(o.Op.Path()))
	}
	if unit := f.restores(); unit != "" {
		if o.Op.Unit == nil || o.Op.Unit.Name != unit {
			return errors.New("the unit " + quote(unit) + " cannot be restored: the operation does not act on it")
		}
		if err := guard(func() (err error) { f.unit, err = s.host.unitState(unit); return err }); err != nil {
			return err
		}
	}
	return guard(func() error { return s.perform(job{op: &o.Op, id: o.ID, keep: keep}) })
}

// undo takes back operations of this connection.
func (s *session) undo(ids []int) *wire.Done {
	var which []*finished
	for _, f := range s.done {
		if slices.Contains(ids, f.order.ID) {
			which = append(which, f)
		}
	}
	return &wire.Done{Failed: s.takeBack(which)}
}

// takeBack undoes operations in the order that wire.Do describes, all that it can, and returns the ID of the first that failed.
func (s *session) takeBack(which []*finished) (failed *int) {
	// Of several states of a unit, the one that it had before the first operation is brought back, once.
	was, restored := map[string]*unitState{}, map[string]bool{}
	for _, f := range which {
		if unit := f.restores(); unit != "" && was[unit] == nil {
			was[unit] = f.unit
		}
	}
	var now, last []*finished
	for _, f := range slices.Backward(which) {
		if f.last(was[f.restores()]) {
			last = append(last, f)
		} else {
			now = append(now, f)
		}
	}
	for _, f := range append(now, last...) {
		err := errors.New("this operation cannot be undone")
		switch unit := f.restores(); {
		case restored[unit]:
			err = nil
		case f.order.Undo != nil:
			err = guard(func() error { return s.perform(job{op: f.order.Undo, id: f.order.ID, unit: was[unit]}) })
			restored[unit] = err == nil && unit != ""
		}
		if err == nil {
			s.done = slices.DeleteFunc(s.done, func(d *finished) bool { return d == f })
			s.event(f.order.ID, wire.Undone, nil)
			continue
		}
		if failed == nil {
			failed = &f.order.ID
		}
		if f.order.Undo != nil && f.order.Undo.Restore != nil && s.journal.dir != "" {
			s.journal.kept = true
			err = &failure{message: err.Error() + "; the original is kept in " + s.journal.dir + "/" + itoa(f.order.ID) + ".data", output: outputOf(err)}
		}
		s.event(f.order.ID, wire.UndoFailed, err)
	}
	return failed
}

func (s *session) event(id int, state wire.State, err error) {
	e := &wire.Event{ID: id, State: state}
	if err != nil {
		e.Error, e.Output = printable(err.Error()), outputOf(err)
	}
	_ = s.send(&wire.Message{Event: e}) // events are always small enough
}

// performOp performs one operation.
func (s *session) performOp(j job) error {
	op, h := j.op, s.host
	if op.Path() != "" {
		return s.pathOp(j)
	}
	switch {
	case op.Restore != nil:
		return s.journal.restore(j.id, op.Restore.Path)
	case op.Package != nil:
		return h.pkg(op.Package)
	case op.Unit != nil:
		if op.Unit.Action == wire.UnitRestore {
			return h.restoreUnit(op.Unit.Name, j.unit)
		}
		return h.unit(op.Unit)
	case op.User != nil:
		return h.user(op.User)
	case op.Group != nil:
		return h.groupOp(op.Group)
	case op.Mkfs != nil:
		return h.mkfs(op.Mkfs)
	case op.Mount != nil:
		return h.mount(op.Mount)
	case op.Probe != nil:
		return probeHTTP(op.Probe)
	case op.Run != nil:
		return runOp(op.Run)
	}
	return errors.New("an operation of a kind that this helper does not know: replace the helper")
}

// pathOp performs an operation on a path.
func (s *session) pathOp(j job) (err error) {
	op, open := j.op, at
	if op.Parents() {
		open = atWithParents
	}
	p, err := open(op.Path())
	if absent(err) && op.Remove != nil {
		// Its parent is gone, and with it what was to be removed.
		if op.Expect != "" && op.Expect != fingerprintAbsent {
			return unchanged(op.Path(), op.Expect, &wire.File{Fingerprint: fingerprintAbsent})
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	defer func() {
		if err != nil {
			removeMade(p.made)
		}
	}()
	p.expect = op.Expect
	if p.expect != "" {
		if err := unchanged(p.path, p.expect, p.was); err != nil {
			return err
		}
	}
	if j.keep {
		if err := s.journal.save(j.id, p, op.Attr != nil); err != nil {
			return err
		}
	}
	switch {
	case op.Write != nil:
		a, err := s.host.resolve(op.Write.Attributes, p.was, wire.Regular, 0o644)
		if err != nil {
			return err
		}
		return p.write(op.Write.Content, a, nil, op.Write.Validate)
	case op.Mkdir != nil:
		a, err := s.host.resolve(op.Mkdir.Attributes, nil, wire.Directory, 0o755)
		if err != nil {
			return err
		}
		return p.mkdir(a)
	case op.Symlink != nil:
		return p.symlink(op.Symlink.Target)
	case op.Attr != nil:
		return p.attr(s.host, op.Attr.Attributes)
	}
	return p.remove()
}

func runOp(op *wire.RunOp) error {
	timeout := seconds(op.Timeout, opTimeout)
	_, err := must(forever, command{argv: op.Argv, timeout: timeout, merge: true, refuse: op.Refuse})
	return err
}
