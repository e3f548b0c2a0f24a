package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// perform runs the steps of one host, observes the host again and confirms risky changes. It does
// not commit. Changes that wait for a second transaction are left to performLater. After an error
// the transaction is still open and must be rolled back, unless the host has ended it.
//
// It works in stages. A package installs files and a mount uncovers others, which the plan could
// not observe; so after such a step, and before a foreseen one, perform observes again and compares
// the remaining changes. It never changes a resource that the plan does not change.
func (a *hostApplier) perform(ctx context.Context) {
	v, hp, r := a.visit, a.hp, a.r
	if len(hp.Changes) == 0 {
		return // the commit adds the resources to the manifest
	}
	now, err := v.observeAgain(ctx)
	if err != nil {
		r.Err = fmt.Errorf("observe the host again: %w", err)
		return
	}
	if r.Err = errors.Join(hp.changedSince(now), now.failure()); r.Err != nil {
		return // a resource with a problem has no change in now, and would be left out
	}
	did := deeds{changed: map[*Resource]bool{}, absent: map[*Resource]bool{}, first: map[*Resource]any{}}
	for _, compared := range now.Compared {
		did.absent[compared.Resource], did.first[compared.Resource] = compared.Have == nil, compared.Want
	}
	a.did = did
	a.performAll(ctx, a.split(now))
}

// performLater is perform for the second transaction.
func (a *hostApplier) performLater(ctx context.Context, waiting []Change) {
	rest, err := a.compareAgain(ctx, waiting, false)
	if err != nil {
		a.r.Err = err
		return
	}
	for _, ch := range waiting {
		a.did.changed[ch.Resource] = true
	}
	a.performAll(ctx, rest)
}

// split returns the changes of the first transaction. It keeps those of the second one in
// a.waiting.
func (a *hostApplier) split(plan *HostPlan) (first []Change) {
	changes := plan.Changes
	if !plan.Twice() {
		return changes
	}
	late := map[*Resource]bool{} // of Later types
	for i := range changes {
		now, rest := changes[i].parts()
		if now != nil {
			first = append(first, *now)
		}
		if rest != nil {
			a.waiting = append(a.waiting, *rest)
			late[rest.Resource] = rest.Resource.later()
		}
	}
	a.did.later = map[*Resource]bool{}
	for _, r := range a.visit.ordered {
		a.did.later[r] = late[r] || slices.ContainsFunc(r.after, func(l *Resource) bool { return late[l] })
	}
	return first
}

// finished adds changes to those that are done. One that has more steps in the second transaction
// is done after that.
func (a *hostApplier) finished(changes ...*Change) {
	for _, c := range changes {
		if !slices.ContainsFunc(a.waiting, func(w Change) bool { return w.Resource == c.Resource }) {
			a.r.Done = append(a.r.Done, c)
		}
	}
}

// performAll performs all changes of a transaction.
func (a *hostApplier) performAll(ctx context.Context, rest []Change) {
	hp, r, c := a.hp, a.r, &a.steps
	total := func() { c.total = c.done + len(tasksOf(rest)) + len(tasksOf(a.waiting)) }
	total()
	confirmation := a.confirmation(rest)
	for _, ch := range rest {
		a.did.changed[ch.Resource] = true
	}
	for len(rest) > 0 {
		n := stage(rest)
		if failed := a.performStage(ctx, rest[:n], confirmation); failed {
			return
		}
		for i := range rest[:n] {
			rest[i].Resource.Replace = false // done
		}
		a.finished(pointers(rest[:n])...)
		mounted := opens(&rest[n-1]) == "mount"
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
		if rest, r.Err = a.compareAgain(ctx, rest, mounted); r.Err != nil {
			return
		}
		total()
	}
	a.report(Progress{Host: hp.Host, Stage: Confirming, Done: c.done, Total: c.total})
	if r.Err = a.confirm(ctx); r.Err != nil {
		return
	}
	if confirmation != nil {
		r.Err = a.confirmReconnected(ctx, confirmation)
	}
}

// confirmation returns how the host waits for a confirmation, or nil if no change may cut the
// connection.
func (a *hostApplier) confirmation(changes []Change) *wire.Confirmation {
	host := a.hp.Host
	timeout := a.fleet.access.ConfirmTimeout(host)
	login := a.fleet.access.Login(host)
	if timeout <= 0 || login == "" {
		return nil // this machine
	}
	users := []string{"root", login, a.visit.target.Facts.Username}
	for i := range changes {
		if what := risk(&changes[i], users, []string{"/home/" + login}); what != "" {
			a.report(Progress{Host: host, Stage: Noted, Summary: fmt.Sprintf(
				"%s may cut the connection (%s): the host rolls everything back unless mirrorform can reconnect within %v",
				changes[i].Address, what, timeout)})
			return &wire.Confirmation{Nonce: NewNonce(), Timeout: int(timeout / time.Second)}
		}
	}
	return nil
}

// confirmReconnected opens a new connection, as the next run would, and confirms the transaction
// over it.
func (a *hostApplier) confirmReconnected(ctx context.Context, c *wire.Confirmation) error {
	limit := time.Duration(c.Timeout) * time.Second * 2 / 3
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	for {
		second, e := a.fleet.access.Connect(ctx, a.hp.Host)
		if e == nil {
			e = second.Confirm(ctx, a.visit.id, c.Nonce)
			_ = second.Close() // the host has already answered the confirmation
		}
		if e == nil {
			return nil
		}
		if err == nil || ctx.Err() == nil { // the error before a timeout explains more
			err = e
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after these changes mirrorform cannot reconnect to the host, so they are rolled back: %w", err)
		case <-time.After(time.Second):
		}
	}
}

// counter counts the steps of a host.
type counter struct{ done, total int }

// opens returns what a change makes visible that could not be observed before: the files of a
// "package", what is on a "mount", or the identity of a new directory "tree"; otherwise "".
func opens(c *Change) (kind string) {
	for _, s := range c.Steps {
		switch {
		case s.Do.Package != nil && len(s.Do.Package.Install) > 0:
			kind = "package"
		case s.Do.Mount != nil && !s.Do.Mount.Remove:
			kind = "mount"
		case s.Do.Claim != nil && s.Do.Claim.Identity == "": // the directory is created
			kind = "tree"
		}
	}
	return kind
}

// stage returns how many of the changes belong to the first stage.
func stage(changes []Change) int {
	for i := range changes {
		if i > 0 && changes[i].foreseen() {
			return i
		}
		kind := opens(&changes[i])
		if kind != "" && (i+1 == len(changes) || opens(&changes[i+1]) != kind) {
			return i + 1
		}
	}
	return len(changes)
}

// compareAgain observes the host and returns which of the given changes still need steps. Changes
// that an earlier step made unnecessary count as done. What a mount uncovered, or a unit had when
// it started, existed before, so mirrorform did not make it.
func (a *hostApplier) compareAgain(ctx context.Context, rest []Change, mounted bool) ([]Change, error) {
	now, err := a.visit.observeAgain(ctx)
	if err != nil {
		return rest, fmt.Errorf("observe the host again: %w", err)
	}
	planned := map[*Resource]*Change{}
	for i := range rest {
		planned[rest[i].Resource] = &rest[i]
	}
	for _, c := range now.Compared {
		if was := planned[c.Resource]; was != nil && c.Have != nil && (mounted || was.foreseen()) {
			a.did.absent[c.Resource] = false
		}
	}
	for _, p := range now.Problems {
		if p.Severity == Error && planned[p.Resource] != nil {
			return rest, fmt.Errorf("%s: %s", p.Resource.Address, p.Shown())
		}
	}
	var left []Change
	for i := range now.Changes {
		c := &now.Changes[i]
		if planned[c.Resource] != nil && len(left) == 0 && c.foreseen() {
			return rest, c.unmet(now.Changes[:i])
		}
		if len(a.waiting) > 0 {
			c, _ = c.parts()
		}
		if c != nil && planned[c.Resource] != nil {
			left = append(left, *c)
			delete(planned, c.Resource)
		}
	}
	for i := range rest {
		if planned[rest[i].Resource] != nil {
			a.finished(&rest[i])
		}
	}
	return left, nil
}

// performStage performs changes and reports each step. It records a failed step in the result.
func (a *hostApplier) performStage(ctx context.Context, changes []Change, confirm *wire.Confirmation) (failed bool) {
	v, r, c := a.visit, a.r, &a.steps
	host := a.hp.Host
	tasks := tasksOf(changes)
	orders := make([]wire.Order, len(tasks))
	for i, t := range tasks {
		orders[i] = t.order
	}
	var failure error
	stuck := false
	a.touched = true
	done, err := v.session.Do(ctx, wire.Do{Ops: orders, Confirm: confirm}, func(e wire.Event) {
		stuck = stuck || e.State == wire.UndoFailed
		if e.ID < 0 { // of an earlier stage, which is rolled back too
			if e.State == wire.UndoFailed {
				failure = errors.Join(failure, fmt.Errorf("rolling back an earlier step failed too: %q", eventText(e)))
			}
			return
		}
		t := tasks[e.ID]
		p := Progress{Host: host, Address: t.changes[0].Address, Summary: t.summary}
		switch e.State {
		case wire.Started:
			p.Stage = StepStarted
		case wire.Working:
			p.Stage, p.Files = StepProgress, e.Files
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
			failure = errors.Join(failure, fmt.Errorf("rolling back %q failed too: %w", t.summary, p.Err))
		}
		p.Done, p.Total = c.done, c.total
		a.report(p)
	})
	switch {
	case err != nil:
		r.Err = err
		return true
	case done.Failed == nil && done.Error == "":
		return false
	}
	v.id = "" // the host has ended the transaction
	if done.Failed != nil {
		r.Failed, r.Step = tasks[*done.Failed].changes[0], tasks[*done.Failed].summary
	}
	if failure == nil && done.Error != "" {
		failure = fmt.Errorf("the host refuses the steps: %q", clip(done.Error))
	}
	if failure == nil {
		failure = errors.New("the helper gave no reason")
	}
	r.rolledBack(failure, done, stuck)
	return true
}

// rolledBack records that the host rolled back after an error. stuck means that some changes could
// not be rolled back.
func (r *HostResult) rolledBack(err error, done *wire.Done, stuck bool) {
	r.Err, r.State = err, TakenBack
	if done.Journal != "" {
		r.Err = fmt.Errorf("%w%s", err, keptIn(done.Journal))
	}
	if stuck || done.Journal != "" {
		r.State = HalfBack
	}
}

// settle is how long a host may take to show the wanted state after it was first observed: after a
// reload, for example, old workers of nginx still answer for a moment. A slow host is observed as
// often as another one, but not for longer than slowSettle.
const (
	settle     = 5 * time.Second
	looks      = 8
	slowSettle = 2 * time.Minute
)

// confirm observes the host again, until it is as wanted or the time to settle is over.
func (a *hostApplier) confirm(ctx context.Context) error {
	var first time.Time
	for n, pause := 1, 50*time.Millisecond; ; n, pause = n+1, 2*pause {
		after, err := a.visit.observe(ctx)
		if err != nil {
			return fmt.Errorf("all steps succeeded, but the host could not be observed afterwards: %w", err)
		}
		if n == 1 {
			first = time.Now()
		}
		after.forget(func(r *Resource) bool { _, met := a.did.first[r]; return !met })
		err = after.differs(a.did.later)
		took := time.Since(first)
		if err == nil || took > settle && n >= looks || took > slowSettle {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// forget drops what the plan has about resources, except how they compare.
func (p *HostPlan) forget(which func(*Resource) bool) {
	p.Changes = slices.DeleteFunc(p.Changes, func(c Change) bool { return which(c.Resource) })
	p.Problems = slices.DeleteFunc(p.Problems, func(q *ResourceProblem) bool { return q.Resource != nil && which(q.Resource) })
}

// differs returns an error that lists how an applied host is not as wanted. later has resources
// that are not applied yet; it is nil in the second transaction, or if there is only one.
func (p *HostPlan) differs(later map[*Resource]bool) error {
	var err error
	for i := range p.Changes {
		c := &p.Changes[i]
		if later[c.Resource] || later != nil && c.Waits() {
			continue
		}
		err = errors.Join(err, notAsWanted(c))
	}
	for _, q := range p.Problems {
		if q.Severity == Error && !later[q.Resource] {
			err = errors.Join(err, fmt.Errorf("%s: %s", q.Resource.Address, q.Shown()))
		}
	}
	for _, c := range p.Compared {
		if c.Resource.Postcondition == nil || c.Want == nil || later[c.Resource] {
			continue
		}
		for _, problem := range c.Resource.Postcondition(c.Have) {
			q := ResourceProblem{Resource: c.Resource, Problem: problem}
			err = errors.Join(err, fmt.Errorf("%s: postcondition failed: %s", c.Resource.Address, q.Shown()))
		}
	}
	return err
}

// changedSince returns an error that lists what changed on the host since the plan was made.
func (p *HostPlan) changedSince(now *HostPlan) error {
	then := map[place]Compared{}
	for _, c := range p.Compared {
		then[c.Resource.place()] = c
	}
	var err error
	for _, c := range now.Compared {
		was, ok := then[c.Resource.place()]
		if !ok || !bytes.Equal(canonical(c.Want, c.Have), canonical(was.Want, was.Have)) {
			err = errors.Join(err, fmt.Errorf("%s has changed on the host since the plan was made: plan again", c.Resource.Address))
		}
		delete(then, c.Resource.place())
	}
	for _, c := range p.Compared {
		if _, left := then[c.Resource.place()]; left {
			err = errors.Join(err, fmt.Errorf("%s can no longer be read, but could when the plan was made: "+
				"plan again", c.Resource.Address))
		}
	}
	return err
}

// stale returns an error if a host's new plan differs from the approved one.
func (p *HostPlan) stale(now *HostPlan) error {
	if p.MachineID != now.MachineID {
		return errors.New("the plan was made for another machine (different machine-id): plan again")
	}
	return p.changedSince(now)
}

func pointers(changes []Change) []*Change {
	list := make([]*Change, len(changes))
	for i := range changes {
		list[i] = &changes[i]
	}
	return list
}
