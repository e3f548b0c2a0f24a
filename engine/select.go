package engine

import "strings"

// Select returns the resources that the addresses mean, with everything they need, in the order given. An address means the
// resource of that address, and those below it: "fra1/mirror.almalinux" means every part of that mirror, "fra1" the whole host.
// With no addresses everything is selected.
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

// Within tells whether a resource's address is the given one or below it.
func Within(address, above string) bool {
	rest, ok := strings.CutPrefix(address, above)
	return ok && (rest == "" || strings.ContainsRune("/.[", rune(rest[0])))
}

// HostOf is the part of an address before the slash that ends the host's name; a for_each key may hold slashes.
func HostOf(address string) string {
	quoted := false
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '/' && !quoted:
			return address[:i]
		}
	}
	return address
}
