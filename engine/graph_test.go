package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The order is that of a plain search: again and again the first resource that nothing holds back, packages before others.
func TestSort(t *testing.T) {
	t.Parallel()
	kinds := []*Kind{{Name: "file"}, {Name: "package"}}
	whole, cycles := 0, 0
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		n := 1 + random.IntN(12)
		g := &graph{resources: make([]*Resource, n), before: make([]map[int]bool, n)}
		for i := range n {
			g.resources[i], g.before[i] = &Resource{Kind: kinds[random.IntN(2)]}, map[int]bool{}
		}
		for range random.IntN(2 * n) {
			g.before[random.IntN(n)][random.IntN(n)] = true
		}
		got, sorted := g.sort(), g.sorted
		want := plainSort(g)
		if !slices.Equal(got, want) || !slices.Equal(sorted, g.sorted) {
			t.Fatalf("seed %d: the order of %v differs", seed, g.before)
		}
		if len(got) == n {
			whole++
		} else {
			cycles++
		}
	}
	if whole == 0 || cycles == 0 {
		t.Errorf("%d graphs could be sorted, and %d not", whole, cycles)
	}
}

func plainSort(g *graph) []*Resource {
	g.sorted = make([]bool, len(g.resources))
	var ordered []*Resource
	for {
		next := -1
		for i, r := range g.resources {
			ready := !g.sorted[i]
			for p := range g.before[i] {
				ready = ready && g.sorted[p]
			}
			if ready && (next < 0 || r.Kind.Name == "package" && g.resources[next].Kind.Name != "package") {
				next = i
			}
		}
		if next < 0 {
			return ordered
		}
		g.sorted[next] = true
		ordered = append(ordered, g.resources[next])
	}
}
