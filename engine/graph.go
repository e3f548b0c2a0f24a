package engine

import (
	"path"
	"slices"
	"strings"
)

// ResourceProblem is a problem of one resource.
type ResourceProblem struct {
	Resource *Resource // nil: a problem of the host as a whole
	Problem
	With *Resource // the second resource, where two manage the same thing
}

// Shown returns the problem for printing. For a resource with sensitive values it hides the text,
// which may quote them.
func (p *ResourceProblem) Shown() Problem {
	if p.Resource == nil || len(p.Resource.Sensitive) == 0 || p.Plain {
		return p.Problem
	}
	return Problem{
		Severity: p.Severity, Attribute: p.Attribute,
		Summary: "a problem that is not shown, since the resource has sensitive values",
	}
}

type graph struct {
	resources []*Resource       // without those that were joined to others
	at        map[place]int     // the index of a resource, also of those that were joined
	addresses map[Address][]int // the same by the address alone
	before    []map[int]bool    // before[i] contains the indexes of the resources that must precede resource i
	// soft has the pairs of before (i, and what precedes it) that are only a good order: resource i
	// does not depend on the other one.
	soft     map[[2]int]bool
	awaits   [][]int    // awaits[i] are the indexes of what resource i awaits (Interim)
	handing  []handOver // what makes room for something else
	ends     bool       // a resource of a batch is to be removed
	sorted   []bool
	problems []*ResourceProblem
}

func newGraph(t Target, resources []*Resource) *graph {
	g := &graph{at: map[place]int{}, soft: map[[2]int]bool{}, addresses: map[Address][]int{}}
	provider := map[Key]int{}
	var needs, provided [][]Key
	for _, r := range resources {
		provides, more := r.keysInPlan(t)
		first, why := g.sharer(r, provides, provided, provider), ""
		if first >= 0 {
			var o *Resource
			if o, why = g.resources[first].join(r); o != nil {
				g.resources[first] = o
				g.place(r, first)
				provided[first], needs[first] = o.keysInPlan(t)
				g.provide(r, first, provided[first], provider, "")
				continue
			}
		}
		i := len(g.resources)
		g.resources, g.before = append(g.resources, r), append(g.before, map[int]bool{})
		provided, needs = append(provided, provides), append(needs, more)
		g.place(r, i)
		g.provide(r, i, provides, provider, why)
	}
	g.gather(t, needs)
	g.keepSeparate()
	g.checkClaims()
	loads := make([][]Key, len(g.resources))
	g.awaits = make([][]int, len(g.resources))
	for i, r := range g.resources {
		if r.Kind.awaits != nil && !r.Remove {
			for _, k := range r.Kind.awaits(t, r.State) {
				g.awaits[i] = append(g.awaits[i], providers(provider, k)...)
			}
		}
		loads[i] = r.Kind.loads(t, r.State)
		for _, k := range needs[i] {
			if slices.Contains(loads[i], k) {
				continue
			}
			for _, p := range providers(provider, k) {
				if r.Remove && !g.resources[p].Remove {
					g.prefer(p, i)
				} else {
					g.edge(i, p)
				}
			}
		}
		for _, k := range r.Kind.follows(t, r.State) {
			for p, o := range g.resources {
				if o.Remove && !r.Remove && slices.ContainsFunc(provided[p], func(q Key) bool { return followed(k, q) }) {
					g.edge(i, p) // it reloads without the removed file
				}
			}
		}
		for _, address := range r.dependsOn() {
			p, ok := g.find(r, address)
			if !ok {
				g.problem(r, "depends on %s, which does not exist on this host", address)
				continue
			}
			if !slices.ContainsFunc(provided[p], func(k Key) bool { return slices.Contains(loads[i], k) }) {
				g.edge(i, p)
			}
		}
	}
	g.loadFirst(provider, loads)
	g.readLast(t, provided)
	g.batch()
	if slices.ContainsFunc(g.resources, func(r *Resource) bool { return r.Remove }) {
		g.handOvers(t, provider, loads)
	}
	return g
}

// sharer returns the index of an earlier resource that r may be joined to, or -1: one that provides
// the same keys or, of a Sharer, one of them.
func (g *graph) sharer(r *Resource, provides []Key, provided [][]Key, provider map[Key]int) int {
	for _, k := range provides {
		if at, taken := provider[k]; taken && (slices.Equal(provides, provided[at]) || r.Kind.shares && r.Kind == g.resources[at].Kind) {
			return at
		}
	}
	return -1
}

// provide enters the keys of resource i, which r has added. If another resource provides one of
// them, that is a problem, which is reported once for each other resource.
func (g *graph) provide(r *Resource, i int, keys []Key, provider map[Key]int, why string) {
	reported := map[int]bool{i: true}
	for _, k := range keys {
		first, taken := provider[k]
		if !taken {
			provider[k] = i
		} else if !reported[first] {
			reported[first] = true
			g.problem(r, "two resources manage %s: %s and %s%s", describe(k), g.resources[first], r, why)
			g.problems[len(g.problems)-1].With = g.resources[first]
		}
	}
}

// keysInPlan returns the keys of a resource. Of a Sharer to remove, all but the first may belong to
// a wanted one by now.
func (r *Resource) keysInPlan(t Target) (provides, needs []Key) {
	provides, needs = r.Kind.keys(t, r.State)
	if r.Remove && r.Kind.shares && len(provides) > 1 {
		provides = provides[:1]
	}
	return provides, needs
}

// place records that r is resource i, or joined to it.
func (g *graph) place(r *Resource, i int) {
	g.at[r.place()] = i
	g.addresses[r.Address] = append(g.addresses[r.Address], i)
}

// find returns the index of the resource at an address that r depends on: of two, that to be
// removed if r is, and otherwise the wanted one.
func (g *graph) find(r *Resource, address Address) (at int, ok bool) {
	for _, i := range g.addresses[address] {
		if !ok || g.resources[i].Remove == r.Remove {
			at, ok = i, true
		}
	}
	return at, ok
}

// gather gives resources what they take from others of their type (Gatherer).
func (g *graph) gather(t Target, needs [][]Key) {
	for i, r := range g.resources {
		if r.Kind.gathers == nil || r.Remove || r.Kind.gathers(r.State) == "" {
			continue
		}
		name := r.Kind.gathers(r.State)
		c := *r
		c.asked, c.plain = nil, nil
		for j, o := range g.resources {
			if j != i && o.Kind == r.Kind && !o.Remove && slices.Contains(o.Kind.named(o.State), name) {
				c.State = c.Kind.gather(c.State, o.State)
				if c.declared != nil {
					c.declared = c.Kind.gather(c.declared, o.unrecalled())
				}
			}
		}
		g.resources[i] = &c
		_, needs[i] = c.Kind.keys(t, c.State)
	}
}

// keepSeparate reports directories of Separate types that are in one another. Equal ones provide
// the same key.
func (g *graph) keepSeparate() {
	type owned struct {
		r   *Resource
		dir string
	}
	var all []owned
	for _, r := range g.resources {
		if r.Kind.separate == nil || r.Remove {
			continue
		}
		dir, reason := r.Kind.separate(r.State)
		for _, o := range all {
			if o.dir == dir || o.r.Kind != r.Kind || !PathWithin(o.dir, dir) && !PathWithin(dir, o.dir) {
				continue
			}
			g.problem(r, "%s of %s and %s of %s are nested: %s", o.dir, o.r, dir, r, reason)
			g.problems[len(g.problems)-1].With = o.r
		}
		all = append(all, owned{r, dir})
	}
}

// checkClaims reports what two resources claim and one can have.
func (g *graph) checkClaims() {
	first := map[string]*Resource{}
	for _, r := range g.resources {
		if r.Remove {
			continue
		}
		claims, advice := r.Kind.claims(r.State)
		for _, what := range claims {
			o := first[what]
			if o == nil {
				first[what] = r
				continue
			}
			g.problem(r, "both %s and %s are %s", o, r, what)
			last := g.problems[len(g.problems)-1]
			last.With, last.Detail = o, advice
			break
		}
	}
}

// loadFirst puts a resource that makes a unit load its files before the unit's resource, also for
// removals. If it needs the unit indirectly, through another resource, it comes after the unit.
func (g *graph) loadFirst(provider map[Key]int, loads [][]Key) {
	for i := range g.resources {
		for _, k := range loads[i] {
			switch p, ok := provider[k]; {
			case !ok || p == i:
			case g.comesAfter(i, p):
				g.prefer(i, p)
			default:
				g.prefer(p, i)
			}
		}
	}
}

// readLast puts readers after what they read, unless another rule already decides the order.
func (g *graph) readLast(t Target, provided [][]Key) {
	reads := make([]map[int]bool, len(g.resources)) // by reader: what it reads
	for i, r := range g.resources {
		keys := r.Kind.reads(t, r.State)
		if len(keys) == 0 {
			continue
		}
		reads[i] = map[int]bool{}
		for p := range g.resources {
			if p != i && slices.ContainsFunc(provided[p], func(q Key) bool {
				return slices.ContainsFunc(keys, func(k Key) bool { return followed(k, q) })
			}) {
				reads[i][p] = true
			}
		}
	}
	for i := range reads {
		for _, p := range sortedKeys(reads[i]) {
			first, then := p, i
			if g.resources[i].Remove {
				first, then = i, p
			}
			if !reads[p][i] && !g.comesAfter(first, then) {
				g.prefer(then, first)
			}
		}
	}
}

// batch puts the resources of a batch after all that one of them needs, unless that needs another
// one of them. So they are ready together, those to remove and those that are wanted.
func (g *graph) batch() {
	var all []int
	for i, r := range g.resources {
		if r.Kind.batch != "" {
			all = append(all, i)
			g.ends = g.ends || r.Remove
		}
	}
	for _, i := range all {
		for _, p := range sortedKeys(g.before[i]) {
			for _, j := range all {
				if r := g.resources[j]; j != i && j != p && r.Kind.batch == g.resources[i].Kind.batch &&
					!slices.Contains(all, p) && !g.comesAfter(p, j) {
					g.prefer(j, p)
				}
			}
		}
	}
}

// comesAfter reports whether resource i comes after p by the edges so far.
func (g *graph) comesAfter(i, p int) bool {
	seen := map[int]bool{}
	var look func(at int) bool
	look = func(at int) bool {
		if at == p {
			return true
		}
		if seen[at] {
			return false
		}
		seen[at] = true
		for q := range g.before[at] {
			if look(q) {
				return true
			}
		}
		return false
	}
	return look(i)
}

// edge records that resource i needs resource p.
func (g *graph) edge(i, p int) {
	if i == p {
		return
	}
	if g.resources[i].Remove {
		i, p = p, i
	}
	g.before[i][p] = true
}

// prefer puts resource i after p, which it does not depend on.
func (g *graph) prefer(i, p int) {
	if !g.before[i][p] {
		g.before[i][p], g.soft[[2]int{i, p}] = true, true
	}
}

// markLater sets Resource.after: resources of Later types that a resource needs or follows, also
// through others.
func (g *graph) markLater(t Target, ordered []*Resource) {
	if !slices.ContainsFunc(ordered, (*Resource).later) {
		return
	}
	at := map[*Resource]int{}
	for i, r := range g.resources {
		at[r], r.after = i, nil
	}
	provided := map[*Resource][]Key{} // by those that are or need a resource of a Later type
	for n, r := range ordered {
		follows := r.Kind.follows(t, r.State)
		for _, p := range ordered[:n] {
			i := [2]int{at[r], at[p]}
			if r.Remove || provided[p] == nil || (!g.before[i[0]][i[1]] || g.soft[i]) && !slices.ContainsFunc(provided[p], func(q Key) bool {
				return slices.ContainsFunc(follows, func(k Key) bool { return followed(k, q) })
			}) {
				continue
			}
			for _, l := range append(slices.Clip(p.after), p) {
				if l.later() && !slices.Contains(r.after, l) {
					r.after = append(r.after, l)
				}
			}
		}
		if len(r.after) > 0 || r.later() {
			provided[r], _ = r.Kind.keys(t, r.State)
		}
	}
}

func (g *graph) problem(r *Resource, format string, args ...any) {
	g.problems = append(g.problems, &ResourceProblem{Resource: r, Problem: Errorf("", format, args...)})
}

// providers returns the resources that meet a need. For a path these are all that provide the path,
// a path above it, or a mount point on the way.
func providers(provider map[Key]int, need Key) []int {
	kind, name, _ := strings.Cut(string(need), ":")
	if kind != "path" {
		if p, ok := provider[need]; ok {
			return []int{p}
		}
		return nil
	}
	var found []int
	for dir := name; ; dir = path.Dir(dir) {
		for _, k := range []Key{PathKey(dir), MountKey(dir)} {
			if p, ok := provider[k]; ok {
				found = append(found, p)
			}
		}
		if dir == path.Dir(dir) {
			return found
		}
	}
}

func describe(k Key) string {
	kind, name, _ := strings.Cut(string(k), ":")
	return kind + " " + name
}
