package engine

import (
	"cmp"
	"fmt"
	"maps"
	pathpkg "path"
	"slices"
	"strings"
)

// Compare makes the plan of one host. ordered are its resources in the order of Order, got are the
// answers to their Questions.
func Compare(t Target, ordered []*Resource, got Answers) *HostPlan {
	p, late := compare(t, ordered, got, true)
	if late.disturbs(p) {
		p, _ = compare(t, ordered, got, false)
	}
	return p
}

// comparison compares the resources of a host, one after the other.
type comparison struct {
	t    Target
	got  Answers
	plan *HostPlan
	late *latecomers
	// The keys of what the plan changes, and of what it removes.
	changed, gone map[Key]bool
}

// compare is Compare. keep is whether a resource that works without what it awaits is kept.
func compare(t Target, ordered []*Resource, got Answers, keep bool) (*HostPlan, *latecomers) {
	c := &comparison{t: t, got: got, plan: &HostPlan{Host: t.Name, MachineID: t.Facts.MachineID}, changed: map[Key]bool{}, gone: map[Key]bool{}}
	c.t.Unsettled, c.t.Removed = settlers(t, ordered)
	c.t.Provided = map[Key]bool{}
	for _, r := range ordered {
		if !r.Remove {
			c.note(r, c.t.Provided)
		}
	}
	c.late = lateIn(c.t, ordered, got, keep)
	for _, r := range ordered {
		c.add(r)
	}
	p := c.plan
	p.postpone(c.t, c.late)
	secrets := secretsNear(c.t, ordered)
	for i := range p.Changes {
		change := &p.Changes[i]
		change.loads, change.secrets = change.Resource.Kind.loads(c.t, change.Resource.State), secrets[change.Resource]
		change.provides, change.needs = change.Resource.Kind.keys(c.t, change.Resource.State)
	}
	p.skipLoads()
	p.expect(got)
	p.noteReleased()
	return p, c.late
}

// note adds what a resource provides to a set.
func (c *comparison) note(r *Resource, in map[Key]bool) {
	provides, _ := r.Kind.keys(c.t, r.State)
	for _, key := range provides {
		in[key] = true
	}
}

// add compares the next resource.
func (c *comparison) add(r *Resource) {
	k, p := r.Kind, c.plan
	want := r.completed(c.t)
	if k.settles && !r.Remove {
		c.t.Unsettled = c.t.Unsettled[1:]
	}
	if c.inert(r, want) {
		if !r.Remove {
			c.check(r, k.complete(c.t, k.settle(c.t, want, c.t.record(r), c.got)), nil)
		}
		return
	}
	have, err := k.read(c.t, want, c.got)
	switch {
	case err != nil:
		p.unread = true
		c.problem(r, Errorf("", "%v", err))
	case r.Remove:
		p.Compared = append(p.Compared, Compared{Resource: r, Have: have})
		if p.remove(c.t, r, have, c.gone) {
			c.note(r, c.changed)
			c.note(r, c.gone)
			c.t.Stops = append(c.t.Stops, stopped(p.Changes[len(p.Changes)-1].Steps)...)
		}
	default:
		declared := want
		if k.settles {
			want, declared = k.complete(c.t, k.settle(c.t, want, c.t.record(r), c.got)), r.unsettled(c.t)
			c.t.Settled = append(c.t.Settled, want)
		}
		p.Compared = append(p.Compared, Compared{r, want, have, declared})
		if c.check(r, want, have) {
			c.change(r, want, have)
		}
	}
}

// inert reports whether a resource does not apply to the host. A removal does if the manifest has
// it.
func (c *comparison) inert(r *Resource, want any) bool {
	if r.Remove && slices.ContainsFunc(r.owners(), func(o *Resource) bool { return c.t.record(o) != nil }) {
		return false
	}
	return !r.Kind.applies(c.t, want, c.got)
}

func (c *comparison) problem(r *Resource, problem Problem) {
	c.plan.Problems = append(c.plan.Problems, &ResourceProblem{Resource: r, Problem: problem})
}

// check adds the problems of a resource, and reports whether none is an error.
func (c *comparison) check(r *Resource, want, have any) bool {
	good := true
	for _, problem := range r.Kind.check(c.t, want, have) {
		c.problem(r, problem)
		good = good && problem.Severity != Error
	}
	return good
}

// change adds the change from have to want, if there is one.
func (c *comparison) change(r *Resource, want, have any) {
	p := c.plan
	if follows(r.Kind.follows(c.t, want), c.changed) {
		have = r.Kind.stale(want, have)
	}
	in := c.late.interim(r, want)
	steps, problem := stepsTo(c.t, r, want, have, in, c.got)
	switch {
	case problem != nil:
		c.problem(r, *problem)
	case len(steps) == 0:
		p.Unchanged++
	default:
		c.note(r, c.changed)
		c.t.Stops, c.t.Starts = append(c.t.Stops, stopped(steps)...), append(c.t.Starts, started(steps)...)
		p.Changes = append(p.Changes, newChange(r, want, have, steps))
		p.Changes[len(p.Changes)-1].interim = in
	}
}

// stays reports whether a resource to remove is released, or refused, instead.
func (r *Resource) stays() bool {
	return r.PreventDestroy || !r.Purge && (r.Shared != "" || !r.Made)
}

// settlers returns the completed states of Settlers, in order: those that are wanted, and those
// that are removed.
func settlers(t Target, ordered []*Resource) (wanted, removed []any) {
	for _, r := range ordered {
		switch {
		case !r.Kind.settles:
		case r.Remove && !r.stays():
			removed = append(removed, r.completed(t))
		case !r.Remove:
			wanted = append(wanted, r.completed(t))
		}
	}
	return wanted, removed
}

// stepsTo returns the steps from have to want, by way of an interim state if there is one.
func stepsTo(t Target, r *Resource, want, have any, in *interim, got Answers) ([]Step, *Problem) {
	switch {
	case r.Replace && have != nil && in != nil:
		return nil, &Problem{Summary: "it cannot be replaced before what it awaits is there", Detail: "Leave out --replace " + r.Address.String() + "."}
	case r.Replace && have != nil:
		return replacement(t, r, want, have)
	case in == nil:
		return r.Kind.diff(t, want, have), nil
	}
	steps, err := in.steps(t, r.Kind, want, have, got)
	if err != nil {
		problem := Errorf("", "%v", err)
		return nil, &problem
	}
	return steps, nil
}

// secretsNear returns the resources whose programs may print a secret in another form: those that
// contain one, those that depend on such a resource, and units that load its files. The value is
// the address of the resource with the secret.
func secretsNear(t Target, resources []*Resource) map[*Resource]string {
	near, at, provided := map[*Resource]string{}, map[Address][]*Resource{}, map[Key]string{}
	for _, r := range resources {
		if len(r.Sensitive) > 0 {
			near[r] = r.Address.String()
			provides, _ := r.Kind.keys(t, r.State)
			for _, k := range provides {
				provided[k] = near[r]
			}
		}
	}
	if len(near) == 0 {
		return nil
	}
	for _, r := range resources {
		for _, a := range r.Owners() {
			at[a] = append(at[a], r)
		}
	}
	held := slices.Sorted(maps.Keys(provided))
	for _, r := range resources { // in order: a resource follows what it depends on
		for _, a := range r.dependsOn() {
			for _, o := range at[a] {
				near[r] = cmp.Or(near[r], near[o])
			}
		}
		for _, k := range r.Kind.follows(t, r.State) {
			for _, q := range held {
				if followed(k, q) {
					near[r] = cmp.Or(near[r], provided[q])
				}
			}
		}
	}
	return near
}

// noteReleased adds one note about all released resources.
func (p *HostPlan) noteReleased() {
	if len(p.released) > 0 {
		p.Notes = append(p.Notes, "released, since it was on the host before mirrorform managed it; it stays: "+
			strings.Join(p.released, ", "))
	}
}

// replacement returns the steps that remove and recreate a resource, or the reason why it cannot be
// replaced.
func replacement(t Target, r *Resource, want, have any) ([]Step, *Problem) {
	why := cmp.Or(r.Kept(), r.Kind.irreplaceable(want, have))
	if r.PreventDestroy {
		why = "it has prevent_destroy"
	}
	removal, creation := r.Kind.diff(t, nil, have), r.Kind.diff(t, want, nil)
	// A unit that does not run may need no removal.
	acts := len(creation) > 0 && !slices.ContainsFunc(creation, func(s Step) bool { return s.Do.Unit == nil })
	if why == "" && len(removal) == 0 && !acts {
		why = "it cannot be removed: it contains something else, something else needs it, or it is not of the kind " +
			"that mirrorform creates"
	}
	if why != "" {
		return nil, &Problem{Summary: "it cannot be replaced: " + why, Detail: "Leave out --replace " + r.Address.String() + "."}
	}
	return append(slices.Clip(removal), creation...), nil
}

// remove plans the removal of a resource and reports whether it changes anything. gone has the keys
// of what is removed before it.
func (p *HostPlan) remove(t Target, r *Resource, have any, gone map[Key]bool) bool {
	if have == nil {
		p.Unchanged++
		return false
	}
	if r.PreventDestroy {
		p.Problems = append(p.Problems, &ResourceProblem{Resource: r, Problem: Problem{Summary: "it would be removed, but has prevent_destroy",
			Detail: "To release it and keep it on the host, declare removed { from = … }. To remove it, first declare " +
				"it without prevent_destroy and apply."}})
		return false
	}
	if r.stays() {
		if r.Made {
			p.Notes = append(p.Notes, fmt.Sprintf("%s stays and is released: %s", r.Address.Local(), r.Shared))
		} else {
			p.released = append(p.released, r.Address.Local())
		}
		p.Unchanged++
		return false
	}
	if r.Kind.without != nil {
		have = r.Kind.without(have, func(path string) bool { return gone[PathKey(path)] })
	}
	steps := r.Kind.diff(t, nil, have)
	if len(steps) == 0 {
		if r.Kind.without != nil {
			p.Notes = append(p.Notes, r.Address.Local()+" stays: it contains something else")
		}
		p.Unchanged++
		return false
	}
	p.Changes = append(p.Changes, newChange(r, nil, have, steps))
	return true
}

// follows reports whether one of keys, or something below it, has changed.
func follows(keys []Key, changed map[Key]bool) bool {
	return slices.ContainsFunc(keys, func(k Key) bool {
		for c := range changed {
			if followed(k, c) {
				return true
			}
		}
		return false
	})
}

// followed reports whether a follower of key k must act when key other changes: they are equal, or
// other is a path below k.
func followed(k, other Key) bool {
	return k == other || strings.HasPrefix(string(k), "path:") && strings.HasPrefix(string(other), string(k)+"/")
}

// expect gives the first operation on each path the fingerprint that was observed there. Later
// operations find what earlier ones left, and those below a mount point find what is mounted.
func (p *HostPlan) expect(got Answers) {
	met := map[string]bool{}
	behind := func(path string) bool {
		for ; len(path) > 1; path = pathpkg.Dir(path) {
			if met["mount:"+path] {
				return true
			}
		}
		return false
	}
	for i := range p.Changes {
		for j := range p.Changes[i].Steps {
			op := &p.Changes[i].Steps[j].Do
			if op.Mount != nil {
				met["mount:"+op.Mount.Path] = true
			}
			if path := op.Path(); path != "" && !met[path] && !behind(path) {
				op.Expect = got.prints[path]
				met[path] = true
			}
		}
	}
}
