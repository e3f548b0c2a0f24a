package engine

import (
	"fmt"
	"slices"
)

// orphans are the resources of this configuration that are in the manifest, but no longer wanted.
type orphans struct {
	remove   []*Resource
	released []*Resource
	why      map[*Resource]string // why one is released; empty: it is managed under another address
	others   int                  // resources of other configurations
	shared   int                  // those of them that this configuration wants too
}

// orphans compares the manifest with what is wanted. An entry is an orphan if nothing is wanted at
// its address, or something of another type. An orphan is released, not removed, if it holds
// something that cannot be restored (Resource.Kept), if a released or wanted resource needs it, or
// if a wanted resource manages the same thing under another address or with another type.
func (m *Manifest) orphans(
	t Target, types *Registry, configuration string, wanted []*Resource, leftOut func(Address) bool,
) (*orphans, error) {
	o := &orphans{why: map[*Resource]string{}}
	wants := map[string]string{} // the type at each address
	managed, provided := map[identity]*Resource{}, map[Key]bool{}
	var needs []Key
	need := func(r *Resource) (provides []Key) {
		provides, more := r.Kind.requires(t, r.State)
		needs = append(needs, more...)
		return provides
	}
	for _, r := range wanted {
		wants[r.Address.Local()] = r.Kind.Name
		provides := need(r)
		for _, i := range r.Kind.identities(provides) {
			managed[i] = r
		}
		mark(provided, provides)
	}
	// A name that is wanted needs no orphan that had it.
	needs = slices.DeleteFunc(needs, func(k Key) bool { return named(k) && provided[k] })
	var left []*Resource
	for i := range m.Resources {
		e := &m.Resources[i]
		is := wants[e.Address] == e.Type
		if e.Configuration != configuration {
			if is {
				o.shared++
			} else {
				o.others++
			}
			continue
		}
		if is {
			continue
		}
		if a, err := e.on(t.Name, e.Address); err != nil {
			return nil, err
		} else if leftOut(a) {
			continue
		}
		r, err := e.resource(t.Name, types)
		if err != nil {
			return nil, err
		}
		r.Now = wants[e.Address]
		provides, _ := r.Kind.keys(t, r.State)
		switch {
		case slices.ContainsFunc(r.Kind.identities(provides), func(i identity) bool {
			return managed[i] != nil && m.continues(t, types, configuration, managed[i], provides)
		}):
			o.keep(r, "")
		case r.Kept() != "" && !r.PreventDestroy:
			o.keep(r, r.Kept())
			need(r)
		default:
			left = append(left, r)
		}
	}
	for _, r := range staying(t, left, needs) {
		o.keep(r, "a resource that stays needs it")
	}
	o.remove = slices.DeleteFunc(left, func(r *Resource) bool { return slices.Contains(o.released, r) })
	return o, nil
}

// continues reports whether a wanted resource, which provides a key of an orphan, is the same
// thing. For a Sharer that has been there before, the first keys decide: a site can take over the
// names of another one, which then goes with its file.
func (m *Manifest) continues(t Target, types *Registry, configuration string, want *Resource, orphan []Key) bool {
	entry := m.find(configuration, want.Address.Local(), want.Kind.Name)
	if !want.Kind.shares || entry == nil {
		return true
	}
	prior, err := entry.resource(t.Name, types)
	if err != nil {
		return true
	}
	provides, _ := want.Kind.keys(t, recall(want.State, prior.State))
	return provides[0] == orphan[0]
}

func (o *orphans) keep(r *Resource, why string) {
	o.released = append(o.released, r)
	o.why[r] = why
}

// notes returns the notes of a plan about released orphans and about resources of other
// configurations.
func (o *orphans) notes(released []*Resource) []string {
	var notes []string
	for _, r := range released {
		if why := o.why[r]; why != "" {
			notes = append(notes, fmt.Sprintf("%s is no longer in the configuration. It is released and stays on the "+
				"host unchanged: %s", r.Address.Local(), why))
		}
	}
	if o.shared > 0 {
		notes = append(notes, fmt.Sprintf("another configuration manages %d of these resources too: they stay on "+
			"the host until neither does. If it is this configuration under an earlier ID (its record of hosts "+
			"was lost), remove its entries: mirrorform state forget --configuration", o.shared))
	}
	if o.others > 0 {
		notes = append(notes, fmt.Sprintf("another configuration manages %d more resources on this host: "+
			"they are not changed", o.others))
	}
	return notes
}
