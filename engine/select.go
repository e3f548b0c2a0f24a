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
	at := map[string]int{} // by address, also of those that were joined
	for i, r := range g.resources {
		for _, address := range r.Owners() {
			at[address] = i
		}
	}
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
	}
	named := func(r *Resource) bool {
		return slices.ContainsFunc(addresses, func(a string) bool { return Within(r.Address, a) })
	}
	stays := map[int]bool{} // to be removed for some of its owners, but not for all
	for _, r := range resources {
		if named(r) {
			i := at[r.Address]
			if stays[i] = r.Remove && slices.ContainsFunc(g.resources[i].owners(), func(o *Resource) bool { return !named(o) }); !stays[i] {
				take(i)
			}
		}
	}
	var list []*Resource
	for _, r := range resources {
		if i := at[r.Address]; selected[i] || stays[i] && named(r) {
			list = append(list, r)
		}
	}
	return list
}
