package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// errNoPackages is the error of a host without a supported package manager.
var errNoPackages = errors.New("this host has neither apt nor dnf")

// checkPackage refuses invalid package names. The characters are those of Debian policy 5.6.1 and
// those that rpm adds. A trailing minus would make apt-get remove the package.
func checkPackage(name string) error {
	ok := name != "" && len(name) < 200 && !strings.HasSuffix(name, "-")
	for i, r := range name {
		ok = ok && (letterOrDigit(r) || i > 0 && strings.ContainsRune("+-._", r) || i == 0 && r == '_')
	}
	if !ok {
		return fmt.Errorf("invalid package name %s", quote(name))
	}
	return nil
}

// checkVersion refuses invalid versions: of dpkg (deb-version(7)), or epoch:version-release of rpm.
func checkVersion(version string) error {
	ok := version != "" && len(version) < 200
	for i, r := range version {
		ok = ok && (letterOrDigit(r) || i > 0 && strings.ContainsRune("+-._:~^", r))
	}
	if !ok {
		return fmt.Errorf("invalid package version %s", quote(version))
	}
	return nil
}

// packages are the packages of the host.
type packages struct {
	manager packageManager // nil: the host has neither apt nor dnf
}

// packageManager is what apt and dnf do differently.
type packageManager interface {
	// nativeArch returns the architecture of packages that are named without one.
	nativeArch(ctx context.Context) (string, error)
	// isNative reports whether an instance is named without its architecture.
	isNative(i instance, own string) bool
	// full returns an instance's name with its architecture.
	full(i instance) string
	// instances returns the packages with these names in all architectures; all packages for nil.
	instances(ctx context.Context, names []string) (map[instance]*wire.Package, error)
	// candidates returns the newest available versions.
	candidates(ctx context.Context, names []string) (map[string]string, error)
	// install takes NAME and NAME=VERSION.
	install(specs []string) error
	// remove removes exactly these packages, not those that depend on them or that they needed.
	remove(names []string) error
	// tryRemove checks whether packages can be removed together.
	tryRemove(names []string) error
	// repair completes an interrupted run, as far as possible.
	repair() error
	// removeBroken removes packages that remove could not, because a package is half installed.
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
	// The available versions take the longest: they are looked up in the background.
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

// byName returns the packages with these names that the host knows; all packages for nil.
func (p *packages) byName(ctx context.Context, names []string) (map[string]*wire.Package, error) {
	if p.manager == nil {
		return nil, errNoPackages
	}
	return byName(ctx, p.manager, names)
}

func byName(ctx context.Context, m packageManager, names []string) (map[string]*wire.Package, error) {
	found, err := m.instances(ctx, names)
	if err != nil {
		return nil, err
	}
	own, err := m.nativeArch(ctx) // after instances, which often learns it
	if err != nil {
		return nil, err
	}
	return named(m, found, own), nil
}

// candidates returns the newest available versions.
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
	// The state of the packages decides, not the exit status of the package manager.
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

// change first removes packages, and then installs others.
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

// installed drops the names of packages that are not there, and returns the others with exact
// names.
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
