package engine

import (
	"slices"
	"strings"
)

// An apply can have a second transaction, see Later. Until it has committed, a resource that awaits
// one of its changes can have an interim state, see Interim. So a Change can have steps for both:
// those to the interim state come first, and Step.Later marks the rest.

// latecomers are the resources of Later types that a plan changes, and of those that come after
// them.
type latecomers struct {
	target  Target
	got     Answers
	changed map[*Resource]bool
	absent  map[Key]bool // whether the host lacks them, by what they provide
	means   []string     // what clients notice until then
	kept    []*Resource  // those that work without what they await, until a unit loads them again
}

// lateIn returns the latecomers of a host, or nil if it has no resources of Later types. A web
// server has loaded the certificate of a site, so the site works without it: if keep is set, that
// one is not among them.
func lateIn(t Target, ordered []*Resource, got Answers, keep bool) *latecomers {
	if !slices.ContainsFunc(ordered, (*Resource).later) {
		return nil
	}
	l := &latecomers{target: t, got: got, changed: map[*Resource]bool{}, absent: map[Key]bool{}}
	t.Unsettled, t.Removed = settlers(t, ordered)
	for _, r := range ordered {
		k, declared := r.Kind, r.completed(t)
		want := declared
		if k.settles && !r.Remove {
			t.Unsettled = t.Unsettled[1:]
			want = k.complete(t, k.settle(t, want, t.record(r), got))
			t.Settled = append(t.Settled, want)
		}
		if r.Remove || !r.later() && !l.waits(r) {
			continue
		}
		have, err := k.read(t, declared, got)
		if err != nil {
			continue // Compare reports it
		}
		means := slices.Clip(l.means)
		if in := l.interim(r, want); len(k.diff(t, want, have)) == 0 && (in == nil || keep && in.state == nil) {
			if in != nil {
				l.kept, l.means = append(l.kept, r), means
			}
			continue
		}
		l.changed[r] = true
		provides, _ := k.keys(t, r.State)
		for _, key := range provides {
			l.absent[key] = have == nil
		}
	}
	return l
}

// disturbs reports whether the first transaction of a plan has a unit load what is kept: it would
// refuse all its files.
func (l *latecomers) disturbs(p *HostPlan) bool {
	if l == nil {
		return false
	}
	for _, r := range l.kept {
		loads := r.Kind.loads(l.target, r.State)
		if slices.ContainsFunc(p.Changes, func(c Change) bool {
			now, _ := c.parts()
			return now != nil && slices.ContainsFunc(loads, func(k Key) bool {
				return slices.Contains(c.loads, k) || slices.Contains(c.provides, k)
			})
		}) {
			return true
		}
	}
	return false
}

// waits reports whether the resource comes after a change of a Later type.
func (l *latecomers) waits(r *Resource) bool {
	return slices.ContainsFunc(r.after, func(o *Resource) bool { return l.changed[o] })
}

// interim is the state that a resource has until the second transaction has committed.
type interim struct {
	state any // *S, completed; nil: absent
}

// interim returns the interim state of a resource, or nil if it has none. want is completed and
// settled.
func (l *latecomers) interim(r *Resource, want any) *interim {
	if l == nil || r.Remove || r.Kind.awaits == nil || slices.Contains(l.kept, r) {
		return nil
	}
	awaited, missing := false, false
	for _, key := range r.Kind.awaits(l.target, want) {
		for provided, absent := range l.absent {
			if followed(provided, key) {
				awaited, missing = true, missing || absent
			}
		}
	}
	if !awaited {
		return nil
	}
	state, means := r.Kind.interim(l.target, want, l.got, missing)
	if means != "" && !slices.Contains(l.means, means) {
		l.means = append(l.means, means)
	}
	switch state {
	case want:
		return nil
	case nil:
		return &interim{}
	}
	return &interim{r.Kind.complete(l.target, state)}
}

// steps returns the steps to the interim state, followed by those from there to want.
func (in *interim) steps(t Target, k *Kind, want, have any, got Answers) ([]Step, error) {
	var now []Step
	from := in.state
	switch {
	case in.state == nil && have != nil:
		now = k.diff(t, nil, have)
	case in.state != nil:
		found, err := k.read(t, in.state, got)
		if err != nil {
			return nil, err
		}
		if now = k.diff(t, in.state, found); len(now) == 0 {
			from = have
		}
	}
	return append(slices.Clip(now), later(k.diff(t, want, from))...), nil
}

// later returns the steps, marked for the second transaction.
func later(steps []Step) []Step {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].Later = true
	}
	return steps
}

// Waits reports whether all of the change is left to the second transaction.
func (c *Change) Waits() bool {
	return len(c.Steps) > 0 && !slices.ContainsFunc(c.Steps, func(s Step) bool { return !s.Later })
}

// parts returns the parts of a change for the two transactions. One without steps is nil.
func (c *Change) parts() (now, rest *Change) {
	part := func(late bool) *Change {
		p := *c
		p.Steps = slices.DeleteFunc(slices.Clone(c.Steps), func(s Step) bool { return s.Later != late })
		if len(p.Steps) == 0 {
			return nil
		}
		return &p
	}
	return part(false), part(true)
}

// Twice reports whether an apply of the plan has a second transaction: if all steps are for that,
// one is enough.
func (p *HostPlan) Twice() bool {
	late := func(s Step) bool { return s.Later }
	some, all := false, true
	for i := range p.Changes {
		some = some || slices.ContainsFunc(p.Changes[i].Steps, late)
		all = all && p.Changes[i].Waits()
	}
	return some && !all
}

// Later reports whether a change is left to the second transaction as a whole.
func (p *HostPlan) Later(c *Change) bool { return p.Twice() && c.Waits() }

// StepSummary returns the summary of a step of a change, as plans print it: with a mark if only
// some steps of the change are left to the second transaction.
func (p *HostPlan) StepSummary(c *Change, s *Step) string {
	if s.Later && !c.Waits() {
		return s.Summary + " (later)"
	}
	return s.Summary
}

// postpone marks the steps for the second transaction, and puts changes behind what they await.
func (p *HostPlan) postpone(t Target, l *latecomers) {
	if l == nil {
		return
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.interim == nil && (l.changed[c.Resource] || l.waits(c.Resource)) {
			c.Steps = later(c.Steps)
		}
	}
	p.sortAwaiting(t)
	if p.Twice() {
		p.noteLater(l.means)
	}
}

// sortAwaiting puts each change that only leaves its interim state behind the changes that it
// awaits.
func (p *HostPlan) sortAwaiting(t Target) {
	var list []Change
	held := map[*Resource]bool{}
	ready := func(c *Change, behind []Change) bool {
		if c.interim == nil || !c.Waits() {
			return true
		}
		keys := c.Resource.Kind.awaits(t, c.Resource.State)
		return !slices.ContainsFunc(behind, func(o Change) bool {
			provides, _ := o.Resource.Kind.keys(t, o.Resource.State)
			return slices.ContainsFunc(provides, func(k Key) bool {
				return slices.ContainsFunc(keys, func(key Key) bool { return followed(k, key) })
			})
		})
	}
	for i := range p.Changes {
		c, behind := &p.Changes[i], p.Changes[i+1:]
		if !ready(c, behind) {
			held[c.Resource] = true
			continue
		}
		list = append(list, *c)
		for j := range p.Changes[:i] {
			if h := &p.Changes[j]; held[h.Resource] && ready(h, behind) {
				delete(held, h.Resource)
				list = append(list, *h)
			}
		}
	}
	p.Changes = list
}

// noteLater adds one note about all that is left to the second transaction.
func (p *HostPlan) noteLater(means []string) {
	var late []string
	for i := range p.Changes {
		c := &p.Changes[i]
		if _, rest := c.parts(); rest != nil {
			late = append(late, Local(c.Address))
		}
	}
	note := "later, after all else is committed: " + strings.Join(late, ", ")
	if len(means) > 0 {
		note += ". Until then, " + strings.Join(means, ", and ")
	}
	p.Notes = append(p.Notes, note)
}
