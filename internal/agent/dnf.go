package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// dnf is the package manager of Enterprise Linux, with rpm behind it.
type dnf struct{ manager }

func (d *dnf) nativeArch(ctx context.Context) (string, error) {
	return d.native.get(func() (string, error) { return rpmArch(ctx) })
}

func (d *dnf) isNative(i instance, own string) bool { return rpmNative(i.arch, own) }

func (d *dnf) full(i instance) string { return i.name + "." + i.arch }

// instances asks rpm. Of a package with several installed versions (as the kernel has), all count
// if all packages are listed, and the last one otherwise.
func (d *dnf) instances(ctx context.Context, names []string) (map[instance]*wire.Package, error) {
	argv := []string{"rpm", "-q", "--qf", `%{NAME}\t%{EVR}\t%{ARCH}\n`}
	if names == nil {
		argv = append(argv, "-a")
	}
	o, err := ask(ctx, append(append(argv, "--"), names...)...)
	if err != nil {
		return nil, err
	}
	// With names, the exit status is the number of packages that are not installed: only the output
	// shows whether rpm itself failed.
	if said := o.stderr.String(); strings.Contains(said, "error:") || names == nil && o.exit != 0 {
		return nil, fmt.Errorf("rpm: exit status %d: %s", o.exit, lastLine(printable(said)))
	}
	return parseRPM(o.stdout.String(), names == nil), nil
}

func (d *dnf) candidates(ctx context.Context, names []string) (map[string]string, error) {
	argv := []string{"dnf", "-q", "--cacheonly", "repoquery", "--latest-limit=1", "--qf", `%{name}\t%{evr}\t%{arch}\n`}
	o, err := ask(ctx, append(argv, names...)...)
	if err == nil && o.exit != 0 {
		// Without a cache, dnf has to fetch the metadata first.
		argv = append(append([]string{"dnf", "-q"}, argv[3:]...), names...)
		o, err = run(ctx, command{argv: argv, timeout: 5 * queryTimeout, keep: 8 << 20})
	}
	if err != nil {
		return nil, err
	}
	if o.exit != 0 {
		return nil, fmt.Errorf("dnf repoquery: exit status %d: %s", o.exit, lastLine(printable(o.stderr.String())))
	}
	own, err := d.nativeArch(ctx)
	return parseRepoquery(o.stdout.String(), own), err
}

func (d *dnf) remove(names []string) error {
	// dnf would also remove the packages that need them, and those that nothing needs any more.
	if err := d.tryRemove(names); err != nil {
		return err
	}
	return d.run(nil, append([]string{"dnf", "-y", "-q", "--setopt=clean_requirements_on_remove=False", "remove"}, names...)...)
}

func (d *dnf) tryRemove(names []string) error {
	return d.run(nil, append([]string{"rpm", "-e", "--test", "--"}, names...)...)
}

func (d *dnf) install(specs []string) error {
	argv := []string{"dnf", "-y", "-q", "--setopt=install_weak_deps=False", "install"}
	for _, spec := range specs {
		name, version, pinned := strings.Cut(spec, "=")
		if pinned {
			name += "-" + version
		}
		argv = append(argv, name)
	}
	err := d.run(nil, argv...)
	// dnf refuses to do anything while the metadata of one repository cannot be fetched, which may
	// have nothing to do with the packages to install: that repository is skipped.
	for _, sign := range []string{"Failed to download metadata for repo", "Failed to synchronize cache for repo", "Cannot download repomd.xml"} {
		if err != nil && strings.Contains(outputOf(err), sign) {
			return bothFailed(d.run(nil, append([]string{"dnf", "--setopt=*.skip_if_unavailable=True"}, argv[1:]...)...), err)
		}
	}
	return err
}

// repair does nothing: rpm works after an interruption.
func (d *dnf) repair() error { return nil }

// removeBroken is not supported: rpm has only one way to remove a package.
func (d *dnf) removeBroken([]string) error { return errors.ErrUnsupported }
