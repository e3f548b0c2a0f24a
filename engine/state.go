package engine

import (
	"context"
	"slices"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// HostManifest is the manifest of one host.
type HostManifest struct {
	Host     string
	Manifest *Manifest // nil when Err is set
	Err      error     // why the host is unreachable, or its manifest unusable (ErrManifest)
}

// Manifests reads the manifests of hosts. It locks and changes nothing.
func (f *Fleet) Manifests(ctx context.Context, hosts []Host, report Report) []HostManifest {
	list := make([]HostManifest, len(hosts))
	group := f.group()
	for i, host := range hosts {
		group.Go(func() error {
			m := &list[i]
			m.Host = host.Name
			v, err := f.reach(ctx, host.Name, report)
			if m.Err = err; err == nil {
				m.Manifest, m.Err = v.decode()
				v.close()
			}
			report(Progress{Host: host.Name, Stage: Planned, Err: m.Err})
			return nil
		})
	}
	_ = group.Wait() // each host keeps its own error
	return list
}

// Forget removes entries from a host's manifest: those at or below the addresses, which have no
// host; of one configuration, or of all if it is empty. The resources stay on the host unchanged.
// Forget returns the removed addresses; no match is not an error.
func (f *Fleet) Forget(
	ctx context.Context, lock Lock, host, configuration string, addresses []string,
) (forgotten []string, err error) {
	v, err := f.lock(ctx, lock, host)
	if err != nil {
		return nil, err
	}
	defer v.close()
	old, err := DecodeManifest(v.written, v.target.Facts.MachineID)
	if err != nil {
		return nil, err
	}
	old = old.upgraded(f.ledger.Types)
	next := *old
	next.Version, next.Resources = f.ledger.Version, nil
	for _, e := range old.Resources {
		named := slices.ContainsFunc(addresses, func(a string) bool { return Within(e.Address, a) })
		if named && (configuration == "" || e.Configuration == configuration) {
			forgotten = append(forgotten, e.Address)
		} else {
			next.Resources = append(next.Resources, e)
		}
	}
	if len(forgotten) == 0 {
		return nil, nil
	}
	next.inherit(old, v.target, f.ledger.Types)
	if err := v.replaceManifest(ctx, &next, false); err != nil {
		return nil, err
	}
	return forgotten, nil
}

// lock takes the lock of a host. The caller must close the visit.
func (f *Fleet) lock(ctx context.Context, lock Lock, host string) (*visit, error) {
	v, err := f.reach(ctx, host, Unreported)
	if err != nil {
		return nil, err
	}
	if _, err := lock.enter(ctx, v, Unreported); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// Rebuilt is the result of Fleet.Rebuild on one host.
type Rebuilt struct {
	Host    string
	Managed []string // addresses that the new manifest has
	Left    []string // addresses of resources that differ, which the next apply adds
	Err     error
}

// Rebuild recreates the manifests of hosts from the configuration, one after the other, and calls
// each with the results. A manifest contains those resources that the host has as wanted; they
// count as found, since nothing records any more what mirrorform made. Entries of other
// configurations stay, if the old manifest can be read. The old manifest, usable or not, is kept
// beside the new one; nothing else on the host changes.
func (f *Fleet) Rebuild(ctx context.Context, lock Lock, hosts []Host, intent Intent, each func(Rebuilt)) {
	books, facts := newBooks(f.ledger), map[string]*wire.Facts{}
	for _, h := range hosts {
		r := Rebuilt{Host: h.Name}
		r.Err = f.rebuild(ctx, lock, intent, books, facts, &r)
		each(r)
	}
}

// rebuild rebuilds the manifest of one host. It adds the host's facts to those of the hosts before.
func (f *Fleet) rebuild(
	ctx context.Context, lock Lock, intent Intent, books *books, facts map[string]*wire.Facts, r *Rebuilt,
) error {
	v, err := f.lock(ctx, lock, r.Host)
	if err != nil {
		return err
	}
	defer v.close()
	facts[r.Host] = v.session.Hello.Facts
	wanted, err := intent.Wanted(r.Host, facts)
	if err != nil {
		return err
	}
	ordered, problems := Order(v.target, wanted)
	if len(problems) > 0 {
		return problems[0]
	}
	v.ordered = ordered
	hp, err := v.observe(ctx)
	if err != nil {
		return err
	}
	differs := hp.differing()
	v.ordered = slices.DeleteFunc(ordered, func(res *Resource) bool {
		if differs[res] {
			r.Left = append(r.Left, res.Address.String())
		} else {
			r.Managed = append(r.Managed, res.Address.String())
		}
		return differs[res]
	})
	v.manifest = &Manifest{Machine: v.target.Facts.MachineID}
	if old, err := DecodeManifest(v.written, v.target.Facts.MachineID); err == nil {
		old = old.upgraded(f.ledger.Types)
		v.manifest.Resources = slices.DeleteFunc(old.Resources, func(e Managed) bool {
			return e.Configuration == f.ledger.Configuration
		})
	}
	next, err := books.next(v, deeds{})
	if err != nil {
		return err
	}
	return v.replaceManifest(ctx, next, len(v.written) > 0 || v.session.Hello.Unread != "")
}

// differing returns the resources that are not as wanted.
func (p *HostPlan) differing() map[*Resource]bool {
	differs := map[*Resource]bool{}
	for i := range p.Changes {
		differs[p.Changes[i].Resource] = true
	}
	for _, q := range p.Problems {
		if q.Severity == Error && q.Resource != nil {
			differs[q.Resource] = true
		}
	}
	return differs
}

// replaceManifest replaces a host's manifest under its lock. aside keeps the old one.
func (v *visit) replaceManifest(ctx context.Context, next *Manifest, aside bool) error {
	text, err := next.Encode()
	if err != nil {
		return err
	}
	return v.commitManifest(ctx, wire.Commit{Manifest: text, Aside: aside})
}

// Error implements error.
func (p *ResourceProblem) Error() string {
	text := p.Shown().String()
	if p.Resource != nil {
		text = p.Resource.Address.String() + ": " + text
	}
	return text
}
