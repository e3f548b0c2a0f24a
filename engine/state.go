package engine

import (
	"context"
	"fmt"
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
func (f *Fleet) Manifests(ctx context.Context, hosts []Host) []HostManifest {
	list := make([]HostManifest, len(hosts))
	group := f.group()
	for i, host := range hosts {
		group.Go(func() error {
			m := &list[i]
			m.Host = host.Name
			h, err := f.reach(ctx, host.Name)
			if m.Err = err; err == nil {
				hello := h.session.Hello
				if hello.Unread != "" {
					m.Err = fmt.Errorf("%w: %q", ErrManifest, clip(hello.Unread))
				} else {
					m.Manifest, m.Err = DecodeManifest(hello.Manifest, hello.Facts.MachineID)
				}
			}
			f.report(Progress{Host: host.Name, Stage: Planned, Err: m.Err})
			return nil
		})
	}
	_ = group.Wait() // each host keeps its own error
	return list
}

// Forget removes entries from a host's manifest: those at or below the addresses, which have no
// host; of one configuration, or of all if it is empty. The resources stay on the host unchanged.
// Forget returns the removed addresses; no match is not an error.
func (f *Fleet) Forget(ctx context.Context, host, configuration string, addresses []string) (forgotten []string, err error) {
	err = f.edit(ctx, host, func(h *hostState) (*Manifest, bool, error) {
		old, err := DecodeManifest(h.written, h.target.Facts.MachineID)
		if err != nil {
			return nil, false, err
		}
		old = old.upgraded(f.Types)
		next := *old
		next.Version, next.Resources = f.Version, nil
		for _, e := range old.Resources {
			if (configuration == "" || e.Configuration == configuration) && slices.ContainsFunc(addresses, func(a string) bool { return Within(e.Address, a) }) {
				forgotten = append(forgotten, e.Address)
			} else {
				next.Resources = append(next.Resources, e)
			}
		}
		if len(forgotten) == 0 {
			return nil, false, nil
		}
		next.inherit(old, h.target, f.Types)
		return &next, false, nil
	})
	return forgotten, err
}

// Rebuild recreates a host's manifest from the configuration. It contains those resources that the
// host has as wanted; they count as found, since nothing records any more what mirrorform made.
// Entries of other configurations stay, if the old manifest can be read. The old manifest, usable
// or not, is kept beside the new one; nothing else on the host changes. Rebuild returns the
// addresses that are managed, and those that differ, which the next apply adds.
func (f *Fleet) Rebuild(ctx context.Context, host string) (managed, left []string, err error) {
	err = f.edit(ctx, host, func(h *hostState) (*Manifest, bool, error) {
		wanted, err := f.Wanted(host, f.facts())
		if err != nil {
			return nil, false, err
		}
		ordered, problems := Order(h.target, wanted)
		if len(problems) > 0 {
			return nil, false, problems[0]
		}
		h.ordered = ordered
		hp, err := h.observe(ctx)
		if err != nil {
			return nil, false, err
		}
		differs := map[*Resource]bool{}
		for i := range hp.Changes {
			differs[hp.Changes[i].Resource] = true
		}
		for _, p := range hp.Problems {
			if p.Severity == Error && p.Resource != nil {
				differs[p.Resource] = true
			}
		}
		h.ordered = slices.DeleteFunc(ordered, func(r *Resource) bool {
			if differs[r] {
				left = append(left, r.Address)
			} else {
				managed = append(managed, r.Address)
			}
			return differs[r]
		})
		h.manifest = &Manifest{Machine: h.target.Facts.MachineID}
		if old, err := DecodeManifest(h.written, h.target.Facts.MachineID); err == nil {
			old = old.upgraded(f.Types)
			h.manifest.Resources = slices.DeleteFunc(old.Resources, func(e Managed) bool { return e.Configuration == f.Configuration })
		}
		next, err := f.nextManifest(h, nil)
		return next, len(h.written) > 0 || h.session.Hello.Unread != "", err
	})
	return managed, left, err
}

// edit replaces a host's manifest under its lock. aside keeps the old one. If next is nil, nothing
// changes.
func (f *Fleet) edit(ctx context.Context, host string, change func(*hostState) (next *Manifest, aside bool, err error)) error {
	h, err := f.reach(ctx, host)
	if err != nil {
		return err
	}
	if _, err := f.begin(ctx, h, host); err != nil {
		return err
	}
	next, aside, err := change(h)
	if err != nil || next == nil {
		return err
	}
	text, err := next.Encode()
	if err != nil {
		return err
	}
	return h.commitManifest(ctx, wire.Commit{Manifest: text, Aside: aside})
}

// Error implements error.
func (p *ResourceProblem) Error() string {
	text := p.Shown().String()
	if p.Resource != nil {
		text = p.Resource.Address + ": " + text
	}
	return text
}
