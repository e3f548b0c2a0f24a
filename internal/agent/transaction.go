package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// transaction is the changes between Begin and Commit, or those that an earlier process left.
type transaction struct {
	journal
	host *host

	stays []string // operations that were done and not undone, for the operator
	kept  string   // directory of originals whose paths another program has changed
	event func(id int, state wire.State, err error)
	// Tests that feed arbitrary messages set harmless functions here.
	answer  func(context.Context, []wire.Query) []wire.Answer
	perform func(job) error
}

// job is one operation to perform: an order, or the undo of one.
type job struct {
	order *wire.Order
	undo  *operation
	unit  *unitState // for an undo with UnitRestore: the state to restore
}

func newTransaction(h *host, of header) *transaction {
	t := &transaction{journal: journal{header: of, log: -1}, host: h, answer: h.answer, event: func(int, wire.State, error) {}}
	t.perform = t.performJob
	return t
}

// open creates the journal. It runs before the first change.
func (t *transaction) open() error {
	if t.dir != "" {
		return nil
	}
	h := t.host
	if err := h.state.make("journal"); err != nil {
		return err
	}
	const noUnit = "nothing was changed: the unit that recovers this host after a power failure could not be created"
	if h.boot != nil {
		err := h.boot.obstacle(h.obstacles)
		if err != nil {
			return fmt.Errorf("%s: %w", noUnit, err)
		}
		if t.Made, err = h.boot.missing(); err != nil {
			return fmt.Errorf("boot unit: %w", err)
		}
	}
	if err := t.make(h.state.dir+"/journal", h.files); err != nil {
		return err
	}
	if h.boot == nil {
		return nil
	}
	err := makeDirs(t.Made)
	if err == nil {
		err = h.boot.enable(h.files)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", noUnit, err)
	}
	return nil
}

// do performs one order and records it.
func (t *transaction) do(o *wire.Order) error {
	if slices.ContainsFunc(t.ops, func(op *operation) bool { return op.ID == o.ID }) {
		return fmt.Errorf("an operation with ID %d was already done", o.ID)
	}
	if u := o.Undo; u != nil && u.Restore != nil && (o.Op.Path() == "" || u.Restore.Path != o.Op.Path()) {
		return fmt.Errorf("the undo cannot restore %s: the operation changes %s", quote(u.Restore.Path), quote(o.Op.Path()))
	}
	if o.Undo != nil && o.Undo.Path() != "" {
		return fmt.Errorf("the undo of %s must be a restore, not another operation on a path", quote(o.Op.Path()))
	}
	if unit := restores(o.Undo); unit != "" && o.Op.Run == nil && (o.Op.Unit == nil || o.Op.Unit.Name != unit) {
		return fmt.Errorf("the undo cannot restore the unit %s: the operation does not change it", quote(unit))
	}
	return guard(func() error {
		if o.Op.Claim != nil {
			write, err := claimed(o.Op.Claim)
			if err != nil {
				return err
			}
			order := *o
			order.Op.Claim, order.Op.Write = nil, write
			o = &order
		}
		if o.Op.Path() != "" {
			return t.perform(job{order: o})
		}
		b, err := t.describe(o)
		if err != nil {
			return err
		}
		op, err := t.begin(b)
		if err != nil {
			return err
		}
		if err := t.perform(job{order: o}); err != nil {
			return err
		}
		e := &ended{}
		if op.Packages != nil {
			now, _, err := t.host.packages.list()
			if err != nil {
				return err
			}
			e.Brought = without(now, op.Packages)
		}
		return t.end(op, e, true)
	})
}

// describe records the state that an operation is going to change, as far as its undo needs it.
func (t *transaction) describe(o *wire.Order) (b *begun, err error) {
	b = &begun{ID: o.ID, Undo: o.Undo, Final: o.Final, Private: o.Private}
	op, of := &o.Op, ""
	switch {
	case op.Package != nil:
		b.Verb, of = "package", strings.Join(append(slices.Clone(op.Package.Install), op.Package.Remove...), " ")
		if b.Packages, b.Before, err = t.host.packages.list(); b.Packages == nil {
			b.Packages = []string{}
		}
	case op.Unit != nil:
		b.Verb, of = string(op.Unit.Action), op.Unit.Name
		if op.Unit.Action == wire.UnitDaemonReload {
			break
		}
		if b.Unit, err = t.host.units.state(of); slices.Contains([]string{"start", "stop", "enable", "disable"}, b.Verb) {
			b.Subject = []wire.Query{{Verb: wire.AskUnit, Arg: of}}
		}
	case op.User != nil:
		b.Verb, of = "user", op.User.Name
		b.Subject = []wire.Query{{Verb: wire.AskUser, Arg: of}}
	case op.Group != nil:
		b.Verb, of = "group", op.Group.Name
		b.Subject = []wire.Query{{Verb: wire.AskGroup, Arg: of}}
	case op.Mkfs != nil:
		b.Verb, of = "mkfs", op.Mkfs.Device
		b.Subject = []wire.Query{{Verb: wire.AskBlock, Arg: of}}
	case op.Mount != nil:
		b.Verb, of = "mount", op.Mount.Path
		b.Subject = []wire.Query{{Verb: wire.AskMount, Arg: of}}
	case op.Probe != nil:
		b.Verb, of = "probe", op.Probe.Address
	case op.Policy != nil:
		b.Verb, of = "policy", "of SELinux"
		if len(op.Policy.Commands)+len(op.Policy.Forget) > 0 {
			b.Subject = t.host.policySubject()
		}
	case op.Run != nil:
		if b.Verb = "run"; len(op.Run.Argv) > 0 {
			of = op.Run.Argv[0] // the arguments may contain secrets
		}
		if unit := restores(o.Undo); unit != "" {
			b.Unit, err = t.host.units.state(unit)
		}
	}
	b.What = strings.TrimSpace(b.Verb + " " + printable(of))
	if len(b.Subject) > 0 {
		b.Before = t.digest(b.Subject)
	}
	return b, err
}

// digest returns a digest of the answers to questions.
func (t *transaction) digest(queries []wire.Query) string {
	return digestOf(string(wire.Encode(t.answer(context.Background(), queries))))
}

// idle reports that an operation that failed has changed nothing, so that no undo is needed.
func (t *transaction) idle(op *operation) bool {
	if op.ended || op.Path != "" || op.Before == "" {
		return false
	}
	if op.Packages == nil {
		return t.digest(op.Subject) == op.Before
	}
	_, now, err := t.host.packages.list()
	return err == nil && now == op.Before
}

// restores returns the unit that an undo restores, or "".
func restores(undo *wire.Op) string {
	if undo != nil && undo.Unit != nil && undo.Unit.Action == wire.UnitRestore {
		return undo.Unit.Name
	}
	return ""
}

// last reports whether an operation is undone after all others, since its unit has to load the
// files that they restore. A unit that is restored gets the state was.
func (op *operation) last(was *unitState) bool {
	if restores(op.Undo) != "" {
		return was != nil && was.Running
	}
	u := op.Undo
	return u != nil && u.Unit != nil && slices.Contains([]wire.UnitAction{wire.UnitStart, wire.UnitRestart, wire.UnitLoad}, u.Unit.Action)
}

// first returns the first operation whose undo restores the same unit, or the operation itself if
// its undo does not restore a unit.
func (t *transaction) first(op *operation) *operation {
	unit := restores(op.Undo)
	for _, other := range t.ops {
		if unit != "" && unit == restores(other.Undo) {
			return other
		}
	}
	return op
}

// undoOrder returns the operations in the order of their undos. A unit that several of them changed
// is restored once, to its state before the first of them. If one was stopped, it is down until its
// undo, so that does not wait until packages are removed again.
func (t *transaction) undoOrder() []*operation {
	var now, last, removals []*operation
	stops := false
	for i := len(t.ops) - 1; i >= 0; i-- {
		op := t.ops[i]
		switch {
		case op.last(t.first(op).Unit):
			last = append(last, op)
			stops = stops || op.Verb == string(wire.UnitStop)
		case op.Undo != nil && op.Undo.Package != nil && len(op.Undo.Package.Install) == 0:
			removals = append(removals, op)
			now = append(now, op)
		default:
			now = append(now, op)
		}
	}
	if !stops {
		return append(now, last...)
	}
	now = slices.DeleteFunc(now, func(op *operation) bool { return slices.Contains(removals, op) })
	return slices.Concat(now, last, removals)
}

// rollback undoes all operations in the order that wire.Do describes, as far as possible, and then
// removes the journal. It returns how many it undid, and which undos failed; the journal stays for
// those.
func (t *transaction) rollback() (undone int, failures []string) {
	if t.dir == "" {
		return 0, nil
	}
	if err := unlink(unix.AT_FDCWD, t.dir+"/"+reserveName); err != nil && !absent(err) {
		failures = append(failures, fmt.Errorf("free the reserve: %w", err).Error())
	}
	t.endOneshots()
	for _, op := range t.undoOrder() {
		done, err := t.undoOne(op)
		if done {
			undone++
		}
		if err != nil {
			failures = append(failures, printable(op.What+": "+withReason(err)))
		}
	}
	if len(failures) == 0 {
		err := t.tidy()
		if err == nil {
			return undone, nil
		}
		failures = append(failures, printable(withReason(err)))
	} else if err := t.sweep(); err != nil {
		failures = append(failures, printable(withReason(err)))
	}
	return undone, failures
}

// endOneshots stops the units that an undo starts again, before the files that their start has read
// are restored. If that fails, the undo reports it.
func (t *transaction) endOneshots() {
	for _, op := range t.ops {
		if was := t.first(op).Unit; was != nil && was.Ends && was.Running && !op.undone && restores(op.Undo) != "" {
			_ = t.host.programs.change("systemctl", "stop", "--", was.Name)
		}
	}
}

// undoOne undoes one operation, unless that was done before, and reports whether it did. A path
// that another program has changed since is not a failure: it stays unchanged.
func (t *transaction) undoOne(op *operation) (done bool, err error) {
	first := t.first(op)
	if op.undone {
		first.restored = restores(op.Undo) != ""
		return false, nil
	}
	if op.Undo == nil && (op.ended || op.Path == "") {
		if op.ended {
			t.stays = append(t.stays, strings.TrimSuffix(printable(op.What+": "+op.Final), ": "))
		}
		return false, nil
	}
	if !first.restored && !t.idle(op) {
		err = guard(func() error { return t.perform(job{undo: op, unit: first.Unit}) })
		first.restored = err == nil && restores(op.Undo) != ""
	}
	if l := (*left)(nil); errors.As(err, &l) {
		t.stays = append(t.stays, printable(op.What+": "+l.why))
		t.event(op.ID, wire.UndoFailed, err)
	} else if err != nil {
		if op.Private {
			err = quiet(err)
		}
		op.stuck = true
		t.event(op.ID, wire.UndoFailed, err)
		return false, err
	} else if op.ended {
		done = true
		t.event(op.ID, wire.Undone, nil)
	}
	op.undone = true
	// If this entry is lost, a later recovery repeats the undo.
	_ = t.write(&entry{Op: op.n, Undone: true}, true)
	return done, nil
}

// tidy removes all temporary files of a transaction, and its journal last.
func (t *transaction) tidy() error {
	if t.dir == "" {
		return nil
	}
	if err := t.sweep(); err != nil {
		return err
	}
	if err := t.host.boot.disable(t.Made); err != nil {
		return err
	}
	if err := removeJournal(t.dir); err != nil {
		return err
	}
	t.dir = ""
	return nil
}

// performJob performs an order, or undoes an operation.
func (t *transaction) performJob(j job) error {
	h := t.host
	if j.order != nil {
		if op := &j.order.Op; op.Path() == "" {
			return h.performOp(op)
		}
		return t.pathOp(j.order)
	}
	op := j.undo
	if op.Path != "" && (!op.ended || op.Undo.Restore != nil) {
		return t.undoPath(op)
	}
	undo := op.Undo
	var err error
	switch {
	case undo.Package != nil && op.Packages != nil:
		err = h.packages.undo(undo.Package, op)
	case undo.Policy != nil:
		err = h.policy(t.policyUndo(op))
	case undo.User != nil:
		err = h.accounts.performUser(h.accounts.undoUser(undo.User))
	case undo.Group != nil:
		err = h.accounts.performGroup(h.accounts.undoGroup(undo.Group))
	case undo.Unit != nil && undo.Unit.Action == wire.UnitRestore:
		return h.units.restore(undo.Unit.Name, j.unit)
	case undo.Unit != nil && slices.Contains([]string{"stop", "disable"}, string(undo.Unit.Action)) && h.units.gone(undo.Unit.Name):
	default:
		err = h.performOp(undo)
	}
	if err == nil && op.Unit != nil {
		err = h.units.records.restore(op.Unit.Name, op.Unit.Records)
	}
	return err
}

// performOp performs an operation that is not on a path.
func (h *host) performOp(op *wire.Op) error {
	switch {
	case op.Package != nil:
		return h.packages.perform(op.Package)
	case op.Unit != nil:
		if op.Unit.Action == wire.UnitRestore {
			return h.units.restore(op.Unit.Name, nil)
		}
		return h.units.perform(op.Unit)
	case op.User != nil:
		return h.accounts.performUser(op.User)
	case op.Group != nil:
		return h.accounts.performGroup(op.Group)
	case op.Mkfs != nil:
		return h.storage.mkfs(op.Mkfs)
	case op.Mount != nil:
		return h.storage.mount(op.Mount)
	case op.Probe != nil:
		return probeHTTP(op.Probe)
	case op.Run != nil:
		return h.programs.perform(op.Run)
	case op.Policy != nil:
		return h.policy(op.Policy)
	case op.Restore != nil:
		return fmt.Errorf("cannot restore %s: restore is only for undo", quote(op.Restore.Path))
	}
	return errors.New("unknown type of operation: replace the helper")
}

// without returns what is in all and not in some, each once.
func without(all, some []string) (rest []string) {
	known := map[string]bool{}
	for _, s := range some {
		known[s] = true
	}
	for _, s := range all {
		if !known[s] {
			known[s] = true
			rest = append(rest, s)
		}
	}
	return rest
}
