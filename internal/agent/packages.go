package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// errNoPackages is the error of a host whose package manager is not known.
var errNoPackages = errors.New("this host has neither apt nor dnf")

// checkPackage refuses what is no package name. The alphabet is that of Debian policy 5.6.1 with
// what rpm names add. A final minus would make apt-get remove.
func checkPackage(name string) error {
	ok := name != "" && len(name) < 200 && !strings.HasSuffix(name, "-")
	for i, r := range name {
		ok = ok && (letterOrDigit(r) || i > 0 && strings.ContainsRune("+-._", r) || i == 0 && r == '_')
	}
	if !ok {
		return fmt.Errorf("%s is no name of a package", quote(name))
	}
	return nil
}

// checkVersion refuses what is no version: of dpkg (deb-version(7)) or epoch:version-release of
// rpm.
func checkVersion(version string) error {
	ok := version != "" && len(version) < 200
	for i, r := range version {
		ok = ok && (letterOrDigit(r) || i > 0 && strings.ContainsRune("+-._:~^", r))
	}
	if !ok {
		return fmt.Errorf("%s is no version of a package", quote(version))
	}
	return nil
}

// packages are the host's, behind its package manager.
type packages struct {
	manager packageManager // nil: the host has neither apt nor dnf
}

// packageManager is what apt and dnf do each in its own way.
type packageManager interface {
	// nativeArch is the architecture that a name alone stands for.
	nativeArch(ctx context.Context) (string, error)
	// isNative reports whether an instance is meant by its name alone.
	isNative(i instance, own string) bool
	// full is an instance's name with its architecture.
	full(i instance) string
	// instances are the packages of these names in all architectures; nil stands for all.
	instances(ctx context.Context, names []string) (map[instance]*wire.Package, error)
	// candidates are the newest versions on offer.
	candidates(ctx context.Context, names []string) (map[string]string, error)
	// install takes names, and NAME=VERSION.
	install(specs []string) error
	// remove removes packages, and neither what needs them nor what they needed.
	remove(names []string) error
	// tryRemove tells whether packages could be removed together.
	tryRemove(names []string) error
	// repair has an interrupted run finish, as far as it can.
	repair() error
	// removeBroken removes packages that remove did not, since something is half installed.
	removeBroken(names []string) error
}

// askPackages answers all package questions with at most two child processes.
func (b *batch) askPackages(which []int, set func(int, wire.Answer)) {
	var names, offered []string
	var asked []int
	for _, i := range which {
		q := b.queries[i]
		if err := checkPackage(q.Arg); err != nil {
			set(i, failed(err))
			continue
		}
		asked, names = append(asked, i), append(names, q.Arg)
		if q.Option == "candidate" {
			offered = append(offered, q.Arg)
		}
	}
	if len(names) == 0 {
		return
	}
	// The newest versions take longest: they are looked up meanwhile.
	type result struct {
		versions map[string]string
		err      error
	}
	offers := make(chan result, 1)
	go func() {
		var r result
		if len(offered) > 0 {
			r.err = guard(func() (err error) { r.versions, err = b.packages.candidates(b.ctx, offered); return err })
		}
		offers <- r
	}()
	found, err := b.packages.byName(b.ctx, names)
	r := <-offers
	for _, i := range asked {
		q := b.queries[i]
		w := found[q.Arg]
		if w == nil {
			w = &wire.Package{}
		}
		switch {
		case err != nil:
			set(i, failed(err))
		case r.err != nil && q.Option == "candidate":
			set(i, failed(r.err))
		default:
			w := *w
			if q.Option == "candidate" {
				w.Candidate = r.versions[q.Arg]
			}
			set(i, wire.Answer{Package: &w})
		}
	}
}

// byName are those of these names that the host knows; nil stands for all.
func (p *packages) byName(ctx context.Context, names []string) (map[string]*wire.Package, error) {
	if p.manager == nil {
		return nil, errNoPackages
	}
	return byName(ctx, p.manager, names)
}

func byName(ctx context.Context, m packageManager, names []string) (map[string]*wire.Package, error) {
	// The package manager says its architecture while the packages are read.
	var own string
	asked := make(chan error, 1)
	go func() {
		asked <- guard(func() (err error) { own, err = m.nativeArch(ctx); return err })
	}()
	found, err := m.instances(ctx, names)
	if err2 := <-asked; err == nil {
		err = err2
	}
	if err != nil {
		return nil, err
	}
	return named(m, found, own), nil
}

// candidates asks for the newest versions on offer.
func (p *packages) candidates(ctx context.Context, names []string) (map[string]string, error) {
	if p.manager == nil {
		return nil, errNoPackages
	}
	return p.manager.candidates(ctx, names)
}

// perform performs a PackageOp.
func (p *packages) perform(op *wire.PackageOp) error {
	var names []string
	for _, spec := range op.Install {
		name, version, pinned := strings.Cut(spec, "=")
		if err := checkPackage(name); err != nil {
			return err
		}
		if pinned {
			if err := checkVersion(version); err != nil {
				return err
			}
		}
		names = append(names, name)
	}
	for _, name := range op.Remove {
		if err := checkPackage(name); err != nil {
			return err
		}
	}
	if p.manager == nil {
		return errNoPackages
	}
	if err := p.change(op); err != nil {
		return err
	}
	// Success is what the host has now, not what a program said of itself.
	found, err := p.byName(context.Background(), append(slices.Clone(names), op.Remove...))
	if err != nil {
		return err
	}
	for _, name := range names {
		if w := found[name]; w == nil || w.Installed == "" || w.Broken != "" {
			return fmt.Errorf("package %s is not properly installed, although the package manager reported success", name)
		}
	}
	for _, name := range op.Remove {
		if w := found[name]; w != nil && w.Installed != "" && !slices.Contains(names, name) {
			return fmt.Errorf("package %s is still installed, although the package manager reported success", name)
		}
	}
	return nil
}

// change removes and then installs.
func (p *packages) change(op *wire.PackageOp) error {
	names, err := p.installed(op.Remove)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		if err := p.manager.remove(names); err != nil {
			return err
		}
	}
	if len(op.Install) == 0 {
		return nil
	}
	return p.manager.install(op.Install)
}

// installed leaves out the names of packages of which nothing is there, and names the others
// exactly.
func (p *packages) installed(names []string) (there []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	found, err := p.byName(context.Background(), names)
	for _, n := range names {
		if w := found[n]; w != nil && (w.Installed != "" || w.Broken != "") {
			there = append(there, n)
		}
	}
	if err != nil || len(there) == 0 {
		return nil, err
	}
	return p.exact(there)
}
