package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// HostResult is what Apply did on one host.
type HostResult struct {
	Host      string
	Done      []*Change // changes that were observed and committed; when Err is set, only with a second transaction
	Unchanged int
	Failed    *Change // the change whose step failed
	Step      string  // the summary of that step
	NotDone   []*Change
	Err       error // why the host is not as wanted
	// State is how the host was left. It is set only when Err is.
	State Left
}

// Left is how a failed apply left a host. The values are part of the JSON format.
type Left string

// How a failed apply may leave a host.
const (
	Untouched   Left = "untouched"   // nothing was changed
	TakenBack   Left = "taken back"  // rolled back, except for steps that cannot be undone
	PartlyDone  Left = "partly done" // a second transaction (see Later) was rolled back; the first one stays
	HalfBack    Left = "half back"   // rolled back in part; the error lists the rest
	UnknownLeft Left = "not known"   // the connection was lost and could not be opened again
)

// Result is what Apply did on all hosts, in the plan's order.
type Result struct {
	Hosts []*HostResult
	// Stopped is why a rollout ended early, or why its last gate failed.
	Stopped error
}

// Failed reports whether any host is not as wanted, or a rollout stopped early.
func (r *Result) Failed() bool {
	if r.Stopped != nil {
		return true
	}
	for _, h := range r.Hosts {
		if h.Err != nil {
			return true
		}
	}
	return false
}

// ErrNotPlanned is the error of a host that has no valid plan. Nothing was changed on it.
var ErrNotPlanned = errors.New("nothing was done")

// Apply performs a plan that this Fleet made. It skips hosts whose plan failed, and continues with
// the others when a host fails. Hosts with Last set start after all others have ended.
func (f *Fleet) Apply(ctx context.Context, plan *Plan, hosts []Host) *Result {
	return f.ApplyWith(ctx, plan, hosts, ApplyOptions{})
}

// ApplyWith is Apply with options that decide which hosts start and whether they commit.
func (f *Fleet) ApplyWith(ctx context.Context, plan *Plan, hosts []Host, o ApplyOptions) *Result {
	result := &Result{Hosts: make([]*HostResult, len(plan.Hosts))}
	for _, last := range []bool{false, true} {
		var list []int
		for i := range plan.Hosts {
			if hosts[i].Last == last {
				list = append(list, i)
			}
		}
		f.applyHosts(ctx, plan, list, o, result)
	}
	return result
}

// applyHosts applies the plan to the hosts with these indexes.
func (f *Fleet) applyHosts(ctx context.Context, plan *Plan, list []int, o ApplyOptions, result *Result) {
	q := &queue{waiting: list, busy: map[string]bool{}, group: func(i int) string {
		if o.Group == nil {
			return ""
		}
		return o.Group(plan.Hosts[i].Host)
	}}
	works := map[int]*applier{}
	var held []int
	ended := make(chan int)
	for running := 0; ; {
		for f.Parallelism <= 0 || running < f.Parallelism {
			i := q.next()
			if i < 0 {
				break
			}
			hp := plan.Hosts[i]
			if o.Admit != nil && !hp.Failed() {
				if why := o.Admit(hp.Host); why != nil {
					result.Hosts[i] = NotStartedResults([]string{hp.Host}, why)[0]
					q.done(i)
					continue
				}
			}
			a := f.applier(hp)
			works[i], result.Hosts[i] = a, a.r
			running++
			go func() {
				a.prepare(ctx, o.Decide != nil)
				ended <- i
			}()
		}
		if running == 0 {
			break
		}
		i := <-ended
		running--
		q.done(i)
		if works[i].held {
			held = append(held, i)
		} else if o.Ended != nil && works[i].r.Err != nil {
			o.Ended(works[i].r)
		}
	}
	if len(held) == 0 {
		return
	}
	var results []*HostResult
	for _, r := range result.Hosts {
		if r != nil {
			results = append(results, r)
		}
	}
	verdict := o.Decide(ctx, results)
	group := f.group()
	for _, i := range held {
		group.Go(func() error {
			works[i].decided(ctx, verdict)
			return nil
		})
	}
	_ = group.Wait() // the results contain the errors
}

// applier applies a plan to one host. The plan contains all that it needs to start.
type applier struct {
	*Fleet
	h       *hostState
	hp      *HostPlan
	r       *HostResult
	changed map[*Resource]bool
	steps   counter
	held    bool     // everything but the commit is done
	waiting []Change // for the second transaction
}

func (f *Fleet) applier(hp *HostPlan) *applier {
	return &applier{Fleet: f, h: hp.host, hp: hp, r: &HostResult{Host: hp.Host, Unchanged: hp.Unchanged, State: Untouched}}
}

// prepare does everything up to the commit. It also commits, unless hold is set and there are
// changes.
func (a *applier) prepare(ctx context.Context, hold bool) {
	hp, r := a.hp, a.r
	switch {
	case hp.Err != nil:
		r.Err = hp.Err
		return
	case hp.Failed():
		i := slices.IndexFunc(hp.Problems, func(p *ResourceProblem) bool { return p.Severity == Error })
		r.Err = fmt.Errorf("%w: %s", ErrNotPlanned, hp.Problems[i].Shown().Summary)
		return
	}
	if err := guard(func() error { a.perform(ctx); return nil }); err != nil {
		r.Err = err
	}
	if a.held = hold && r.Err == nil && len(hp.Changes) > 0; a.held {
		a.report(Progress{Host: hp.Host, Stage: Held, Done: a.steps.done, Total: a.steps.total})
		return
	}
	a.conclude(ctx)
}

// decided ends a transaction that was held: it commits if why is nil, and rolls back otherwise.
func (a *applier) decided(ctx context.Context, why error) {
	if why != nil {
		a.r.Err = fmt.Errorf("%w: %w", ErrWaveRolledBack, why)
	}
	a.conclude(ctx)
}

// conclude commits a success or rolls back a failure, does what waited for the commit, and
// completes the result.
func (a *applier) conclude(ctx context.Context) {
	h, hp, r := a.h, a.hp, a.r
	a.end(ctx)
	var done []*Change // that are committed
	second := r.Err == nil && len(a.waiting) > 0
	if second {
		done = slices.Clip(r.Done)
		a.concludeLater(ctx)
	}
	if r.Err != nil {
		switch {
		case second && (!h.touched || r.State == TakenBack):
			r.State = PartlyDone
		case !h.touched:
			r.State = Untouched
		}
		r.Done, r.NotDone = done, pointers(hp.Changes)
		r.NotDone = slices.DeleteFunc(r.NotDone, func(c *Change) bool {
			return r.Failed != nil && c.Address == r.Failed.Address || slices.ContainsFunc(done, func(d *Change) bool { return d.Resource == c.Resource })
		})
		a.report(Progress{Host: hp.Host, Stage: NotApplied, Err: r.Err})
	} else if len(hp.Changes) > 0 {
		a.report(Progress{Host: hp.Host, Stage: Applied})
	}
}

// end commits a success or rolls back a failure.
func (a *applier) end(ctx context.Context) {
	hp, r := a.hp, a.r
	if r.Err == nil {
		if len(hp.Changes) > 0 {
			a.report(Progress{Host: hp.Host, Stage: Committing, Done: a.steps.done, Total: a.steps.total})
		}
		err := guard(func() error { r.Err = a.settleCommit(ctx, a.commit(ctx)); return nil })
		if err != nil {
			r.Err = err
		}
	}
	if r.Err != nil && a.h.id != "" {
		// The host is not as wanted, or a bug interrupted the apply.
		a.rollBack(ctx)
	}
}

// concludeLater performs the second transaction, which the commit of the first one has begun.
func (a *applier) concludeLater(ctx context.Context) {
	waiting := a.waiting
	a.waiting, a.h.later, a.h.touched = nil, nil, false
	if a.h.id == "" { // see aftermath
		a.r.Err = errors.New("the connection was lost when these changes were committed, so those that come later were not started")
		return
	}
	if err := guard(func() error { a.performLater(ctx, waiting); return nil }); err != nil {
		a.r.Err = err
	}
	a.end(ctx)
}

// settleCommit turns the error of a commit into the state of the host.
func (a *applier) settleCommit(ctx context.Context, err error) error {
	var lost *lostCommit
	switch {
	case errors.Is(err, errNotCommitted):
		a.r.State = stateAfter(err)
	case errors.As(err, &lost):
		var committed bool
		committed, err = a.aftermath(ctx, lost, lost)
		if committed {
			return nil
		}
		a.r.State = stateAfter(err)
	}
	return err
}

// rollBack ends a transaction that cannot be committed.
func (a *applier) rollBack(ctx context.Context) {
	h, r := a.h, a.r
	if errors.Is(r.Err, ErrLost) {
		_, r.Err = a.aftermath(ctx, r.Err, nil)
		r.State = stateAfter(r.Err)
		return
	}
	stuck := false
	done, err := h.session.Rollback(ctx, func(e wire.Event) {
		if e.State == wire.UndoFailed {
			stuck = true
			r.Err = errors.Join(r.Err, fmt.Errorf("some changes could not be rolled back: %q", e.Error))
		}
	})
	h.id = ""
	switch {
	case err != nil:
		_, r.Err = a.aftermath(ctx, errors.Join(r.Err, err), nil)
		r.State = stateAfter(r.Err)
	case done.Journal != "" || done.Undone:
		r.rolledBack(r.Err, done, stuck)
	case done.Error != "":
		refused := fmt.Errorf("%w; the host refuses to roll back: %q", r.Err, clip(done.Error))
		_, r.Err = a.aftermath(ctx, refused, nil)
		r.State = stateAfter(r.Err)
	}
}
