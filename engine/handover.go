package engine

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// A resource to remove hands over to a wanted one if another unit loads that one, and it takes the
// other's place: both occupy the same (a port), or have the same address. Where they occupy the
// same, the old one ends first, and as late as possible: everything that the new one needs comes
// before, and so do its files and their check (tasks.prepare). Otherwise the new one comes first,
// so that one of them works at any time.

// Occupier is a Type whose resources occupy what one program alone can have on a host.
type Occupier[S any] interface {
	// Occupies returns the keys of that: "port:80".
	Occupies(t Target, want *S) []Key
}

// handOver is what hands over from one unit to others.
type handOver struct {
	from, to  []int // resources to remove, and those that take their place
	exclusive bool  // some of both occupy the same
}

// handOvers finds what hands over, by the unit that loads it, and orders it.
func (g *graph) handOvers(t Target, provider map[Key]int, loads [][]Key) {
	occupies := make([][]Key, len(g.resources))
	var units []Key // that load what is removed
	for i, r := range g.resources {
		if occupies[i] = r.Kind.occupies(t, r.State); len(occupies[i]) == 0 || !r.Remove {
			continue
		}
		for _, u := range loads[i] {
			if !slices.Contains(units, u) {
				units = append(units, u)
			}
		}
	}
	for _, u := range units {
		var h handOver
		for i, r := range g.resources {
			if r.Remove && len(occupies[i]) > 0 && slices.Contains(loads[i], u) {
				h.from = append(h.from, i)
			}
		}
		for i, r := range g.resources {
			if r.Remove || len(occupies[i]) == 0 || slices.Contains(loads[i], u) {
				continue
			}
			shares := slices.ContainsFunc(h.from, func(p int) bool { return overlap(occupies[i], occupies[p]) })
			if shares || slices.ContainsFunc(h.from, func(p int) bool { return overlap(r.Owners(), g.resources[p].Owners()) }) {
				h.to, h.exclusive = append(h.to, i), h.exclusive || shares
			}
		}
		if len(h.to) == 0 {
			continue
		}
		if at, ok := provider[u]; ok && g.resources[at].Remove && h.exclusive {
			h.from = append(h.from, at)
		}
		g.orderHandOver(h)
	}
}

// orderHandOver puts the removals before the new resources, or after them. What the new ones need
// comes first in any case.
func (g *graph) orderHandOver(h handOver) {
	needed := g.neededBy(h)
	for _, p := range h.from {
		for _, i := range slices.Concat(needed, h.to) {
			if at := [2]int{i, p}; g.soft[at] {
				delete(g.soft, at)
				delete(g.before[i], p)
			}
		}
	}
	first := needed
	if !h.exclusive {
		first = h.to
	}
	for _, p := range h.from {
		for _, i := range first {
			if !g.comesAfter(i, p) {
				g.prefer(p, i)
			}
		}
	}
	if !h.exclusive {
		return
	}
	for _, p := range h.from {
		for _, i := range h.to {
			if !g.comesAfter(p, i) {
				g.prefer(i, p)
			}
		}
	}
	g.handing = append(g.handing, h)
}

// neededBy returns what the new resources need, without what needs one of them itself.
func (g *graph) neededBy(h handOver) (needed []int) {
	for i := range g.resources {
		after := func(n int) bool { return g.comesAfter(i, n) }
		before := func(n int) bool { return g.comesAfter(n, i) }
		if !slices.Contains(h.from, i) && !slices.ContainsFunc(h.to, after) && slices.ContainsFunc(h.to, before) {
			needed = append(needed, i)
		}
	}
	return needed
}

// markHandOvers sets Resource.yields.
func (g *graph) markHandOvers() {
	for _, r := range g.resources {
		r.yields = nil
	}
	for _, h := range g.handing {
		for _, p := range h.from {
			for _, i := range h.to {
				g.resources[p].yields = append(g.resources[p].yields, g.resources[i])
			}
		}
	}
}

// takesOver reports whether something hands over to resource i.
func (g *graph) takesOver(i int) bool {
	return slices.ContainsFunc(g.handing, func(h handOver) bool { return slices.Contains(h.to, i) })
}

func overlap[E comparable](a, b []E) bool {
	return slices.ContainsFunc(a, func(e E) bool { return slices.Contains(b, e) })
}

// stopped returns the units that steps stop.
func stopped(steps []Step) (units []string) {
	for _, s := range steps {
		if u := s.Do.Unit; u != nil && u.Action == wire.UnitStop {
			units = append(units, u.Name)
		}
	}
	return units
}

// started returns the units that steps start, restart or reload.
func started(steps []Step) (units []string) {
	for _, s := range steps {
		if u := s.Do.Unit; u != nil && slices.Contains([]wire.UnitAction{wire.UnitStart, wire.UnitRestart, wire.UnitLoad}, u.Action) {
			units = append(units, u.Name)
		}
	}
	return units
}

// skipLoads drops the loads of what makes room where the plan stops that unit anyway: so the
// interruption is shorter.
func (p *HostPlan) skipLoads() {
	for i := range p.Changes {
		c := &p.Changes[i]
		if len(c.Resource.yields) == 0 {
			continue
		}
		for j := range p.Changes[i+1:] {
			for _, unit := range stopped(p.Changes[i+1+j].Steps) {
				if n := c.writes(); n > 0 && slices.Contains(c.loads, UnitKey(unit)) {
					c.Steps = c.Steps[:n]
				}
			}
		}
	}
}

// ends returns how many steps of what makes room end its unit; the others can wait.
func (c *Change) ends() int {
	if i := slices.IndexFunc(c.Steps, func(s Step) bool { return len(stopped([]Step{s})) > 0 }); i >= 0 {
		return i + 1
	}
	return len(c.Steps)
}
