package engine

import "slices"

// Select returns the resources that the addresses select, with everything that they need, in the
// given order. An address selects the resource with that address and those below it:
// "fra1/mirror.almalinux" selects every part of that mirror, "fra1" the whole host. Without
// addresses, everything is selected.
//
// What several resources want together is selected with all of them. If it is to be removed for one
// of them, only that one is selected, and what needs the thing is not.
func Select(t Target, resources []*Resource, addresses []string) []*Resource {
	if len(addresses) == 0 {
		return resources
	}
	g := newGraph(t, resources)
	selected := make([]bool, len(g.resources))
	var take func(i int)
	take = func(i int) {
		if selected[i] {
			return
		}
		selected[i] = true
		for p := range g.before[i] {
			take(p)
		}
		for _, p := range g.awaits[i] {
			take(p)
		}
	}
	named := func(address Address) bool {
		return slices.ContainsFunc(addresses, address.Within)
	}
	// stays reports whether a resource is to be removed for some of its owners, but not for all.
	stays := func(r *Resource) bool {
		return r.Remove && slices.ContainsFunc(r.Owners(), func(a Address) bool { return !named(a) })
	}
	for i, r := range g.resources {
		if slices.ContainsFunc(r.Owners(), named) && !stays(r) {
			take(i)
		}
	}
	return slices.DeleteFunc(slices.Clone(resources), func(r *Resource) bool {
		return !selected[g.at[r.place()]] && !named(r.Address)
	})
}
