package engine

import (
	"container/heap"
	"path"
	"slices"
	"sort"
	"strings"
)

// Order sorts one host's resources so that each comes after what it needs: what its keys say, and
// what the configuration's references say. Among those that may come next, packages go first and
// together, so that one run of the package manager installs them; otherwise the order given is
// kept. Resources to be removed come before all others, in the opposite order of the one given, but
// for packages, which come last of all: until then the programs that are stopped, and what they
// leave running, have their files.
//
// The problems are two resources that provide one key, a reference to nothing, and cycles.
func Order(t Target, resources []*Resource) ([]*Resource, []*ResourceProblem) {
	g := newGraph(t, resources)
	if len(g.problems) > 0 {
		return nil, g.problems
	}
	ordered := g.sort()
	if len(ordered) < len(resources) {
		return nil, []*ResourceProblem{g.cycle()}
	}
	return ordered, nil
}

// Dependencies returns for each of one host's resources the indexes of those that Order puts before it, in ascending order. The problems are Order's.
func Dependencies(t Target, resources []*Resource) ([][]int, []*ResourceProblem) {
	g := newGraph(t, resources)
	switch {
	case len(g.problems) > 0:
		return nil, g.problems
	case len(g.sort()) < len(resources):
		return nil, []*ResourceProblem{g.cycle()}
	}
	before := make([][]int, len(resources))
	for i := range resources {
		before[i] = sortedKeys(g.before[i])
	}
	return before, nil
}

// ResourceProblem is a problem of one resource.
type ResourceProblem struct {
	Resource *Resource // nil: of the host as a whole
	Problem
	With *Resource // the other one, where two resources manage one thing
}

// Shown is the problem as it may be printed. A resource with sensitive values tells only that there is one, since the text may quote them.
func (p *ResourceProblem) Shown() Problem {
	if p.Resource == nil || len(p.Resource.Sensitive) == 0 || p.Plain {
		return p.Problem
	}
	return Problem{Severity: p.Severity, Attribute: p.Attribute, Summary: "there is something wrong with it that is not shown, since it has sensitive values"}
}

type graph struct {
	resources []*Resource
	before    []map[int]bool // before[i] holds the indexes of what must come before resource i
	sorted    []bool
	problems  []*ResourceProblem
}

func newGraph(t Target, resources []*Resource) *graph {
	g := &graph{resources: resources, before: make([]map[int]bool, len(resources))}
	provider := map[Key]int{}
	byAddress := map[string]int{}
	needs, provided := make([][]Key, len(resources)), make([][]Key, len(resources))
	for i, r := range resources {
		g.before[i] = map[int]bool{}
		byAddress[r.Address] = i
		provided[i], needs[i] = r.Kind.keys(t, r.State)
		for _, k := range provided[i] {
			if first, taken := provider[k]; taken {
				g.problem(r, "two resources manage %s: %s and %s", describe(k), resources[first], r)
				g.problems[len(g.problems)-1].With = resources[first]
				continue
			}
			provider[k] = i
		}
	}
	loads := make([][]Key, len(resources))
	for i, r := range resources {
		loads[i] = r.Kind.loads(t, r.State)
		for _, k := range needs[i] {
			if slices.Contains(loads[i], k) {
				continue
			}
			for _, p := range providers(provider, k) {
				g.edge(i, p)
			}
		}
		for _, k := range r.Kind.follows(t, r.State) {
			for p, o := range resources {
				if o.Remove && !r.Remove && slices.ContainsFunc(provided[p], func(q Key) bool { return followed(k, q) }) {
					g.edge(i, p) // it loads what is left
				}
			}
		}
		for _, address := range r.DependsOn {
			p, ok := byAddress[address]
			if !ok {
				g.problem(r, "depends on %s, which is not on this host", address)
				continue
			}
			if !slices.ContainsFunc(provided[p], func(k Key) bool { return slices.Contains(loads[i], k) }) {
				g.edge(i, p)
			}
		}
	}
	g.loadFirst(provider, loads)
	g.readLast(t, provided)
	return g
}

// loadFirst puts what has a unit load it before the unit's resource, also where both are removed.
// Where it needs the unit by way of something else, it comes after.
func (g *graph) loadFirst(provider map[Key]int, loads [][]Key) {
	for i := range g.resources {
		for _, k := range loads[i] {
			switch p, ok := provider[k]; {
			case !ok || p == i:
			case g.comesAfter(i, p):
				g.before[i][p] = true
			default:
				g.before[p][i] = true
			}
		}
	}
}

// readLast puts what reads others after them, as far as nothing else decides.
func (g *graph) readLast(t Target, provided [][]Key) {
	reads := make([]map[int]bool, len(g.resources)) // by reader, what it reads
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
				g.before[then][first] = true
			}
		}
	}
}

// comesAfter tells whether resource i comes after p by what is known so far.
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

// edge says that resource i needs resource p.
func (g *graph) edge(i, p int) {
	if i == p {
		return
	}
	if g.resources[i].Remove {
		i, p = p, i
	}
	g.before[i][p] = true
}

func (g *graph) problem(r *Resource, format string, args ...any) {
	g.problems = append(g.problems, &ResourceProblem{Resource: r, Problem: Errorf("", format, args...)})
}

// providers finds what meets a need: for a path, everything that provides it or a path above it, mount points included.
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

// sort returns the resources in order; fewer than all when there is a cycle. Of those that nothing
// holds back, removals come first, the last one given before the others; then packages, then what
// is declared first; then removals of packages.
func (g *graph) sort() []*Resource {
	g.sorted = make([]bool, len(g.resources))
	waiting, after := make([]int, len(g.resources)), make([][]int, len(g.resources)) // how many are to come before, and which come after
	ready := &ranks{}
	push := func(i int) {
		heap.Push(ready, g.rank(i))
	}
	for i := range g.resources {
		for p := range g.before[i] {
			after[p] = append(after[p], i)
		}
		if waiting[i] = len(g.before[i]); waiting[i] == 0 {
			push(i)
		}
	}
	ordered := make([]*Resource, 0, len(g.resources))
	for ready.Len() > 0 {
		next := heap.Pop(ready).(int) % len(g.resources)
		g.sorted[next] = true
		ordered = append(ordered, g.resources[next])
		for _, i := range after[next] {
			if waiting[i]--; waiting[i] == 0 {
				push(i)
			}
		}
	}
	return ordered
}

// rank is the place of a resource among those that nothing holds back; the lowest comes first. Its
// remainder by the number of resources is the index.
func (g *graph) rank(i int) int {
	n, r := len(g.resources), g.resources[i]
	group, place := 2, i
	switch isPackage := r.Kind.Name == "package"; {
	case r.Remove && isPackage:
		group, place = 3, n-1-i
	case r.Remove:
		group, place = 0, n-1-i
	case isPackage:
		group = 1
	}
	return (group*n+place)*n + i
}

// ranks is a heap (container/heap): the smallest comes first.
type ranks struct{ sort.IntSlice }

// Push implements heap.Interface.
func (r *ranks) Push(x any) { r.IntSlice = append(r.IntSlice, x.(int)) }

// Pop implements heap.Interface.
func (r *ranks) Pop() any {
	last := len(r.IntSlice) - 1
	x := r.IntSlice[last]
	r.IntSlice = r.IntSlice[:last]
	return x
}

// cycle describes one cycle. There is one, or sort would have returned everything.
func (g *graph) cycle() *ResourceProblem {
	at, seen := slices.Index(g.sorted, false), map[int]int{}
	var way []int
	for {
		if first, ok := seen[at]; ok {
			way = append(way[first:], at)
			break
		}
		seen[at] = len(way)
		way = append(way, at)
		for _, p := range sortedKeys(g.before[at]) {
			if !g.sorted[p] {
				at = p
				break
			}
		}
	}
	names := make([]string, len(way))
	for i, w := range way {
		names[i] = g.resources[w].String()
	}
	return &ResourceProblem{Resource: g.resources[way[0]], Problem: Errorf("", "resources need each other in a cycle: %s", strings.Join(names, " needs "))}
}

func sortedKeys(m map[int]bool) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
