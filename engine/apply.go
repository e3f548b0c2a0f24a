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
	Done      []*Change // their steps were done, and they were found to be as wanted afterwards; none when Err is not nil
	Unchanged int
	Failed    *Change // the change whose step failed
	Step      string  // the summary of that step
	NotDone   []*Change
	Err       error // why the host is not as wanted
	// State says how a host was left that is not as wanted.
	State Left
}

// Left says how an apply that failed left a host.
type Left string

// How a host may be left.
const (
	Untouched   Left = "untouched"  // nothing was done on it
	TakenBack   Left = "taken back" // all that was done was taken back, but for what cannot be by its nature
	HalfBack    Left = "half back"  // not all could be taken back; the error says what
	UnknownLeft Left = "not known"  // the connection was lost, and the host could not be asked
)

// Result is what Apply did, for all hosts of the plan in its order.
type Result struct {
	Hosts []*HostResult
	// Stopped says why a rollout did not come to its end, or that its last gate did not let it pass.
	Stopped error
}

// Failed tells whether any host is not as wanted, or a rollout has stopped.
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

// ErrNotPlanned is the error of a host whose plan could not be made: nothing was done on it.
var ErrNotPlanned = errors.New("nothing was done")

// Apply performs a plan that this Fleet made. A host whose plan failed is left alone; a host that fails does not stop the others.
// Hosts that are Last come after all others have ended.
func (f *Fleet) Apply(ctx context.Context, plan *Plan, hosts []Host) *Result {
	return f.ApplyWith(ctx, plan, hosts, ApplyOptions{})
}

// ApplyWith is Apply with a say in which hosts are begun, and in whether they commit.
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

// applyHosts applies to the hosts with these indexes.
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
	_ = group.Wait() // results have the errors
}

// applier applies a plan to one host. All that it begins with is in the plan.
type applier struct {
	*Fleet
	h       *hostState
	hp      *HostPlan
	r       *HostResult
	changed map[*Resource]bool
	steps   counter
	held    bool // all is done but the commit
}

func (f *Fleet) applier(hp *HostPlan) *applier {
	return &applier{Fleet: f, h: hp.host, hp: hp, r: &HostResult{Host: hp.Host, Unchanged: hp.Unchanged, State: Untouched}}
}

// prepare does all that there is to do on a host. With hold it leaves the commit out, unless there is nothing to change.
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

// decided ends what was held: why is nil when it is to be committed.
func (a *applier) decided(ctx context.Context, why error) {
	if why != nil {
		a.r.Err = fmt.Errorf("%w: %w", ErrWaveRolledBack, why)
	}
	a.conclude(ctx)
}

// conclude commits, or takes back what did not go well, and completes the result.
func (a *applier) conclude(ctx context.Context) {
	h, hp, r := a.h, a.hp, a.r
	if r.Err == nil {
		if len(hp.Changes) > 0 {
			a.report(Progress{Host: hp.Host, Stage: Committing, Done: a.steps.done, Total: a.steps.total})
		}
		err := guard(func() error { r.Err = a.settleCommit(ctx, a.commit(ctx)); return nil })
		if err != nil {
			r.Err = err
		}
	}
	if h.id != "" {
		// It is not as wanted, or a bug came between.
		a.takeBack(ctx)
	}
	if r.Err != nil {
		if !h.touched {
			r.State = Untouched
		}
		r.Done, r.NotDone = nil, pointers(hp.Changes)
		r.NotDone = slices.DeleteFunc(r.NotDone, func(c *Change) bool { return r.Failed != nil && c.Address == r.Failed.Address })
		a.report(Progress{Host: hp.Host, Stage: NotApplied, Err: r.Err})
	} else if len(hp.Changes) > 0 {
		a.report(Progress{Host: hp.Host, Stage: Applied})
	}
}

// settleCommit turns the error of a commit into what became of the host.
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

// takeBack ends a transaction that cannot be committed.
func (a *applier) takeBack(ctx context.Context) {
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
			r.Err = errors.Join(r.Err, fmt.Errorf("not all could be taken back: %q", e.Error))
		}
	})
	h.id = ""
	switch {
	case err != nil:
		_, r.Err = a.aftermath(ctx, errors.Join(r.Err, err), nil)
		r.State = stateAfter(r.Err)
	case done.Journal != "" || done.Undone:
		r.takenBack(r.Err, done, stuck)
	case done.Error != "":
		_, r.Err = a.aftermath(ctx, fmt.Errorf("%w; the host refuses to take back: %q", r.Err, clip(done.Error)), nil)
		r.State = stateAfter(r.Err)
	}
}
