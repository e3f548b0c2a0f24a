package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/internal/wire"
	"golang.org/x/sync/errgroup"
)

// HostResult is what Apply did on one host.
type HostResult struct {
	Host      string
	Done      []*Change // their steps were done; where Err is nil, they were found to be as wanted afterwards
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
		i := slices.IndexFunc(hp.Problems, func(p *ResourceProblem) bool { return p.Severity == Error })
		r.Err = fmt.Errorf("%w: %s", ErrNotPlanned, hp.Problems[i].Shown().Summary)
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
//
// It goes in stages. A package brings files of its own, and a mount shows others: what lies behind such a step cannot have been observed for the
// plan, so the changes after it are compared anew. Only what the plan changes is ever changed.
func (f *Fleet) perform(ctx context.Context, hp *HostPlan, r *HostResult) {
	h := f.state(hp.Host)
	c := &counter{total: len(tasksOf(hp.Changes))}
	rest := hp.Changes
	for len(rest) > 0 {
		n := stage(rest)
		if failed := f.performStage(ctx, h, hp.Host, rest[:n], c, r); failed {
			r.NotRun = append(r.NotRun, pointers(rest[n:])...)
			return
		}
		r.Done = append(r.Done, pointers(rest[:n])...)
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
		var err error
		if rest, err = h.compareAgain(ctx, rest, r); err != nil {
			r.Err, r.NotRun = err, pointers(rest)
			return
		}
		c.total = c.done + len(tasksOf(rest))
	}
	f.report(Progress{Host: hp.Host, Stage: Confirming, Done: c.done, Total: c.total})
	f.confirm(ctx, h, r)
}

// counter counts the steps of a host.
type counter struct{ done, total int }

// stage is how many of the changes belong to the first stage.
func stage(changes []Change) int {
	opens := func(c *Change) (kind string) {
		for _, s := range c.Steps {
			switch {
			case s.Do.Package != nil && len(s.Do.Package.Install) > 0:
				kind = "package"
			case s.Do.Mount != nil && !s.Do.Mount.Remove:
				kind = "mount"
			}
		}
		return kind
	}
	for i := range changes {
		kind := opens(&changes[i])
		if kind != "" && (i+1 == len(changes) || opens(&changes[i+1]) != kind) {
			return i + 1
		}
	}
	return len(changes)
}

// compareAgain observes the host and returns what is left to do of the changes given. Those that an earlier step has brought about count as done.
func (h *hostState) compareAgain(ctx context.Context, rest []Change, r *HostResult) ([]Change, error) {
	now, err := h.observe(ctx)
	if err != nil {
		return rest, fmt.Errorf("observe the host again: %w", err)
	}
	planned := map[*Resource]*Change{}
	for i := range rest {
		planned[rest[i].Resource] = &rest[i]
	}
	for _, p := range now.Problems {
		if p.Severity == Error && planned[p.Resource] != nil {
			return rest, fmt.Errorf("%s: %s", p.Resource.Address, p.Shown())
		}
	}
	var left []Change
	for _, c := range now.Changes {
		if planned[c.Resource] != nil {
			left = append(left, c)
			delete(planned, c.Resource)
		}
	}
	for i := range rest {
		if planned[rest[i].Resource] != nil {
			r.Done = append(r.Done, &rest[i])
		}
	}
	return left, nil
}

// performStage performs changes and reports each step. Where one failed, it enters that in the result.
func (f *Fleet) performStage(ctx context.Context, h *hostState, host string, changes []Change, c *counter, r *HostResult) (failed bool) {
	tasks := tasksOf(changes)
	orders := make([]wire.Order, len(tasks))
	for i, t := range tasks {
		orders[i] = t.order
	}
	var failure error
	broken, err := h.session.Do(ctx, orders, func(e wire.Event) {
		t := tasks[e.ID]
		p := Progress{Host: host, Address: t.changes[0].Address, Summary: t.summary}
		switch e.State {
		case wire.Started:
			p.Stage = StepStarted
		case wire.Finished:
			c.done++
			p.Stage = StepDone
		case wire.Failed:
			failure = t.failure(e)
			p.Stage, p.Err = StepFailed, failure
		case wire.Undone:
			p.Stage = StepUndone
		case wire.UndoFailed:
			p.Stage, p.Err = UndoneFailed, t.failure(e)
			failure = errors.Join(failure, fmt.Errorf("taking back %q failed as well: %w", t.summary, p.Err))
		}
		p.Done, p.Total = c.done, c.total
		f.report(p)
	})
	switch {
	case err != nil:
		r.Err = fmt.Errorf("%w; how far the host got is not known: plan again", err)
		r.NotRun = pointers(changes)
		return true
	case broken >= 0 && broken < len(tasks):
		r.split(changes, tasks, broken)
		if failure == nil {
			failure = errors.New("the helper did not say why")
		}
		r.Err = failure
		return true
	}
	return false
}

// settle is how long a host may take, unless Fleet.Settle says otherwise.
const settle = 5 * time.Second

// confirm observes the host again, until it is as wanted or it had time enough to settle.
func (f *Fleet) confirm(ctx context.Context, h *hostState, r *HostResult) {
	pause := 50 * time.Millisecond
	for begin := time.Now(); ; pause *= 2 {
		after, err := h.observe(ctx)
		if err != nil {
			r.Err = fmt.Errorf("all steps were done, but the host could not be observed afterwards: %w", err)
			return
		}
		r.Err = after.differs()
		if r.Err == nil || time.Since(begin) > cmp.Or(f.Settle, settle) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// differs is an error that says how a host that was applied to is not as wanted.
func (p *HostPlan) differs() error {
	var err error
	for i := range p.Changes {
		c := &p.Changes[i]
		err = errors.Join(err, fmt.Errorf("%s is not as wanted after its steps were done: it still needs %q", c.Address, c.Steps[0].Summary))
	}
	for _, q := range p.Problems {
		if q.Severity == Error {
			err = errors.Join(err, fmt.Errorf("%s: %s", q.Resource.Address, q.Shown()))
		}
	}
	return err
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
