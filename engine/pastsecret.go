package engine

import (
	"cmp"
	"encoding/hex"
	"maps"
	"reflect"
	"strings"
)

// What the host's manifest has as a secret stays one while its value is what it was, also when the
// configuration does not call it sensitive any more: a variable was renamed, or lost its mark. What
// is found on the host may be that value still, so the change to another one is not shown either.

// pastSecret is the digest of an attribute in a manifest.
type pastSecret struct {
	digest string // "argon2id:SALT:DIGEST", or "" where the attribute is one of another type
	label  string // with which it was made
}

// keepSecret marks the attributes of wanted resources as sensitive that the manifest has as
// secrets, under their address or of the same thing under another one.
func (m *Manifest) keepSecret(t Target, types *Registry, wanted []*Resource) {
	entries := map[Key]*Managed{}
	for i := range m.Resources {
		e := &m.Resources[i]
		if len(e.Secrets) == 0 {
			continue
		}
		r, err := e.resource(t.Name, types)
		if err != nil {
			continue // reported to whoever manages it
		}
		provides, _ := r.Kind.keys(t, r.State)
		for _, k := range provides {
			entries[k] = e
		}
	}
	if len(entries) == 0 {
		return
	}
	for _, r := range wanted {
		provides, _ := r.Kind.keys(t, r.State)
		for _, k := range provides {
			if e := entries[k]; e != nil && !r.Remove {
				r.rememberSecrets(e)
			}
		}
	}
}

// rememberSecrets marks the attributes that an entry has as secrets; all, where it is of another
// type.
func (r *Resource) rememberSecrets(e *Managed) {
	r.Sensitive, r.once = maps.Clone(r.Sensitive), map[string]pastSecret{}
	if r.Sensitive == nil {
		r.Sensitive = map[string]bool{}
	}
	eachAttribute(r.State, func(name string, _ reflect.Value) {
		digest := e.Secrets[name]
		if r.Sensitive[name] || e.Type == r.Kind.Name && digest == "" {
			return
		}
		r.Sensitive[name] = true
		r.once[name] = pastSecret{digest: digest, label: cmp.Or(e.was, e.Address) + " " + name}
	})
}

// markSecrets has states know that secrets go into them. Hosts may share a state, so it is a copy
// that knows.
func markSecrets(resources []*Resource) {
	for _, r := range resources {
		if _, ok := r.State.(Discreet); !ok || len(r.Sensitive) == 0 {
			continue
		}
		marked := reflect.New(reflect.TypeOf(r.State).Elem())
		marked.Elem().Set(reflect.ValueOf(r.State).Elem())
		r.State = marked.Interface()
		r.State.(Discreet).HoldsSecret()
	}
}

// stillSensitive are the attributes that a manifest has as secrets after an apply. One that is
// sensitive for its past alone is none any more when the apply has given it another value.
func (r *Resource) stillSensitive(changed bool) map[string]bool {
	if len(r.once) == 0 || !changed {
		return r.Sensitive
	}
	still := maps.Clone(r.Sensitive)
	eachAttribute(r.State, func(name string, v reflect.Value) {
		if past, ok := r.once[name]; ok && !past.is(v.Interface()) {
			delete(still, name)
		}
	})
	return still
}

// is reports whether a value is the one of the digest.
func (p pastSecret) is(value any) bool {
	salt, digest, _ := strings.Cut(strings.TrimPrefix(p.digest, "argon2id:"), ":")
	raw, err := hex.DecodeString(salt)
	return err == nil && digest != "" && newSealer(string(raw)).seal(p.label, true, value) == digest
}
