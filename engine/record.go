package engine

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Record is the entry of one resource in a host's manifest, as resource types see it.
type Record struct {
	Address       string // without the host: "mirror.almalinux.directory"
	Configuration string // ID of the configuration that manages it
	Own           bool   // it belongs to this run's configuration
	Type          string
	// State is a *S of the type, with the attributes of the manifest and what the type remembers. It
	// is nil if this version does not know the type or cannot read the state.
	State any
	Keep  string // see Resource.Keep
	Made  bool   // mirrorform made it; otherwise it existed before
}

// Settler is a Type with attributes that are decided once, by the host's answers before the first
// apply, and remembered after that.
//
// These are fields with a `remember:"name"` tag. The manifest records their values after an apply,
// and every later wanted state starts with them, unless the configuration sets them. With
// `remember:"name,first"` the recorded value is the one before the first step of the apply.
type Settler[S any] interface {
	// Settle returns a copy of want, which is completed, with the values that the answers decide. The
	// engine completes the copy again, so Settle must clear derived fields that have become invalid.
	// prior is the entry of the resource in the manifest; nil: the resource is new.
	Settle(t Target, want *S, prior *Record, got Answers) *S
}

// know sets the records of a target from a manifest.
func (t *Target) know(m *Manifest, types *Registry, configuration string) {
	t.Records, t.own = make([]Record, len(m.Resources)), map[string]*Record{}
	for i := range m.Resources {
		e, r := &m.Resources[i], &t.Records[i]
		*r = Record{Address: e.Address, Configuration: e.Configuration, Own: e.Configuration == configuration, Type: e.Type, Keep: e.Keep, Made: e.Made}
		if res, err := e.resource("", types); err == nil {
			r.State = res.State
		}
		if r.Own {
			t.own[r.Address] = r
		}
	}
}

// want sets the wanted resources of a target. It keeps only those that a type compares: with all of
// them, a large fleet would use much memory.
func (t *Target) want(list []*Resource) {
	t.Wanted = nil
	for _, r := range list {
		if r.Kind.separate != nil && !r.Remove {
			t.Wanted = append(t.Wanted, Record{Address: r.Address.Local(), Own: true, Type: r.Kind.Name, State: r.State, Keep: r.Keep})
		}
	}
}

// record returns the entry of a resource of this configuration, or nil.
func (t Target) record(r *Resource) *Record {
	if e := t.own[r.Address.Local()]; e != nil && e.Type == r.Kind.Name {
		return e
	}
	return nil
}

// recall fills unset fields of a state with values that an earlier state of the same type
// remembers. If it changes anything, it returns a copy.
func recall(state, earlier any) any {
	if state == nil || earlier == nil {
		return state
	}
	from := reflect.ValueOf(earlier).Elem()
	var to reflect.Value
	eachRemembered(state, func(i int, _ string, _ bool, v reflect.Value) {
		if !v.IsZero() || from.Field(i).IsZero() {
			return
		}
		if !to.IsValid() {
			to = reflect.New(reflect.TypeOf(state).Elem())
			to.Elem().Set(reflect.ValueOf(state).Elem())
		}
		to.Elem().Field(i).Set(from.Field(i))
	})
	if !to.IsValid() {
		return state
	}
	return to.Interface()
}

// eachRemembered calls each for the fields of a state with a `remember:"name"` tag. first is true
// for `remember:"name,first"`.
func eachRemembered(state any, each func(i int, name string, first bool, v reflect.Value)) {
	v := reflect.ValueOf(state).Elem()
	for i := range v.NumField() {
		if name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("remember"), ","); name != "" {
			each(i, name, option == "first", v.Field(i))
		}
	}
}

// remember records what a type remembers, from the first of: the wanted state before the first step
// (only fields tagged "first"), the settled wanted state, the found state.
func (m *Managed) remember(first, want, have any) error {
	var err error
	take := func(state any, before bool) {
		eachRemembered(state, func(_ int, name string, first bool, v reflect.Value) {
			if _, has := m.Remembered[name]; has || before && !first || v.IsZero() || err != nil {
				return
			}
			text, e := json.Marshal(v.Interface())
			if e != nil {
				err = fmt.Errorf("%s: %s: %w", m.Address, name, e)
				return
			}
			if m.Remembered == nil {
				m.Remembered = map[string]json.RawMessage{}
			}
			m.Remembered[name] = text
		})
	}
	for i, state := range []any{first, want, have} {
		if state != nil {
			take(state, i == 0)
		}
	}
	return err
}
