package engine

// Select returns the resources that the addresses select, with everything that they need, in the
// given order. An address selects the resource with that address and those below it:
// "fra1/mirror.almalinux" selects every part of that mirror, "fra1" the whole host. Without
// addresses, everything is selected.
func Select(t Target, resources []*Resource, addresses []string) []*Resource {
	if len(addresses) == 0 {
		return resources
	}
	g := newGraph(t, resources)
	selected := make([]bool, len(resources))
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
	for i, r := range resources {
		for _, a := range addresses {
			if Within(r.Address, a) {
				take(i)
			}
		}
	}
	var list []*Resource
	for i, r := range resources {
		if selected[i] {
			list = append(list, r)
		}
	}
	return list
}
