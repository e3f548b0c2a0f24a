package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mirrorform/mirrorform/internal/wire"
	"golang.org/x/sync/errgroup"
)

// Host is one host of a run.
type Host struct {
	Name string
	// Last says that what is wanted here is made from the facts of the others (host local holds their mirrors.d files).
	Last bool
}

// Fleet plans and applies on many hosts at once. Its sessions stay open from Plan to Close, so that Apply needs no new ones.
type Fleet struct {
	// Connect opens a session with a host.
	Connect func(ctx context.Context, host string) (*Session, error)
	// Wanted returns a host's resources, given the facts of the hosts that were reached.
	Wanted func(host string, facts map[string]*wire.Facts) ([]*Resource, error)
	// Parallelism is the largest number of hosts to work on at once; 0 sets no limit.
	Parallelism int
	// Report is told what happens, by many goroutines at once. It may be nil.
	Report func(Progress)

	mu    sync.Mutex
	hosts map[string]*hostState
}

type hostState struct {
	session *Session
	target  Target
	ordered []*Resource
}

// Stage says how far a host is.
type Stage string

// The stages that Report hears of. Each host begins with Connecting and ends with Planned or Unplanned, then again, when it has something to
// apply, with Applied or NotApplied. Step stages come in between.
const (
	Connecting   Stage = "connecting"
	Observing    Stage = "observing"
	Planned      Stage = "planned"
	Unplanned    Stage = "unplanned"
	StepStarted  Stage = "step-started"
	StepDone     Stage = "step-done"
	StepFailed   Stage = "step-failed"
	StepUndone   Stage = "step-undone"
	UndoneFailed Stage = "undo-failed"
	Confirming   Stage = "confirming"
	Applied      Stage = "applied"
	NotApplied   Stage = "not-applied"
)

// Progress tells of one host.
type Progress struct {
	Host        string
	Stage       Stage
	Address     string // of the resource, with step stages
	Summary     string // of the step, with step stages
	Done, Total int    // steps, while applying
	Err         error  // with Unplanned, StepFailed, UndoneFailed and NotApplied
}

func (f *Fleet) report(p Progress) {
	if f.Report != nil {
		f.Report(p)
	}
}

func (f *Fleet) state(host string) *hostState {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hosts == nil {
		f.hosts = map[string]*hostState{}
	}
	if f.hosts[host] == nil {
		f.hosts[host] = &hostState{}
	}
	return f.hosts[host]
}

func (f *Fleet) facts() map[string]*wire.Facts {
	f.mu.Lock()
	defer f.mu.Unlock()
	facts := map[string]*wire.Facts{}
	for name, h := range f.hosts {
		if h.session != nil {
			facts[name] = &h.session.Facts
		}
	}
	return facts
}

// Close ends all sessions.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var closing errgroup.Group
	for _, h := range f.hosts {
		if h.session != nil {
			closing.Go(h.session.Close)
		}
	}
	_ = closing.Wait() // a connection that breaks while it is closed is closed
}

// unreachable is the error of a host with which no session could be opened.
type unreachable struct{ error }

// Unreachable tells this error from those of hosts that were reached.
func (unreachable) Unreachable() bool { return true }

func (e unreachable) Unwrap() error { return e.error }

// reach opens a session with a host.
func (f *Fleet) reach(ctx context.Context, host string) error {
	f.report(Progress{Host: host, Stage: Connecting})
	session, err := f.Connect(ctx, host)
	if err != nil {
		return unreachable{err}
	}
	h := f.state(host)
	f.mu.Lock()
	h.session, h.target = session, Target{host, session.Facts}
	f.mu.Unlock()
	return nil
}

// Plan connects to all hosts, observes them and compares. A host that cannot be reached or read has its error in its HostPlan; the others go on.
func (f *Fleet) Plan(ctx context.Context, hosts []Host) *Plan {
	plan := &Plan{Hosts: make([]*HostPlan, len(hosts))}
	var reached sync.WaitGroup // hosts that are not Last
	for _, h := range hosts {
		if !h.Last {
			reached.Add(1)
		}
	}
	var group, last errgroup.Group
	if f.Parallelism > 0 {
		group.SetLimit(f.Parallelism)
	}
	one := func(i int, h Host, connected func()) error {
		err := f.reach(ctx, h.Name)
		connected()
		var hp *HostPlan
		if err == nil {
			hp, err = f.planHost(ctx, h.Name)
		}
		if err != nil {
			hp = &HostPlan{Host: h.Name, Err: err}
		}
		plan.Hosts[i] = hp
		if hp.Failed() {
			f.report(Progress{Host: h.Name, Stage: Unplanned, Err: hp.Err})
		} else {
			f.report(Progress{Host: h.Name, Stage: Planned})
		}
		return nil
	}
	for i, h := range hosts {
		if h.Last {
			// Outside the limit: it waits for the others, and must not take one of their places.
			last.Go(func() error { return one(i, h, reached.Wait) })
		}
	}
	for i, h := range hosts {
		if !h.Last {
			group.Go(func() error { return one(i, h, reached.Done) })
		}
	}
	_, _ = group.Wait(), last.Wait()
	return plan
}

func (f *Fleet) planHost(ctx context.Context, host string) (*HostPlan, error) {
	h := f.state(host)
	f.report(Progress{Host: host, Stage: Observing})
	wanted, err := f.Wanted(host, f.facts())
	if err != nil {
		return nil, err
	}
	ordered, problems := Order(h.target, wanted)
	if len(problems) > 0 {
		return &HostPlan{Host: host, Problems: problems}, nil
	}
	h.ordered = ordered
	return h.observe(ctx)
}

// observe asks about the host's resources and compares.
func (h *hostState) observe(ctx context.Context) (*HostPlan, error) {
	got, err := h.session.Ask(ctx, Questions(h.target, h.ordered))
	if err != nil {
		return nil, err
	}
	return Compare(h.target, h.ordered, got), nil
}

// HostResult is what Apply did on one host.
type HostResult struct {
	Host      string
	Done      []*Change // changed, and found to be as wanted afterwards
	Unchanged int
	Failed    *Change // the change whose step failed
	Step      string  // the summary of that step
	NotRun    []*Change
	Err       error // why the host is not as wanted
}

// Result is what Apply did, for all hosts of the plan in its order.
type Result struct {
	Hosts []*HostResult
}

// Failed tells whether any host is not as wanted.
func (r *Result) Failed() bool {
	for _, h := range r.Hosts {
		if h.Err != nil {
			return true
		}
	}
	return false
}

// ErrNotPlanned is the error of a host whose plan could not be made: nothing was done on it.
var ErrNotPlanned = errors.New("nothing was done")

// Apply performs a plan that this Fleet made. A host whose plan failed is left alone; a host that fails does not stop the others.
// Hosts that are Last come after all others have ended.
func (f *Fleet) Apply(ctx context.Context, plan *Plan, hosts []Host) *Result {
	result := &Result{Hosts: make([]*HostResult, len(plan.Hosts))}
	for _, last := range []bool{false, true} {
		var group errgroup.Group
		if f.Parallelism > 0 {
			group.SetLimit(f.Parallelism)
		}
		for i, hp := range plan.Hosts {
			if hosts[i].Last != last {
				continue
			}
			group.Go(func() error {
				result.Hosts[i] = f.applyHost(ctx, hp)
				return nil
			})
		}
		_ = group.Wait()
	}
	return result
}

func (f *Fleet) applyHost(ctx context.Context, hp *HostPlan) *HostResult {
	r := &HostResult{Host: hp.Host, Unchanged: hp.Unchanged}
	switch {
	case hp.Err != nil:
		r.Err = hp.Err
		return r
	case hp.Failed():
		for _, p := range hp.Problems {
			if p.Severity == Error {
				r.Err = fmt.Errorf("%w: %s", ErrNotPlanned, p.Summary)
				break
			}
		}
		return r
	case len(hp.Changes) == 0:
		return r
	}
	f.perform(ctx, hp, r)
	if r.Err != nil {
		f.report(Progress{Host: hp.Host, Stage: NotApplied, Err: r.Err})
	} else {
		f.report(Progress{Host: hp.Host, Stage: Applied})
	}
	return r
}

// perform runs the steps of one host, then observes it again: applied means observed.
func (f *Fleet) perform(ctx context.Context, hp *HostPlan, r *HostResult) {
	h := f.state(hp.Host)
	tasks := tasksOf(hp.Changes)
	orders := make([]wire.Order, len(tasks))
	for i, t := range tasks {
		orders[i] = t.order
	}
	done := 0
	var failure error
	failed, err := h.session.Do(ctx, orders, func(e wire.Event) {
		t := tasks[e.ID]
		p := Progress{Host: hp.Host, Address: t.changes[0].Address, Summary: t.summary, Done: done, Total: len(tasks)}
		switch e.State {
		case wire.Started:
			p.Stage = StepStarted
		case wire.Finished:
			done++
			p.Stage, p.Done = StepDone, done
		case wire.Failed:
			failure = t.failure(e)
			p.Stage, p.Err = StepFailed, failure
		case wire.Undone:
			p.Stage = StepUndone
		case wire.UndoFailed:
			p.Stage, p.Err = UndoneFailed, t.failure(e)
			failure = errors.Join(failure, fmt.Errorf("taking back %q failed as well: %w", t.summary, p.Err))
		}
		f.report(p)
	})
	switch {
	case err != nil:
		r.Err = fmt.Errorf("%w; how far the host got is not known: plan again", err)
		r.NotRun = pointers(hp.Changes)
		return
	case failed >= 0 && failed < len(tasks):
		r.split(hp.Changes, tasks, failed)
		if failure == nil {
			failure = errors.New("the helper did not say why")
		}
		r.Err = failure
		return
	}
	f.report(Progress{Host: hp.Host, Stage: Confirming, Done: done, Total: len(tasks)})
	f.confirm(ctx, h, hp, r)
}

// confirm observes the host again.
func (f *Fleet) confirm(ctx context.Context, h *hostState, hp *HostPlan, r *HostResult) {
	after, err := h.observe(ctx)
	if err != nil {
		r.Err = fmt.Errorf("all steps were done, but the host could not be observed afterwards: %w", err)
		return
	}
	r.Done = pointers(hp.Changes)
	for i := range after.Changes {
		c := &after.Changes[i]
		r.Err = errors.Join(r.Err, fmt.Errorf("%s is not as wanted after its steps were done: it still needs %q", c.Address, c.Steps[0].Summary))
	}
	for _, p := range after.Problems {
		if p.Severity == Error {
			r.Err = errors.Join(r.Err, fmt.Errorf("%s: %s", p.Resource.Address, p.Problem))
		}
	}
}

// split says which changes were done, failed and not run when the task of that index failed.
func (r *HostResult) split(changes []Change, tasks []task, failed int) {
	r.Failed, r.Step = tasks[failed].changes[0], tasks[failed].summary
	touched := map[*Change]bool{}
	for _, t := range tasks[failed:] {
		for _, c := range t.changes {
			touched[c] = true
		}
	}
	for i := range changes {
		switch c := &changes[i]; {
		case c == r.Failed:
		case touched[c]:
			r.NotRun = append(r.NotRun, c)
		default:
			r.Done = append(r.Done, c)
		}
	}
}

func pointers(changes []Change) []*Change {
	list := make([]*Change, len(changes))
	for i := range changes {
		list[i] = &changes[i]
	}
	return list
}

// task is one order to the helper: a step of one change, or the installation of several changes' packages in one go.
type task struct {
	changes []*Change
	summary string
	order   wire.Order
}

// failure makes an error of a failed event. What a program printed is left out where it might hold a secret.
func (t *task) failure(e wire.Event) error {
	if e.Output == "" {
		return errors.New(e.Error)
	}
	for _, c := range t.changes {
		if len(c.Resource.Sensitive) > 0 {
			return fmt.Errorf("%s (what it printed is not shown: the resource has sensitive values)", e.Error)
		}
	}
	return fmt.Errorf("%s\n%s", e.Error, e.Output)
}

// tasksOf puts the steps of all changes in a row.
func tasksOf(changes []Change) []task {
	var tasks []task
	for i := range changes {
		c := &changes[i]
		for _, s := range c.Steps {
			if n := len(tasks); len(c.Steps) == 1 && n > 0 && tasks[n-1].merge(c, s) {
				continue
			}
			tasks = append(tasks, task{[]*Change{c}, s.Summary, wire.Order{Group: i, Op: s.Do, Undo: s.Undo}})
		}
	}
	return tasks
}

// merge takes a step that installs packages into a task that does, so that the package manager runs once.
func (t *task) merge(c *Change, s Step) bool {
	into, from := t.order.Op.Package, s.Do.Package
	if into == nil || from == nil || len(t.changes[0].Steps) > 1 || len(into.Remove) > 0 || len(from.Remove) > 0 {
		return false
	}
	t.order.Op.Package = &wire.PackageOp{Install: concat(into.Install, from.Install)}
	if undo := t.order.Undo; undo != nil && undo.Package != nil && s.Undo != nil && s.Undo.Package != nil {
		t.order.Undo = &wire.Op{Package: &wire.PackageOp{
			Install: concat(undo.Package.Install, s.Undo.Package.Install),
			Remove:  concat(undo.Package.Remove, s.Undo.Package.Remove),
		}}
	}
	t.changes = append(t.changes, c)
	t.summary += ", " + s.Summary
	return true
}

func concat(a, b []string) []string {
	return append(append([]string(nil), a...), b...)
}
