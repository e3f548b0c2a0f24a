package engine

import (
	"cmp"
	"fmt"
	"slices"
)

// adjusted applies Intent.Adjust to the selected resources. A resource that it removes stays if one
// that it keeps needs it: the group of a kept account, for example.
func (p *hostPlanner) adjusted(selected []*Resource) (all []*Resource, notes []string) {
	all = p.intent.Adjust(selected)
	var needs []Key
	for _, r := range selected {
		if r.Kept() != "" && !slices.Contains(all, r) {
			_, more := r.Kind.requires(p.visit.target, r.State)
			needs = append(needs, more...)
		}
	}
	removed := slices.DeleteFunc(slices.Clone(all), func(r *Resource) bool { return !r.Remove })
	stay := staying(p.visit.target, removed, needs)
	for _, r := range stay {
		r.Remove = false
		notes = append(notes, fmt.Sprintf("%s is kept: what is kept needs it", r.Address.Local()))
	}
	return slices.DeleteFunc(slices.Clone(all), func(r *Resource) bool { return slices.Contains(stay, r) }), notes
}

// hold decides which of the resources to remove stay. It sets Made from the manifest, and Shared on
// those that another configuration manages or that a staying resource needs.
func (p *hostPlanner) hold(all []*Resource) {
	if !slices.ContainsFunc(all, func(r *Resource) bool { return r.Remove }) {
		return
	}
	t, manifest := p.visit.target, p.visit.manifest
	var needs []Key // of the resources that stay
	// What stays, and why. Own entries count that are not part of this run.
	owned, leaving, ours := map[identity]string{}, map[string]bool{}, map[identity]bool{}
	for _, address := range p.visit.gone {
		leaving[address] = true
	}
	for _, r := range all {
		leaving[r.Address.Local()] = true
		if e := manifest.find(p.ledger().Configuration, r.Address.Local(), r.Kind.Name); r.Remove && e != nil && e.Made {
			provides, _ := r.Kind.keys(t, r.State)
			mark(ours, r.Kind.identities(provides))
		}
	}
	for _, e := range t.Records {
		if e.State == nil || e.Own && leaving[e.Address] {
			continue
		}
		kind := p.ledger().Types.Kind(e.Type)
		provides, more := kind.requires(t, e.State)
		why := e.Address + " manages it too"
		if !e.Own {
			why = "another configuration manages it too"
			needs = append(needs, more...)
		}
		for _, i := range kind.identities(provides) {
			owned[i] = why
		}
	}
	var made []*Resource
	for _, r := range all {
		if !r.Remove {
			continue
		}
		provides, more := r.Kind.requires(t, r.State)
		is := r.Kind.identities(provides)
		// Of resources that are joined, the entry of one says that mirrorform made the thing.
		r.Made = slices.ContainsFunc(is, func(i identity) bool { return ours[i] })
		r.Shared = ""
		others := ""
		for _, i := range is {
			others = cmp.Or(others, owned[i])
		}
		switch {
		case r.Purge:
			continue
		case r.Made && others == "":
			made = append(made, r)
			continue
		case r.Made:
			r.Shared = others
		}
		needs = append(needs, more...)
	}
	for _, r := range staying(t, made, needs) {
		r.Shared = "a resource that stays needs it"
	}
}

// staying returns the resources of the list that must stay, because resources that stay need them:
// by these keys, or in turn by the needs of others in the list.
func staying(t Target, list []*Resource, needs []Key) (stay []*Resource) {
	for left, again := list, true; again; {
		again = false
		provider, first := map[Key]int{}, make([]int, len(left)) // first: of those with the same keys
		for i, r := range left {
			first[i] = i
			provides, _ := r.Kind.keys(t, r.State)
			for _, k := range provides {
				if p, taken := provider[k]; taken {
					first[i] = p
				} else {
					provider[k] = i
				}
			}
		}
		needed := map[int]bool{}
		for _, k := range needs {
			for _, i := range providers(provider, k) {
				needed[i] = true
			}
		}
		var rest []*Resource
		for i, r := range left {
			if !needed[first[i]] || r.PreventDestroy {
				rest = append(rest, r)
				continue
			}
			_, more := r.Kind.requires(t, r.State)
			stay, needs, again = append(stay, r), append(needs, more...), true
		}
		left = rest
	}
	return stay
}

// inherit preserves the fact that mirrorform made a thing: from entries that are in before but no
// longer in this manifest, to entries of the same thing.
func (m *Manifest) inherit(before *Manifest, t Target, types *Registry) {
	made := map[identity]bool{}
	things := func(e *Managed) []identity {
		r, err := e.resource(t.Name, types)
		if err != nil {
			return nil
		}
		provides, _ := r.Kind.keys(t, r.State)
		return r.Kind.identities(provides)
	}
	for i := range before.Resources {
		if e := &before.Resources[i]; e.Made && m.find(e.Configuration, e.Address, e.Type) == nil {
			mark(made, things(e))
		}
	}
	for i := 0; i < len(m.Resources) && len(made) > 0; i++ {
		e := &m.Resources[i]
		for _, is := range things(e) {
			if made[is] {
				e.Made = true
				delete(made, is)
			}
		}
	}
}

func mark[K comparable](in map[K]bool, keys []K) {
	for _, k := range keys {
		in[k] = true
	}
}
