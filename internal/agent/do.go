package agent

import (
	"errors"
	"slices"

	"github.com/mirrorform/mirrorform/internal/wire"
)

// finished is an operation that was done and not undone.
type finished struct {
	order wire.Order
}

// job is one operation to be performed.
type job struct {
	op   *wire.Op
	id   int  // of its order: the name of what the journal keeps
	keep bool // the original is kept first
}

// do performs orders until one fails or the controller is gone; then it undoes what was done of that one's group.
func (s *session) do(alive *life, orders []wire.Order) *wire.Done {
	for _, o := range orders {
		s.event(o.ID, wire.Started, nil)
		err := s.order(alive, o)
		if err == nil {
			s.done = append(s.done, &finished{o})
			s.event(o.ID, wire.Finished, nil)
			continue
		}
		s.event(o.ID, wire.Failed, err)
		var group []*finished
		for _, f := range s.done {
			if f.order.Group == o.Group && f.order.Undo != nil && has(orders, f.order.ID) {
				group = append(group, f)
			}
		}
		s.takeBack(group)
		return &wire.Done{Failed: &o.ID}
	}
	return &wire.Done{}
}

func has(orders []wire.Order, id int) bool {
	return slices.ContainsFunc(orders, func(o wire.Order) bool { return o.ID == id })
}

func (s *session) order(alive *life, o wire.Order) error {
	if why := alive.over(); why != nil {
		return because("not begun", why)
	}
	if slices.ContainsFunc(s.done, func(f *finished) bool { return f.order.ID == o.ID }) {
		return errors.New("an operation with the ID " + itoa(o.ID) + " was done already")
	}
	keep := o.Undo != nil && o.Undo.Restore != nil
	if keep && (o.Op.Path() == "" || o.Undo.Restore.Path != o.Op.Path()) {
		return errors.New(quote(o.Undo.Restore.Path) + " cannot be restored: the operation changes " + quote(o.Op.Path()))
	}
	return guard(func() error { return s.perform(job{&o.Op, o.ID, keep}) })
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

// takeBack undoes operations in reverse order, all that it can, and returns the ID of the first that failed.
func (s *session) takeBack(which []*finished) (failed *int) {
	for _, f := range slices.Backward(which) {
		err := errors.New("this operation cannot be undone")
		if f.order.Undo != nil {
			err = guard(func() error { return s.perform(job{op: f.order.Undo, id: f.order.ID}) })
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
