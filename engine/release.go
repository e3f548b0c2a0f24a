package engine

import "slices"

// hold marks those resources to be removed that mirrorform made, and of these the ones that stay since another configuration manages them, or
// something that stays needs them.
func (f *Fleet) hold(h *hostState, all []*Resource) {
	t := h.target
	needed := map[Key]bool{} // by what stays
	owned := map[Key]bool{}  // by other configurations
	for _, e := range t.Records {
		if kind := f.Types.Kind(e.Type); !e.Own && e.State != nil {
			provides, needs := kind.keys(t, e.State)
			mark(owned, provides)
			mark(needed, without(needs, kind.follows(t, e.State)))
		}
	}
	var made []*Resource
	for _, r := range all {
		if !r.Remove {
			continue
		}
		e := h.manifest.find(f.Configuration, relative(r.Address))
		r.Made, r.Shared = e != nil && e.Made, ""
		provides, needs := r.Kind.keys(t, r.State)
		switch {
		case r.Purge:
		case !r.Made:
			mark(needed, without(needs, r.Kind.follows(t, r.State)))
		case slices.ContainsFunc(provides, func(k Key) bool { return owned[k] }):
			r.Shared = "another configuration manages it, too"
			mark(needed, without(needs, r.Kind.follows(t, r.State)))
		default:
			made = append(made, r)
		}
	}
	for again := true; again; {
		again = false
		for _, r := range made {
			provides, needs := r.Kind.keys(t, r.State)
			if r.Shared == "" && !r.PreventDestroy && slices.ContainsFunc(provides, func(k Key) bool { return meets(k, needed) }) {
				r.Shared = "something that stays needs it"
				mark(needed, without(needs, r.Kind.follows(t, r.State)))
				again = true
			}
		}
	}
}

// inherit passes on that mirrorform made a thing: from entries that the manifest before had and this one has not any more, to those that
// provide the same key.
func (m *Manifest) inherit(before *Manifest, t Target, types *Registry) {
	if types == nil {
		return
	}
	made := map[Key]bool{}
	keys := func(e *Managed) []Key {
		r, err := e.resource(t.Name, types)
		if err != nil {
			return nil
		}
		provides, _ := r.Kind.keys(t, r.State)
		return provides
	}
	for i := range before.Resources {
		if e := &before.Resources[i]; e.Made && m.find(e.Configuration, e.Address) == nil {
			mark(made, keys(e))
		}
	}
	for i := 0; i < len(m.Resources) && len(made) > 0; i++ {
		e := &m.Resources[i]
		for _, k := range keys(e) {
			if made[k] {
				e.Made = true
				delete(made, k)
			}
		}
	}
}

// meets tells whether who provides a key provides what is needed: the same, or for a path what is below it.
func meets(provided Key, needed map[Key]bool) bool {
	for k := range needed {
		if len(providers(map[Key]int{provided: 0}, k)) > 0 {
			return true
		}
	}
	return false
}

func mark(in map[Key]bool, keys []Key) {
	for _, k := range keys {
		in[k] = true
	}
}

// without are the keys that are not in the list: a unit can do without a file that it would have loaded.
func without(keys, list []Key) []Key {
	return slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return slices.Contains(list, k) })
}
