package engine

import (
	"container/heap"
	"slices"
	"sort"
	"strings"
)

// Order sorts the resources of one host so that each follows what it needs, by its keys and by
// references of the configuration. Where the order is free, packages come first and together, so
// that the package manager runs once, and so do the resources of a Batcher; everything else keeps
// the given order. Resources to remove precede all others, in reverse order, except for packages,
// which come last of all: until then, programs that are being stopped, and those that keep running,
// still have their files. A removal that makes room for a wanted resource comes just before it, see
// graph.handOvers; one of a Batcher comes with the wanted ones, and what waits for it comes after.
//
// Resources that want the same thing alike are joined to the first of them, which then has several
// Owners: the result has one of them.
//
// The problems are resources that provide the same key and differ, references to missing resources,
// and cycles.
func Order(t Target, resources []*Resource) ([]*Resource, []*ResourceProblem) {
	g := newGraph(t, resources)
	if len(g.problems) > 0 {
		return nil, g.problems
	}
	ordered := g.sort()
	if len(ordered) < len(g.resources) {
		return nil, []*ResourceProblem{g.cycle()}
	}
	g.markLater(t, ordered)
	g.markHandOvers()
	return ordered, nil
}

// Dependencies returns, for each resource of one host, the indexes of the resources that Order puts
// before it, in ascending order. A resource that Order joins to another one comes after that alone.
// The problems are those of Order.
func Dependencies(t Target, resources []*Resource) ([][]int, []*ResourceProblem) {
	g := newGraph(t, resources)
	switch {
	case len(g.problems) > 0:
		return nil, g.problems
	case len(g.sort()) < len(g.resources):
		return nil, []*ResourceProblem{g.cycle()}
	}
	at := map[place]int{}
	for i, r := range resources {
		at[r.place()] = i
	}
	before := make([][]int, len(resources))
	for i, r := range g.resources {
		own := at[r.place()]
		for p := range g.before[i] {
			before[own] = append(before[own], at[g.resources[p].place()])
		}
		slices.Sort(before[own])
		for _, o := range r.joined {
			before[at[o.place()]] = []int{own}
		}
	}
	return before, nil
}

// sort returns the resources in order, or fewer than all if there is a cycle. Of the resources that
// are ready, removals come first, in reverse order; then packages; then the rest, in declaration
// order; then removals of packages.
func (g *graph) sort() []*Resource {
	g.sorted = make([]bool, len(g.resources))
	waiting := make([]int, len(g.resources)) // how many resources must still come before
	after := make([][]int, len(g.resources)) // which resources come after
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

// rank is the position of a resource among those that are ready; the lowest comes first. Its
// remainder modulo the number of resources is the index.
func (g *graph) rank(i int) int {
	n, r := len(g.resources), g.resources[i]
	group, place := 6, i
	switch isPackage := r.Kind.Name == "package"; {
	case g.takesOver(i):
		group = 0 // what it takes over has ended
	case r.Remove && isPackage:
		group, place = 7, n-1-i
	case r.Remove && r.Kind.batch != "":
		group, place = 1, n-1-i
	case r.Kind.batch != "" && g.ends:
		group = 2 // at once, before removals that waited for one of the batch
	case r.Remove:
		group, place = 3, n-1-i
	case isPackage:
		group = 4
	case r.Kind.batch != "":
		group = 5
	}
	return (group*n+place)*n + i
}

// ranks is a min-heap (container/heap).
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

// cycle describes one cycle. It is called only if sort found one.
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
	return &ResourceProblem{Resource: g.resources[way[0]], Problem: Errorf("", "dependency cycle: %s", strings.Join(names, " needs "))}
}

func sortedKeys(m map[int]bool) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
