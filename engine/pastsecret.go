package engine

import (
	"cmp"
	"encoding/hex"
	"maps"
	"reflect"
	"strings"
)

// A value that a host's manifest records as secret stays hidden as long as it does not change, even
// if the configuration no longer marks it sensitive (a variable was renamed, or lost its mark). The
// found value may still be that secret, so a plan hides the change to another value too.

// pastSecret is the digest of an attribute in a manifest.
type pastSecret struct {
	digest string // "argon2id:SALT:DIGEST", or "" if the entry has another type
	label  string // the label that the digest was computed with
}

// keepSecret marks attributes of wanted resources as sensitive if the manifest has them as secrets,
// under the same address or for the same thing under another address.
func (m *Manifest) keepSecret(t Target, types *Registry, wanted []*Resource) {
	entries := map[identity]*Managed{}
	for i := range m.Resources {
		e := &m.Resources[i]
		if len(e.Secrets) == 0 {
			continue
		}
		r, err := e.resource(t.Name, types)
		if err != nil {
			continue // reported when its entry is used
		}
		provides, _ := r.Kind.keys(t, r.State)
		for _, i := range r.Kind.identities(provides) {
			entries[i] = e
		}
	}
	if len(entries) == 0 {
		return
	}
	for _, r := range wanted {
		provides, _ := r.Kind.keys(t, r.State)
		for _, i := range r.Kind.identities(provides) {
			if e := entries[i]; e != nil && !r.Remove {
				r.rememberSecrets(e)
			}
		}
	}
}

// rememberSecrets marks the attributes that an entry has as secrets; if the entry has another type,
// it marks all.
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

// markSecrets passes to Discreet states that they contain secrets. It marks copies, since hosts may
// share a state.
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

// stillSensitive returns the attributes that the manifest records as secrets after an apply. It
// drops those that were marked only because of their past and now have another value.
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

// is reports whether the digest is of this value.
func (p pastSecret) is(value any) bool {
	salt, digest, _ := strings.Cut(strings.TrimPrefix(p.digest, "argon2id:"), ":")
	raw, err := hex.DecodeString(salt)
	return err == nil && digest != "" && newSealer(string(raw)).seal(p.label, true, value) == digest
}
