package agent

import (
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// installedPackages lists the names of all packages of which something is there, sorted, and a digest of their versions and states. Where there is no package
// manager, there are none.
func (h *host) installedPackages() (names []string, digest string, err error) {
	if h.facts.Packages == "" {
		return nil, digestOf(""), nil
	}
	found, err := h.packages(forever, nil)
	if err != nil {
		return nil, "", err
	}
	for name, p := range found {
		if p.Installed != "" || p.Broken != "" {
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

// undoPackages takes a change of packages back: what was not there before is removed, as far as nothing else needs it, and never purged; what was removed or
// upgraded is installed as it was.
func (h *host) undoPackages(undo *wire.PackageOp, op *operation) error {
	if h.facts.Packages == "apt" {
		if err := h.repairDpkg(); err != nil {
			return err
		}
	}
	now, _, err := h.installedPackages()
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
	if remove, err = h.removeUnneeded(remove); err != nil {
		return err
	}
	install, err := h.lacking(undo.Install)
	if err != nil {
		return err
	}
	if len(install) > 0 {
		if err := h.pkg(&wire.PackageOp{Install: install}); err != nil {
			return err
		}
		if remove, err = h.removeUnneeded(remove); err != nil {
			return err
		}
	}
	if len(remove) > 0 {
		return &left{"something else needs " + strings.Join(remove, " ") + " by now: not removed"}
	}
	return nil
}

// lacking leaves out the packages that are as they are to be.
func (h *host) lacking(specs []string) (rest []string, err error) {
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
	found, err := h.packages(forever, names)
	for i, spec := range specs {
		_, version, pinned := strings.Cut(spec, "=")
		p := found[names[i]]
		if p == nil || p.Installed == "" || p.Broken != "" || pinned && p.Installed != version {
			rest = append(rest, spec)
		}
	}
	return rest, err
}

// repairDpkg has an interrupted dpkg finish, as far as it can.
func (h *host) repairDpkg() error {
	found, err := h.instances(forever, nil)
	if err != nil {
		return err
	}
	for _, p := range found {
		if p.Broken != "" {
			// A package whose script fails is removed next.
			_ = h.manage(aptEnv, "dpkg", "--force-confdef", "--force-confold", "--configure", "-a")
			break
		}
	}
	return nil
}

// removeUnneeded removes packages as far as nothing else needs them, and returns the others.
func (h *host) removeUnneeded(names []string) (needed []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	free := names
	if h.tryRemove(names) != nil {
		// Something needs one of them: the rest is found one by one, again and again, as what needs a package has to go before it.
		free, needed = nil, names
		for more := true; more; {
			more = false
			for _, name := range needed {
				if !slices.Contains(free, name) && h.tryRemove(append([]string{name}, free...)) == nil {
					free, more = append(free, name), true
				}
			}
			needed = without(needed, free)
		}
	}
	if len(free) == 0 {
		return needed, nil
	}
	if h.facts.Packages == "dnf" {
		return needed, h.dnf(&wire.PackageOp{Remove: free})
	}
	if err := h.apt(&wire.PackageOp{Remove: free}); err != nil {
		if free, _ = h.exact(free); len(free) == 0 {
			return needed, err
		}
		// apt-get does nothing at all while a package is half installed.
		if h.manage(aptEnv, append([]string{"dpkg", "--force-remove-reinstreq", "--remove", "--"}, free...)...) != nil {
			return needed, err
		}
	}
	return needed, nil
}

// tryRemove tells whether packages could be removed together.
func (h *host) tryRemove(names []string) error {
	names, err := h.exact(names)
	if err != nil {
		return err
	}
	argv := []string{"dpkg", "--force-remove-reinstreq", "--simulate", "--remove", "--"}
	if h.facts.Packages == "dnf" {
		argv = []string{"rpm", "-e", "--test", "--"}
	}
	return h.manage(nil, append(argv, names...)...)
}
