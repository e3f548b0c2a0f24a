package agent

import (
	"context"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// list returns the sorted names of all packages that are at least partly installed, and a digest of
// their versions and states. Without a package manager it returns no names.
func (p *packages) list() (names []string, digest string, err error) {
	if p.manager == nil {
		return nil, digestOf(""), nil
	}
	found, err := p.byName(context.Background(), nil)
	if err != nil {
		return nil, "", err
	}
	for name, w := range found {
		if w.Installed != "" || w.Broken != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name + "\x00" + found[name].Installed + "\x00" + found[name].Broken + "\x00")
	}
	return names, digestOf(b.String()), nil
}

// undo undoes a change of packages. It removes packages that were not there before, unless another
// package needs them, and never purges. It installs again what was removed or upgraded, in the old
// version.
func (p *packages) undo(undo *wire.PackageOp, op *operation) error {
	if p.manager != nil {
		if err := p.manager.repair(); err != nil {
			return err
		}
	}
	now, _, err := p.list()
	if err != nil {
		return err
	}
	brought := op.brought
	if !op.ended {
		brought = without(now, op.Packages)
	}
	var remove []string
	for _, name := range without(append(brought, undo.Remove...), op.Packages) {
		base, _, _ := strings.Cut(name, ":")
		if checkPackage(base) == nil && slices.Contains(now, name) {
			remove = append(remove, name)
		}
	}
	if remove, err = p.removeUnneeded(remove); err != nil {
		return err
	}
	install, err := p.lacking(undo.Install)
	if err != nil {
		return err
	}
	if len(install) > 0 {
		if err := p.perform(&wire.PackageOp{Install: install}); err != nil {
			return err
		}
		if remove, err = p.removeUnneeded(remove); err != nil {
			return err
		}
	}
	if len(remove) > 0 {
		return &left{strings.Join(remove, " ") + " not removed: other packages need them now"}
	}
	return nil
}

// lacking drops the packages that are already in the wanted state.
func (p *packages) lacking(specs []string) (rest []string, err error) {
	var names []string
	for _, spec := range specs {
		name, _, _ := strings.Cut(spec, "=")
		if err := checkPackage(name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, nil
	}
	found, err := p.byName(context.Background(), names)
	for i, spec := range specs {
		_, version, pinned := strings.Cut(spec, "=")
		w := found[names[i]]
		if w == nil || w.Installed == "" || w.Broken != "" || pinned && w.Installed != version {
			rest = append(rest, spec)
		}
	}
	return rest, err
}

// removeUnneeded removes the packages that no other package needs, and returns the rest.
func (p *packages) removeUnneeded(names []string) (needed []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	free := names
	if p.tryRemove(names) != nil {
		// Another package needs one of them. The others are found one by one, in several rounds: a
		// package can go only after those that need it.
		free, needed = nil, names
		for more := true; more; {
			more = false
			for _, name := range needed {
				if !slices.Contains(free, name) && p.tryRemove(append([]string{name}, free...)) == nil {
					free, more = append(free, name), true
				}
			}
			needed = without(needed, free)
		}
	}
	if len(free) == 0 {
		return needed, nil
	}
	if err := p.change(&wire.PackageOp{Remove: free}); err != nil {
		if free, _ = p.exact(free); len(free) == 0 || p.manager.removeBroken(free) != nil {
			return needed, err
		}
	}
	return needed, nil
}

// tryRemove checks whether packages can be removed together.
func (p *packages) tryRemove(names []string) error {
	names, err := p.exact(names)
	if err != nil {
		return err
	}
	return p.manager.tryRemove(names)
}
