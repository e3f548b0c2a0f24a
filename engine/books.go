package engine

import (
	"encoding/hex"
	"slices"
)

// books writes manifests. All hosts of an apply share its digests of secrets.
type books struct {
	Ledger
	seals *sealer
}

func newBooks(l Ledger) *books { return &books{Ledger: l, seals: newSealer(NewNonce())} }

// deeds are what an apply did on a host, as far as its manifest needs it.
type deeds struct {
	changed map[*Resource]bool
	absent  map[*Resource]bool // resources that did not exist before the apply
	first   map[*Resource]any  // the wanted states at that time, completed and settled
	later   map[*Resource]bool // resources that wait for the second transaction, see hostApplier.split
}

// next returns the manifest of a host whose selected resources are as wanted.
func (b *books) next(v *visit, did deeds) (*Manifest, error) {
	gone := slices.Clone(v.gone)
	found := map[*Resource]Compared{}
	for _, c := range v.found.Compared {
		found[c.Resource] = c
	}
	var entries []Managed
	elsewhere := map[string]bool{} // addresses of what does not apply to this host
	for _, r := range v.ordered {
		if r.Remove {
			gone = append(gone, r.Address.Local())
			continue
		}
		c, compared := found[r]
		if did.later[r] && slices.ContainsFunc(v.found.Changes, func(c Change) bool { return c.Resource == r }) {
			continue // its entry does not change yet
		}
		for _, owner := range r.owners() {
			old := v.manifest.find(b.Configuration, owner.Address.Local(), r.Kind.Name)
			if !compared && old == nil {
				elsewhere[owner.Address.Local()] = true
				continue
			}
			e, err := b.entry(owner, old, did.changed[r])
			if err != nil {
				return nil, err
			}
			if !compared && old != nil {
				e.Remembered = old.Remembered
			} else if err := e.remember(did.first[r], c.Want, c.Have); err != nil {
				return nil, err
			}
			e.Made = did.absent[r] && did.changed[r] && c.Have != nil || old != nil && old.Made
			entries = append(entries, e)
		}
	}
	for i := range entries {
		entries[i].DependsOn = slices.DeleteFunc(entries[i].DependsOn, func(address string) bool { return elsewhere[address] })
	}
	next := v.manifest.merge(b.Version, b.Configuration, gone, entries)
	next.inherit(v.manifest, v.target, b.Types)
	return next, nil
}

// entry returns what the manifest holds of a resource. Secrets that did not change keep the digests
// of the old entry.
func (b *books) entry(r *Resource, old *Managed, changed bool) (Managed, error) {
	kept := *r
	kept.Sensitive = r.stillSensitive(changed)
	return newManaged(&kept, b.Configuration, func(name string, value any) string {
		if old != nil && old.Secrets[name] != "" && old.was == "" && !changed {
			return ""
		}
		return b.sealSecret(r.Address.Local(), name, value)
	})
}

// sealSecret returns the digest of a secret for a manifest. The address has no host.
func (b *books) sealSecret(address, attribute string, value any) string {
	return "argon2id:" + hex.EncodeToString(b.seals.salt) + ":" + b.seals.seal(address+" "+attribute, true, value)
}
