package engine

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Several blocks can want the same thing: two mirrors need the package rsync and the service nginx.
// Order joins their resources to one, which is planned and applied once. The manifest gets an entry
// for each of them, so that the thing stays until the last one is removed.
//
// An attribute that only one of them sets does not differ. A tag allows two values: with
// `join:"merge"`, a slice or a map has what any of them wants; with `join:"first"`, the first
// resource decides.

// Owners returns the addresses of the resources that want this thing: its own, and those that Order
// joined to it.
func (r *Resource) Owners() []Address {
	var addresses []Address
	for _, o := range r.owners() {
		addresses = append(addresses, o.Address)
	}
	return addresses
}

// also returns the addresses of its other owners, as text.
func (r *Resource) also() []string {
	all := []string{}
	for _, o := range r.joined {
		all = append(all, o.Address.String())
	}
	return all
}

func (r *Resource) owners() []*Resource { return append([]*Resource{r}, r.joined...) }

// dependsOn returns the addresses that the resource depends on for any of its owners.
func (r *Resource) dependsOn() []Address {
	all := slices.Clip(r.DependsOn)
	for _, o := range r.joined {
		for _, a := range o.DependsOn {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// needs reports whether the resource depends on o, by a reference to any of its owners.
func (r *Resource) needs(o *Resource) bool {
	return slices.ContainsFunc(r.dependsOn(), func(a Address) bool { return slices.Contains(o.Owners(), a) })
}

// join returns a copy of r that o, which provides the same keys, owns too. If that is not possible,
// it returns nil, and why is what an error message adds to the two addresses.
func (r *Resource) join(o *Resource) (both *Resource, why string) {
	switch alone := cmp.Or(r.Alone, o.Alone); {
	case r.Kind != o.Kind || r.Remove != o.Remove:
		return nil, ""
	case alone != "" && !r.Remove:
		return nil, "; " + alone
	}
	c := *r
	c.asked, c.plain = nil, nil
	declared, differ := union(r.unrecalled(), o.unrecalled())
	if len(differ) > 0 && !r.Remove {
		return nil, fmt.Sprintf("; they differ in %s", strings.Join(differ, ", "))
	}
	// What the manifest remembers never counts as a difference: it fills what is left unset.
	c.State = recall(recall(declared, r.State), o.State)
	if r.declared != nil || o.declared != nil {
		c.declared = declared
	}
	c.joined = append(slices.Clip(r.joined), o)
	if len(o.Sensitive) > 0 {
		c.Sensitive = maps.Clone(o.Sensitive)
		maps.Copy(c.Sensitive, r.Sensitive)
	}
	c.Keep = cmp.Or(r.Keep, o.Keep)
	c.Shared = cmp.Or(r.Shared, o.Shared)
	c.PreventDestroy = r.PreventDestroy || o.PreventDestroy
	c.Made = r.Made || o.Made
	c.Purge = r.Purge || o.Purge
	if c.Postcondition == nil {
		c.Postcondition = o.Postcondition
	} else if o.Postcondition != nil {
		c.Postcondition = func(found any) []Problem { return append(r.Postcondition(found), o.Postcondition(found)...) }
	}
	return &c, ""
}

// unrecalled returns the wanted state without what the manifest remembers.
func (r *Resource) unrecalled() any {
	if r.declared != nil {
		return r.declared
	}
	return r.State
}

// union returns state with the attributes that only other sets, merged where their tags say so, and
// the names of those that both set to different values. The result is a copy if it differs from
// state.
func union(state, other any) (all any, differ []string) {
	a, b := reflect.ValueOf(state).Elem(), reflect.ValueOf(other).Elem()
	out := reflect.New(a.Type())
	out.Elem().Set(a)
	added := false
	for _, f := range fieldsOf(a.Type()) {
		x, y := a.FieldByIndex(f.Index), b.FieldByIndex(f.Index)
		rule := f.Tag.Get("join")
		switch {
		case f.Anonymous || !f.IsExported() || y.IsZero() || rule == "first" && !x.IsZero():
		case x.IsZero():
			out.Elem().FieldByIndex(f.Index).Set(y)
			added = true
		case reflect.DeepEqual(x.Interface(), y.Interface()):
		default:
			name, _ := attributeName(f)
			if rule == "merge" {
				both, clash := merge(x, y)
				out.Elem().FieldByIndex(f.Index).Set(both)
				added = true
				for _, key := range clash {
					differ = append(differ, fmt.Sprintf("%s[%q]", name, key))
				}
				continue
			}
			differ = append(differ, name)
		}
	}
	if added {
		return out.Interface(), differ
	}
	return state, differ
}

// merge returns a slice or a map of strings with the elements of both. clash has the keys whose
// values differ.
func merge(x, y reflect.Value) (both reflect.Value, clash []string) {
	if x.Kind() == reflect.Slice {
		all := slices.Clone(x.Interface().([]string))
		for _, v := range y.Interface().([]string) {
			if !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
		return reflect.ValueOf(all), nil
	}
	all := maps.Clone(x.Interface().(map[string]string))
	more := y.Interface().(map[string]string)
	for _, key := range slices.Sorted(maps.Keys(more)) {
		if v, has := all[key]; has && v != more[key] {
			clash = append(clash, key)
			continue
		}
		all[key] = more[key]
	}
	return reflect.ValueOf(all), clash
}
