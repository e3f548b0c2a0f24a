package engine

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Record is what a host's manifest holds about one resource, as resource types see it.
type Record struct {
	Address       string // on the host, without the host: "mirror.almalinux.directory"
	Configuration string // ID of the configuration that manages it
	Own           bool   // it is this run's configuration
	Type          string
	// State is a *S of the type, with the attributes that the manifest holds and what the type
	// remembers; nil where this version does not know the type or cannot read the state.
	State any
	Keep  string // see Resource.Keep
	Made  bool   // mirrorform made it; else it was there before
}

// Settler is a Type some of whose attributes are decided once, by what the host answers before the
// first apply, and remembered from then on.
//
// What is decided lies in fields with a `remember:"name"` tag: after an apply the manifest holds
// their values, and every later wanted state begins with them, unless the configuration sets them.
// With `remember:"name,first"` it is the value from before the apply's first step.
type Settler[S any] interface {
	// Settle returns a copy of want, which is completed, with what the answers decide. It is
	// completed again after that: derived fields that no longer hold are left empty. prior is the
	// resource's own entry in the manifest; nil: it is new.
	Settle(t Target, want *S, prior *Record, got Answers) *S
}

// know gives a target what a manifest holds.
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

// record is the entry of a resource of this configuration, or nil.
func (t Target) record(r *Resource) *Record {
	if e := t.own[Local(r.Address)]; e != nil && e.Type == r.Kind.Name {
		return e
	}
	return nil
}

// recall returns a state with the fields that it does not set and that an earlier state of its type
// remembers. It is a copy where it differs.
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

// eachRemembered calls each for the fields of a state that have a `remember:"name"` tag; first is
// whether it is `remember:"name,first"`.
func eachRemembered(state any, each func(i int, name string, first bool, v reflect.Value)) {
	v := reflect.ValueOf(state).Elem()
	for i := range v.NumField() {
		if name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("remember"), ","); name != "" {
			each(i, name, option == "first", v.Field(i))
		}
	}
}

// remember enters what a type remembers: of the wanted state, which the host's answers have
// settled, or else of what was found. first is the wanted state before the first step.
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
