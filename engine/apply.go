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

// Applier performs a plan.
type Applier struct {
	plan   *Plan
	report Report
	books  *books
}

// NewApplier returns an Applier for a plan that was made under a Lock. A plan is applied once.
func NewApplier(p *Plan, r Report) *Applier {
	return &Applier{plan: p, report: r, books: newBooks(p.fleet.ledger)}
}

// Apply performs the plan. It skips hosts whose plan failed, and continues with the others when a
// host fails. Hosts with Last set start after all others have ended.
func (a *Applier) Apply(ctx context.Context, o ApplyOptions) *Result {
	result := &Result{Hosts: make([]*HostResult, len(a.plan.Hosts))}
	for _, last := range []bool{false, true} {
		var list []int
		for i, h := range a.plan.hosts {
			if h.Last == last {
				list = append(list, i)
			}
		}
		a.applyHosts(ctx, list, o, result)
	}
	return result
}

// applyHosts applies the plan to the hosts with these indexes.
func (a *Applier) applyHosts(ctx context.Context, list []int, o ApplyOptions, result *Result) {
	plan, limit := a.plan, a.plan.fleet.limit
	q := newQueue(plan, list, o)
	works := map[int]*hostApplier{}
	var held []int
	ended := make(chan int)
	for running := 0; ; {
		for limit <= 0 || running < limit {
			i := q.next()
			if i < 0 {
				break
			}
			hp := plan.Hosts[i]
			if why := o.refuse(hp, result.Hosts); why != nil {
				result.Hosts[i] = NotStartedResults([]string{hp.Host}, why)[0]
				q.done(i)
				continue
			}
			work := a.host(hp)
			works[i], result.Hosts[i] = work, work.r
			running++
			go func() {
				work.prepare(ctx, o.Decide != nil)
				ended <- i
			}()
		}
		if running == 0 {
			if q.stuck() {
				continue
			}
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
	if len(held) > 0 {
		a.decide(ctx, held, works, o, result)
	}
}

// decide ends the transactions of the hosts with the indexes held, as o.Decide says.
func (a *Applier) decide(ctx context.Context, held []int, works map[int]*hostApplier, o ApplyOptions, result *Result) {
	var results []*HostResult
	for _, r := range result.Hosts {
		if r != nil {
			results = append(results, r)
		}
	}
	verdict := o.Decide(ctx, results)
	group := a.plan.fleet.group()
	for _, i := range held {
		group.Go(func() error {
			works[i].decided(ctx, verdict)
			return nil
		})
	}
	_ = group.Wait() // the results contain the errors
}

// hostApplier applies the plan of one host.
type hostApplier struct {
	*Applier
	fleet   *Fleet
	visit   *visit
	hp      *HostPlan
	r       *HostResult
	did     deeds
	steps   counter
	touched bool     // an operation was sent in the open transaction
	held    bool     // everything but the commit is done
	waiting []Change // for the second transaction
}

func (a *Applier) host(hp *HostPlan) *hostApplier {
	return &hostApplier{
		Applier: a, fleet: &a.plan.fleet, visit: hp.visit, hp: hp,
		r: &HostResult{Host: hp.Host, Unchanged: hp.Unchanged, State: Untouched},
	}
}

// prepare does everything up to the commit. It also commits, unless hold is set and there are
// changes.
func (a *hostApplier) prepare(ctx context.Context, hold bool) {
	hp, r := a.hp, a.r
	switch {
	case hp.Err != nil:
		r.Err = hp.Err
		return
	case hp.Failed():
		i := slices.IndexFunc(hp.Problems, func(p *ResourceProblem) bool { return p.Severity == Error })
		r.Err = fmt.Errorf("%w: %s", ErrNotPlanned, hp.Problems[i].Shown().Summary)
		return
	case a.visit == nil:
		r.Err = fmt.Errorf("%w: the plan was made without the host's lock", ErrNotPlanned)
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
func (a *hostApplier) decided(ctx context.Context, why error) {
	if why != nil {
		a.r.Err = fmt.Errorf("%w: %w", ErrWaveRolledBack, why)
	}
	a.conclude(ctx)
}

// conclude commits a success or rolls back a failure, does what waited for the commit, and
// completes the result.
func (a *hostApplier) conclude(ctx context.Context) {
	hp, r := a.hp, a.r
	a.end(ctx)
	var done []*Change // that are committed
	second := r.Err == nil && len(a.waiting) > 0
	if second {
		done = slices.Clip(r.Done)
		a.concludeLater(ctx)
	}
	if r.Err != nil {
		switch {
		case second && (!a.touched || r.State == TakenBack):
			r.State = PartlyDone
		case !a.touched:
			r.State = Untouched
		}
		r.Done, r.NotDone = done, pointers(hp.Changes)
		r.NotDone = slices.DeleteFunc(r.NotDone, func(c *Change) bool {
			return r.Failed != nil && c.Resource == r.Failed.Resource || slices.ContainsFunc(done, func(d *Change) bool { return d.Resource == c.Resource })
		})
		a.report(Progress{Host: hp.Host, Stage: NotApplied, Err: r.Err})
	} else if len(hp.Changes) > 0 {
		a.report(Progress{Host: hp.Host, Stage: Applied})
	}
}

// end commits a success or rolls back a failure.
func (a *hostApplier) end(ctx context.Context) {
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
	if r.Err != nil && a.visit.id != "" {
		// The host is not as wanted, or a bug interrupted the apply.
		a.rollBack(ctx)
	}
}

// concludeLater performs the second transaction, which the commit of the first one has begun.
func (a *hostApplier) concludeLater(ctx context.Context) {
	waiting := a.waiting
	a.waiting, a.did.later, a.touched = nil, nil, false
	if a.visit.id == "" { // see aftermath
		a.r.Err = errors.New("the connection was lost when these changes were committed, so those that come later were not started")
		return
	}
	if err := guard(func() error { a.performLater(ctx, waiting); return nil }); err != nil {
		a.r.Err = err
	}
	a.end(ctx)
}

// settleCommit turns the error of a commit into the state of the host.
func (a *hostApplier) settleCommit(ctx context.Context, err error) error {
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
func (a *hostApplier) rollBack(ctx context.Context) {
	v, r := a.visit, a.r
	if errors.Is(r.Err, ErrLost) {
		_, r.Err = a.aftermath(ctx, r.Err, nil)
		r.State = stateAfter(r.Err)
		return
	}
	stuck := false
	done, err := v.session.Rollback(ctx, func(e wire.Event) {
		if e.State == wire.UndoFailed {
			stuck = true
			r.Err = errors.Join(r.Err, fmt.Errorf("some changes could not be rolled back: %q", e.Error))
		}
	})
	v.id = ""
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
