package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	pathpkg "path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sync/errgroup"
)

// Action is what a plan does to a resource.
type Action string

// The actions of a Change.
const (
	Create  Action = "create"
	Update  Action = "update"
	Delete  Action = "delete"
	Replace Action = "replace"
)

// Change is what a plan does to one resource.
type Change struct {
	Resource *Resource
	Address  string
	Also     []string // addresses of other resources that want the same thing: see Resource.Owners
	Type     string
	Action   Action
	// Before and After are the attributes that are managed or differ, in the order in which the type
	// declares them. Before is nil for Create, After for Delete.
	Before, After []Attribute
	Steps         []Step
	risk          string // of a Risky type: what may be cut off
	loads         []Key  // units whose last steps load what the first ones write
	provides      []Key
	needs         []Key
	interim       *interim
	// secrets is the address of the resource whose secrets may appear in the output of the steps'
	// programs, or "".
	secrets string
}

// HostPlan is the plan of one host.
type HostPlan struct {
	Host      string
	MachineID string      // see machine-id(5); empty for hosts with Last set
	Facts     *wire.Facts // nil if the host was not reached
	Changes   []Change
	Unchanged int                // resources that are as wanted
	Compared  []Compared         // all resources, in order
	Problems  []*ResourceProblem // warnings, and errors that stop this host
	Notes     []string           // other information: who has the lock, what is released
	Err       error              // why the host could not be reached or read

	visit    *visit   // for an apply; nil without one
	released []string // addresses that would be removed, but existed before mirrorform managed them
}

// Compared is the comparison of one resource.
type Compared struct {
	Resource *Resource
	Want     any // *S, completed; nil if the resource is to be removed
	Have     any // *S as found; nil if absent

	declared any // Want without remembered values and values that the host's answers decided
}

// Failed reports whether the host's plan cannot be applied.
func (p *HostPlan) Failed() bool {
	return p.Err != nil || slices.ContainsFunc(p.Problems, func(q *ResourceProblem) bool { return q.Severity == Error })
}

// failure returns why the host's plan cannot be applied, or nil.
func (p *HostPlan) failure() error {
	err := p.Err
	for _, q := range p.Problems {
		switch {
		case q.Severity != Error:
		case q.Resource == nil:
			err = errors.Join(err, errors.New(q.Shown().String()))
		default:
			err = errors.Join(err, fmt.Errorf("%s: %s", q.Resource.Address, q.Shown()))
		}
	}
	return err
}

// Plan is the plan of all hosts, in declaration order.
type Plan struct {
	Hosts []*HostPlan

	fleet Fleet  // whose hosts they are
	hosts []Host // of each HostPlan
}

// Close closes the connections of the plan, which frees the locks of its hosts.
func (p *Plan) Close() {
	var closing errgroup.Group
	for _, h := range p.Hosts {
		closing.Go(func() error {
			h.visit.close()
			return nil
		})
	}
	_ = closing.Wait() // always nil
}

// Counts are the totals of a plan.
type Counts struct {
	Create, Update, Delete, Replace, Unchanged int
}

// Changes returns how many resources the plan changes.
func (c Counts) Changes() int { return c.Create + c.Update + c.Delete + c.Replace }

// Counts returns the totals of all hosts.
func (p *Plan) Counts() Counts {
	var c Counts
	for _, h := range p.Hosts {
		c.Unchanged += h.Unchanged
		for _, ch := range h.Changes {
			switch ch.Action {
			case Create:
				c.Create++
			case Update:
				c.Update++
			case Delete:
				c.Delete++
			case Replace:
				c.Replace++
			}
		}
	}
	return c
}

// Failed reports whether the plan of any host cannot be applied.
func (p *Plan) Failed() bool {
	return slices.ContainsFunc(p.Hosts, (*HostPlan).Failed)
}

// Questions returns the questions about resources, each one once.
func Questions(t Target, resources []*Resource) []wire.Query {
	var all []wire.Query
	seen := map[string]bool{}
	for _, r := range resources {
		for _, q := range r.Kind.ask(t, r.completed(t)) {
			if k := q.Key(); !seen[k] {
				seen[k] = true
				all = append(all, q)
			}
		}
	}
	return all
}

// Compare makes the plan of one host. ordered are its resources in the order of Order, got are the
// answers to their Questions.
func Compare(t Target, ordered []*Resource, got Answers) *HostPlan {
	p, late := compare(t, ordered, got, true)
	if late.disturbs(p) {
		p, _ = compare(t, ordered, got, false)
	}
	return p
}

// compare is Compare. keep is whether a resource that works without what it awaits is kept.
func compare(t Target, ordered []*Resource, got Answers, keep bool) (*HostPlan, *latecomers) {
	p := &HostPlan{Host: t.Name, MachineID: t.Facts.MachineID}
	changed, gone := map[Key]bool{}, map[Key]bool{}
	note := func(r *Resource, in map[Key]bool) {
		provides, _ := r.Kind.keys(t, r.State)
		for _, key := range provides {
			in[key] = true
		}
	}
	t.Unsettled, t.Removed = settlers(t, ordered)
	t.Provided = map[Key]bool{}
	for _, r := range ordered {
		if !r.Remove {
			note(r, t.Provided)
		}
	}
	late := lateIn(t, ordered, got, keep)
	for _, r := range ordered {
		k := r.Kind
		want := r.completed(t)
		if k.settles && !r.Remove {
			t.Unsettled = t.Unsettled[1:]
		}
		have, err := k.read(t, want, got)
		if err != nil {
			p.Problems = append(p.Problems, &ResourceProblem{Resource: r, Problem: Errorf("", "%v", err)})
			continue
		}
		if r.Remove {
			p.Compared = append(p.Compared, Compared{Resource: r, Have: have})
			if p.remove(t, r, have, gone) {
				note(r, changed)
				note(r, gone)
				t.Stops = append(t.Stops, stopped(p.Changes[len(p.Changes)-1].Steps)...)
			}
			continue
		}
		declared := want
		if k.settles {
			want, declared = k.complete(t, k.settle(t, want, t.record(r), got)), r.unsettled(t)
			t.Settled = append(t.Settled, want)
		}
		p.Compared = append(p.Compared, Compared{r, want, have, declared})
		if problems := k.check(t, want, have); len(problems) > 0 {
			fatal := false
			for _, problem := range problems {
				p.Problems = append(p.Problems, &ResourceProblem{Resource: r, Problem: problem})
				fatal = fatal || problem.Severity == Error
			}
			if fatal {
				continue
			}
		}
		if follows(k.follows(t, want), changed) {
			have = k.stale(want, have)
		}
		in := late.interim(r, want)
		steps, problem := stepsTo(t, r, want, have, in, got)
		if problem != nil {
			p.Problems = append(p.Problems, &ResourceProblem{Resource: r, Problem: *problem})
			continue
		}
		if len(steps) == 0 {
			p.Unchanged++
			continue
		}
		note(r, changed)
		t.Stops = append(t.Stops, stopped(steps)...)
		p.Changes = append(p.Changes, newChange(r, want, have, steps))
		p.Changes[len(p.Changes)-1].interim = in
	}
	p.postpone(t, late)
	secrets := secretsNear(t, ordered)
	for i := range p.Changes {
		c := &p.Changes[i]
		c.loads, c.secrets = c.Resource.Kind.loads(t, c.Resource.State), secrets[c.Resource]
		c.provides, c.needs = c.Resource.Kind.keys(t, c.Resource.State)
	}
	p.skipLoads()
	p.expect(got)
	p.noteReleased()
	return p, late
}

// settlers returns the completed states of Settlers, in order: those that are wanted, and those
// that are removed.
func settlers(t Target, ordered []*Resource) (wanted, removed []any) {
	for _, r := range ordered {
		switch {
		case !r.Kind.settles:
		case r.Remove:
			removed = append(removed, r.completed(t))
		default:
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
	if !r.Purge && (r.Shared != "" || !r.Made) {
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

func newChange(r *Resource, want, have any, steps []Step) Change {
	c := Change{Resource: r, Address: r.Address.String(), Also: r.also(), Type: r.Kind.Name, Action: Update, Steps: steps}
	switch {
	case want == nil:
		c.Action = Delete
	case have == nil:
		c.Action = Create
	case r.Replace:
		c.Action = Replace
	}
	if r.Kind.risk != nil {
		c.risk = r.Kind.risk(want, have)
	}
	c.Before, c.After = compareAttributes(want, have, r.Sensitive)
	return c
}

// ForHost finds a host's plan, or nil.
func (p *Plan) ForHost(name string) *HostPlan {
	for _, h := range p.Hosts {
		if h.Host == name {
			return h
		}
	}
	return nil
}

func (c *Change) String() string { return fmt.Sprintf("%s %s", c.Action, c.Address) }
