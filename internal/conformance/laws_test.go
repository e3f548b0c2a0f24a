package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// runner checks one case.
type runner struct {
	h        *host
	c        *testCase
	unloaded bool // see edit
}

// checkCase checks all laws on one case, and restores the host afterwards.
func checkCase(t *testing.T, h *host, c *testCase) {
	pristine := h.listing(t)
	h.write(t, c.files)
	h.run(t, c.prepare...)
	r := &runner{h: h, c: c}
	for _, v := range c.variants {
		for _, p := range c.valid(v) {
			t.Errorf("%+v is not valid: %s", v, p)
		}
	}
	if c.condition {
		r.holds(t)
	} else {
		r.laws(t)
	}
	h.run(t, c.cleanup...)
	if t.Failed() {
		return
	}
	for _, change := range pristine.changes(h.listing(t), nil) {
		t.Errorf("the case leaves: %s", change)
	}
}

// laws checks one law after another. Each starts from the state that the previous one has left, so
// that after a failure the rest would only repeat the failure.
func (r *runner) laws(t *testing.T) {
	for _, law := range []struct {
		name string
		f    func(*testing.T)
	}{
		{"create", r.create}, {"change", r.change}, {"edits", r.edits}, {"ignored", r.ignored}, {"remove", r.remove},
	} {
		if !t.Run(law.name, law.f) {
			return
		}
	}
}

// holds checks a resource that is a condition and has no steps.
func (r *runner) holds(t *testing.T) {
	for i := range r.c.variants {
		r.settled(t, r.want(i), "of a condition that holds")
		r.fixpoint(t, r.want(i))
	}
}

// plan observes the host and plans the resource.
func (r *runner) plan(t *testing.T, resource *engine.Resource) *engine.HostPlan {
	t.Helper()
	s := r.h.session(t)
	ordered, problems := engine.Order(s.target, []*engine.Resource{resource})
	for _, p := range problems {
		t.Fatal(p.Problem)
	}
	got, err := s.Ask(t.Context(), engine.Questions(s.target, ordered))
	if err != nil {
		t.Fatal(err)
	}
	return engine.Compare(s.target, ordered, got)
}

// changing returns a plan that must have valid steps.
func (r *runner) changing(t *testing.T, resource *engine.Resource) *engine.HostPlan {
	t.Helper()
	p := r.plan(t, resource)
	if p.Failed() || len(p.Changes) != 1 {
		t.Fatalf("there is a change to be planned, and there is: %s", stepText(p))
	}
	met := map[string]bool{}
	mounted := "" // what was observed there is not what will be
	for _, s := range p.Changes[0].Steps {
		if s.Do.Mount != nil {
			mounted = s.Do.Mount.Path
		}
		if s.Summary == "" || (s.Undo == nil) == (s.Final == "") {
			t.Errorf("step %q: it needs a summary, and an undo or a reason why there is none", s.Summary)
		}
		if path := s.Do.Path(); path != "" && !met[path] {
			met[path] = true
			if s.Do.Expect == "" && path != mounted {
				t.Errorf("step %q: it does not say what it expects at %s, so that a change there would be overwritten", s.Summary, path)
			}
		}
	}
	return p
}

// settled checks laws 2 and 3: the plan is empty.
func (r *runner) settled(t *testing.T, resource *engine.Resource, when string) {
	t.Helper()
	if p := r.plan(t, resource); p.Failed() || len(p.Changes) > 0 {
		t.Fatalf("%s there is still something to do: %s", when, stepText(p))
	}
}

func (r *runner) want(variant int) *engine.Resource {
	return resource(r.h, r.c.kind, r.c.variants[variant])
}

// orders returns the operations of a plan with one change.
func orders(p *engine.HostPlan) []wire.Order {
	var list []wire.Order
	for _, s := range p.Changes[0].Steps {
		list = append(list, wire.Order{Op: s.Do, Undo: s.Undo, Final: s.Final})
	}
	return list
}

// final reports whether a plan has steps that cannot be undone and change something.
func (r *runner) final(p *engine.HostPlan) bool {
	return !r.c.harmless && slices.ContainsFunc(p.Changes[0].Steps, func(s engine.Step) bool { return s.Undo == nil })
}

// outcome is the result of orders.
type outcome struct {
	failed int            // which failed, or -1
	states [][]wire.State // what was reported of each
	errors []string
}

// perform begins a transaction and performs orders in it. The transaction remains open, unless an
// order failed.
func (r *runner) perform(t *testing.T, list []wire.Order) *outcome {
	t.Helper()
	session := r.h.session(t)
	begun, err := session.Begin(t.Context(), wire.Begin{Operator: "conformance", Command: "test"}, func(wire.Holder) {})
	if err != nil {
		t.Fatal(err)
	}
	if begun.Held != nil || begun.Recovered != nil {
		t.Fatalf("the host is not free: %+v", begun)
	}
	o := &outcome{failed: -1, states: make([][]wire.State, len(list))}
	r.h.open = true
	session.ordered += len(list)
	done, err := session.Do(t.Context(), wire.Do{Ops: list}, o.note)
	if err != nil {
		t.Fatal(err)
	}
	if done.Error != "" || done.Journal != "" {
		t.Fatalf("the host says: %+v; %v", done, o.errors)
	}
	if done.Failed != nil {
		o.failed, r.h.open = *done.Failed, false
	}
	return o
}

// commit commits the open transaction.
func (r *runner) commit(t *testing.T) {
	t.Helper()
	done, err := r.h.session(t).Commit(t.Context(), wire.Commit{}, func(wire.Event) {})
	r.h.open = false
	if err != nil || done.Error != "" || done.Undone {
		t.Fatalf("commit: %+v, %v", done, err)
	}
}

func (o *outcome) note(e wire.Event) {
	o.states[e.ID] = append(o.states[e.ID], e.State)
	if e.Error != "" {
		o.errors = append(o.errors, strings.TrimSpace(e.Error+"\n"+e.Output))
	}
}

// last returns the last reported state of an order.
func (o *outcome) last(i int) wire.State {
	if len(o.states[i]) == 0 {
		return ""
	}
	return o.states[i][len(o.states[i])-1]
}

// attempt performs a plan, which must succeed. The transaction remains open.
func (r *runner) attempt(t *testing.T, p *engine.HostPlan) {
	t.Helper()
	o := r.perform(t, orders(p))
	if o.failed >= 0 {
		t.Fatalf("step %q failed: %s", p.Changes[0].Steps[o.failed].Summary, strings.Join(o.errors, "\n"))
	}
	for i, s := range p.Changes[0].Steps {
		if o.last(i) != wire.Finished {
			t.Errorf("step %q is reported as %v", s.Summary, o.states[i])
		}
	}
}

// do performs and commits a plan.
func (r *runner) do(t *testing.T, p *engine.HostPlan) {
	t.Helper()
	r.attempt(t, p)
	r.commit(t)
}

// undo rolls back the last attempted plan: all its steps that can be undone.
func (r *runner) undo(t *testing.T, p *engine.HostPlan) {
	t.Helper()
	list := orders(p)
	session := r.h.session(t)
	o := &outcome{states: make([][]wire.State, len(list))}
	done, err := session.Rollback(t.Context(), func(e wire.Event) {
		e.ID -= session.ordered - len(list)
		o.note(e)
	})
	r.h.open = false
	if err != nil {
		t.Fatal(err)
	}
	if done.Error != "" || done.Journal != "" || !done.Undone {
		t.Fatalf("taking back %s: %+v: %s", stepText(p), done, strings.Join(o.errors, "\n"))
	}
	for i := range list {
		if list[i].Undo != nil && o.last(i) != wire.Undone {
			t.Errorf("taking back %q is reported as %v", p.Changes[0].Steps[i].Summary, o.states[i])
		}
	}
}

// look takes a snapshot: the answers to the questions of the resource, the state of the paths that
// the plan changes, and the listing.
func (r *runner) look(t *testing.T, p *engine.HostPlan, resource *engine.Resource) *snapshot {
	t.Helper()
	queries := engine.Questions(r.h.session(t).target, []*engine.Resource{resource})
	for _, path := range touched(p) {
		queries = append(queries, wire.Query{Verb: wire.AskFile, Arg: path})
	}
	return &snapshot{r.h.session(t).ask(t, queries), r.h.listing(t)}
}

// steady is look after the answers of a reloading server have been the same for a while. Until
// then, old workers may still answer.
func (r *runner) steady(t *testing.T, p *engine.HostPlan, resource *engine.Resource) *snapshot {
	t.Helper()
	now := r.look(t, p, resource)
	serves := func(q wire.Query) bool { return q.Verb == wire.AskHTTP }
	if !slices.ContainsFunc(engine.Questions(r.h.session(t).target, []*engine.Resource{resource}), serves) {
		return now
	}
	for deadline := time.Now().Add(patience); ; {
		time.Sleep(time.Second)
		next := r.look(t, p, resource)
		if len(now.differs(next)) == 0 || time.Now().After(deadline) {
			return next
		}
		now = next
	}
}

// touched returns the paths in the operations of the plan.
func touched(p *engine.HostPlan) []string {
	var paths []string
	for _, c := range p.Changes {
		for _, s := range c.Steps {
			if path := s.Do.Path(); path != "" && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// patience is how long a server may take to perform a request. A correct server never takes that
// long.
const patience = 10 * time.Second

// same checks that the host equals an earlier snapshot. A reloading server may give its old answers
// for a moment, so same waits for equal answers.
func (r *runner) same(t *testing.T, before *snapshot, p *engine.HostPlan, resource *engine.Resource, when string) {
	t.Helper()
	differences := before.differs(r.look(t, p, resource))
	for deadline := time.Now().Add(patience); len(differences) > 0 && time.Now().Before(deadline); {
		if slices.ContainsFunc(differences, func(d string) bool { return !served(d) }) {
			break
		}
		time.Sleep(50 * time.Millisecond)
		differences = before.differs(r.look(t, p, resource))
	}
	for _, d := range differences {
		if r.unloaded && served(d) {
			continue
		}
		t.Errorf("%s the host is not as before: %s", when, d)
	}
}

// served reports whether a difference is one of what a server answers, to rsync too, or where it
// listens.
func served(difference string) bool {
	return slices.ContainsFunc([]string{string(wire.AskHTTP) + " ", string(wire.AskListeners) + " ", "run [/usr/bin/rsync "},
		func(prefix string) bool { return strings.HasPrefix(difference, prefix) })
}

// rehearse performs a plan and undoes it: law 4.
func (r *runner) rehearse(t *testing.T, resource *engine.Resource) {
	t.Helper()
	p := r.changing(t, resource)
	before := r.steady(t, p, resource)
	r.attempt(t, p)
	if done := r.look(t, p, resource); len(before.differs(done)) == 0 {
		t.Errorf("nothing changed by %s", stepText(p))
	}
	r.undo(t, p)
	if r.final(p) {
		r.h.run(t, r.c.reset...)
	}
	r.same(t, before, p, resource, "after do and undo")
}

// cautious checks laws 8, 9 and 4 on a plan from the current state of the host, and restores that
// state.
func (r *runner) cautious(t *testing.T, resource *engine.Resource) {
	t.Helper()
	p := r.changing(t, resource)
	before := r.steady(t, p, resource)
	r.refusesOther(t, p)
	r.same(t, before, p, resource, "after a refused operation")

	r.failsMidway(t, p)
	if r.final(p) {
		r.h.run(t, r.c.reset...)
	}
	r.same(t, before, p, resource, "after a step failed and the others were taken back,")

	if !r.c.slow { // where undoing was seen just now
		r.rehearse(t, resource)
	}
}

// refusesOther checks law 8: each operation on a path, with a wrong expectation.
func (r *runner) refusesOther(t *testing.T, p *engine.HostPlan) {
	t.Helper()
	met := map[string]bool{}
	for i, order := range orders(p) {
		path := order.Op.Path()
		if path == "" || met[path] {
			continue
		}
		met[path] = true
		expect := "absent"
		if order.Op.Expect == expect {
			expect = strings.Repeat("0", len("0123456789abcdef")*4)
		}
		order.Op.Expect = expect
		if o := r.perform(t, []wire.Order{order}); o.failed != 0 {
			t.Errorf("step %q is done although what is at %s is not what is expected", p.Changes[0].Steps[i].Summary, path)
		}
	}
}

// bystander is an operation of another resource.
var bystander = wire.Order{Op: wire.Op{Mkdir: &wire.MkdirOp{Path: "/srv/bystander"}}, Undo: &wire.Op{Restore: &wire.RestoreOp{Path: "/srv/bystander"}}}

// failsMidway checks law 9: another resource's operation, half of the plan's, one that fails, and the other half.
func (r *runner) failsMidway(t *testing.T, p *engine.HostPlan) {
	t.Helper()
	steps := orders(p)
	half := (len(steps) + 1) / 2
	fails := wire.Order{Op: wire.Op{Run: &wire.RunOp{Argv: []string{"/usr/bin/false"}}}, Final: "it does nothing"}
	list := slices.Concat([]wire.Order{bystander}, steps[:half], []wire.Order{fails}, steps[half:])
	o := r.perform(t, list)
	if o.failed != 1+half {
		t.Fatalf("order %d of %d failed, want %d: %s", o.failed, len(list), 1+half, strings.Join(o.errors, "\n"))
	}
	for i, order := range list {
		want := wire.Undone
		switch {
		case i == o.failed:
			want = wire.Failed
		case i > o.failed:
			want = ""
		case order.Undo == nil:
			want = wire.Finished
		}
		if o.last(i) != want {
			t.Errorf("after a failure, order %d (%s) is reported as %v, want %q at last", i, describe(order.Op), o.states[i], want)
		}
	}
}

func describe(op wire.Op) string {
	if path := op.Path(); path != "" {
		return path
	}
	return fmt.Sprintf("%+v", op)
}

// create applies the first variant to the host in its original state.
func (r *runner) create(t *testing.T) {
	want := r.want(0)
	r.fixpoint(t, want)
	r.effect(t, false, "before the first apply")
	r.cautious(t, want)
	r.do(t, r.changing(t, want))
	r.settled(t, want, "after apply")
	r.h.hangUp(t)
	r.settled(t, want, "for a new session")
	r.effect(t, true, "after apply")
}

// effect checks the external effect of the resource. A reloading server may take a moment.
func (r *runner) effect(t *testing.T, wanted bool, when string) {
	t.Helper()
	if len(r.c.effect) == 0 {
		return
	}
	_, err := r.h.Run(t.Context(), r.c.effect...)
	for deadline := time.Now().Add(patience); (err == nil) != wanted && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
		_, err = r.h.Run(t.Context(), r.c.effect...)
	}
	if (err == nil) != wanted {
		t.Errorf("%s %q succeeds: %v, want %v: %v", when, r.c.effect, err == nil, wanted, err)
	}
}

// fixpoint checks law 1: a plan from the wanted state to itself, or from the found state to itself,
// is empty.
func (r *runner) fixpoint(t *testing.T, want *engine.Resource) {
	t.Helper()
	target := r.h.session(t).target
	got, err := r.h.session(t).Ask(t.Context(), engine.Questions(target, []*engine.Resource{want}))
	if err != nil {
		t.Fatal(err)
	}
	found, err := want.Kind.Read(target, want.Kind.Complete(target, want.State), got)
	if err != nil {
		t.Fatal(err)
	}
	for name, state := range map[string]any{"wanted": want.Kind.Complete(target, want.State), "found": found} {
		if state == nil {
			continue // absent
		}
		if steps := want.Kind.Diff(target, state, state); len(steps) > 0 {
			t.Errorf("from the %s state to itself there are steps: %+v", name, steps)
		}
	}
}

// change changes the first variant to each of the others and back.
func (r *runner) change(t *testing.T) {
	for i := 1; i < len(r.c.variants); i++ {
		for _, want := range []*engine.Resource{r.want(i), r.want(0)} {
			r.fixpoint(t, want)
			if p := r.plan(t, want); len(p.Changes) > 0 && !r.final(p) {
				r.cautious(t, want)
			}
			r.do(t, r.changing(t, want))
			r.settled(t, want, fmt.Sprintf("after a change to or from variant %d", i))
		}
	}
	r.effect(t, true, "after changes to and fro")
}

// edits checks law 6.
func (r *runner) edits(t *testing.T) {
	want := r.want(0)
	for _, e := range r.c.edits {
		ok := t.Run(e.name, func(t *testing.T) {
			r.h.run(t, e.argvs...)
			r.fixpoint(t, want)
			p := r.changing(t, want)
			edited := r.h.listing(t)
			if !r.final(p) && !r.c.slow && !e.broken {
				r.unloaded = e.unloaded
				r.rehearse(t, want)
				r.unloaded = false
				p = r.changing(t, want)
			}
			r.do(t, p)
			r.settled(t, want, "after the repair")
			r.effect(t, true, "after the repair")
			for _, change := range edited.changes(r.h.listing(t), append(touched(p), r.c.touches...)) {
				t.Errorf("the repair changes something else: %s", change)
			}
		})
		if !ok {
			return
		}
	}
}

// ignored checks that attributes that are not set are not managed.
func (r *runner) ignored(t *testing.T) {
	for _, e := range r.c.ignored {
		r.h.run(t, e.argvs...)
		r.settled(t, r.want(0), fmt.Sprintf("after the edit %q", e.name))
	}
}

// remove checks law 7.
func (r *runner) remove(t *testing.T) {
	gone := r.want(0)
	gone.Remove, gone.Made = true, true
	if r.c.stays != "" {
		// A second look at what was removed, or was not, finds nothing to do either.
		if p := r.plan(t, gone); len(p.Changes) > 0 {
			r.cautious(t, gone)
			r.do(t, r.changing(t, gone))
			r.settled(t, gone, "after the removal of what stays")
		}
		return
	}
	switch p := r.changing(t, gone); {
	case r.final(p):
	case r.c.slow:
		r.rehearse(t, gone)
	default:
		r.cautious(t, gone)
	}
	p := r.changing(t, gone)
	if p.Changes[0].Action != engine.Delete || p.Changes[0].After != nil {
		t.Errorf("a removal is planned as %s, with %v after it", p.Changes[0].Action, values(p.Changes[0].After))
	}
	r.do(t, p)
	r.settled(t, gone, "after the removal")
	r.effect(t, false, "after the removal")
	if p := r.plan(t, r.want(0)); len(p.Changes) != 1 || p.Changes[0].Before != nil {
		t.Errorf("after the removal something is found: %s", stepText(p))
	}
}
