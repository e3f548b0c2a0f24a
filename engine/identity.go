package engine

import (
	"slices"
	"strings"
)

// identity is what two resources have in common if they manage the same thing, whatever their
// addresses are.
type identity struct {
	key Key
	of  string // for a name: the type whose resources have it
}

// named reports whether a key is only a name that a type gives, such as that of a site, and not a
// thing of the host. Two types may give one name to two things: the site of another web server has
// another file.
func named(k Key) bool {
	kind, _, _ := strings.Cut(string(k), ":")
	return !slices.Contains([]string{"path", "mount", "user", "group", "package", "unit", "device"}, kind)
}

// identities returns what the keys that a resource of the type provides stand for.
func (k *Kind) identities(provides []Key) []identity {
	all := make([]identity, len(provides))
	for i, key := range provides {
		all[i].key = key
		if named(key) {
			all[i].of = k.Name
		}
	}
	return all
}

// place is what no other resource of a plan has. An orphan and a resource of the configuration may
// have one address: a part of a block whose type has changed.
type place struct {
	address Address
	kind    string
}

func (r *Resource) place() place { return place{r.Address, r.Kind.Name} }
