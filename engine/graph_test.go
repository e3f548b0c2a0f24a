package engine

import (
	"math/rand/v2"
	"slices"
	"strings"
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

// plotType is of parts whose first key has a directory that must not be in another one.
type plotType struct{ partType }

func (plotType) Separate(want *part) (dir, reason string) {
	_, dir, _ = strings.Cut(string(want.Provides[0]), ":")
	return dir, "each would delete the files of the other"
}

// Directories in one another are a problem of both resources, in whichever order, unless one of
// them is to be removed.
func TestOrderKeepsSeparate(t *testing.T) {
	t.Parallel()
	r := &Registry{}
	Register(r, "part", plotType{})
	for _, c := range []struct {
		one, other string
		remove     bool
		problem    string
	}{
		{"/srv/a", "/srv/a/b", false, "/srv/a of one () and /srv/a/b of other () are nested: each would delete the files of the other"},
		{"/srv/a/b/c", "/srv/a", false, "/srv/a/b/c of one () and /srv/a of other () are nested: each would delete the files of the other"},
		{"/srv/a", "/srv/ab", false, ""},
		{"/srv/a", "/srv/b", false, ""},
		{"/srv/a", "/srv/a/b", true, ""},
	} {
		one := aPart(r, "one", part{Provides: []Key{Key("tree:" + c.one)}})
		other := aPart(r, "other", part{Provides: []Key{Key("tree:" + c.other)}})
		other.Remove = c.remove
		_, problems := Order(Target{Name: "h"}, []*Resource{one, other})
		switch {
		case c.problem == "" && len(problems) > 0:
			t.Errorf("%s and %s: %v", c.one, c.other, problems[0])
		case c.problem != "" && (len(problems) != 1 || problems[0].Summary != c.problem || problems[0].Resource != other || problems[0].With != one):
			t.Errorf("%s and %s: %v, want %q", c.one, c.other, problems, c.problem)
		}
	}
}

// claimType is of parts that claim what they need.
type claimType struct{ partType }

func (claimType) Claims(want *part) (what []string, advice string) {
	for _, k := range want.Needs {
		what = append(what, string(k))
	}
	return what, "remove one"
}

// What two resources claim is one problem with both places, also of resources of two types.
func TestOrderChecksClaims(t *testing.T) {
	t.Parallel()
	r := &Registry{}
	Register(r, "part", claimType{})
	Register(r, "other", claimType{})
	for _, c := range []struct {
		kind         string
		mine, theirs Key
		remove       bool
		problem      string
	}{
		{"part", "the first", "the first", false, "both one () and other () are the first"},
		{"other", "the first", "the first", false, "both one () and other () are the first"},
		{"part", "the first", "the last", false, ""},
		{"part", "the first", "the first", true, ""},
	} {
		one := aPart(r, "one", part{Provides: []Key{"x:one"}, Needs: []Key{c.mine, "a port"}})
		other := aPart(r, "other", part{Provides: []Key{"x:other"}, Needs: []Key{c.theirs}})
		other.Kind, other.Remove = r.Kind(c.kind), c.remove
		_, problems := Order(Target{Name: "h"}, []*Resource{one, other})
		switch {
		case c.problem == "" && len(problems) > 0:
			t.Errorf("%+v: %v", c, problems[0])
		case c.problem != "" && (len(problems) != 1 || problems[0].Summary != c.problem || problems[0].With != one || problems[0].Detail != "remove one"):
			t.Errorf("%+v: %v", c, problems)
		}
	}
}
