package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// apt is the package manager of Debian and its derivatives, with dpkg behind it.
type apt struct {
	manager
	dpkg string // dpkg's administrative directory
}

// nativeArch runs dpkg only if the status file does not have it: a process takes longer than all
// other questions about packages.
func (a *apt) nativeArch(ctx context.Context) (string, error) {
	return a.native.get(func() (string, error) { return oneWord(ctx, "dpkg", "--print-architecture") })
}

func (a *apt) isNative(i instance, own string) bool {
	return i.arch == own || i.arch == "all" || i.arch == ""
}

func (a *apt) full(i instance) string { return i.name + ":" + i.arch }

// instances reads dpkg's status file, and the updates that an interrupted dpkg left beside it.
func (a *apt) instances(_ context.Context, names []string) (map[instance]*wire.Package, error) {
	var wanted map[string]bool
	if names != nil {
		wanted = map[string]bool{}
	}
	for _, n := range names {
		base, _, _ := strings.Cut(n, ":")
		wanted[base] = true
	}
	onlyArch := wanted != nil && !wanted["dpkg"]
	if onlyArch {
		wanted["dpkg"] = true
	}
	found := map[instance]*wire.Package{}
	files := []string{a.dpkg + "/status"}
	entries, err := listDir(a.dpkg + "/updates")
	if err != nil && !absent(err) {
		return nil, err
	}
	for _, name := range entries {
		if strings.Trim(name, "0123456789") == "" {
			files = append(files, a.dpkg+"/updates/"+name)
		}
	}
	for _, file := range files {
		fd, err := open(unix.AT_FDCWD, file, unix.O_RDONLY, 0)
		if absent(err) && file != files[0] {
			continue // dpkg has merged it into status
		}
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", file, err)
		}
		err = parseDpkg(reader(fd), wanted, found)
		closeFD(fd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	a.learnArch(found, onlyArch)
	return found, nil
}

// learnArch takes dpkg's own architecture from the entry of its package. drop removes the entry.
func (a *apt) learnArch(found map[instance]*wire.Package, drop bool) {
	arch, several := "", false
	for i, p := range found {
		if i.name != "dpkg" {
			continue
		}
		if p.Installed != "" && p.Broken == "" {
			arch, several = i.arch, several || arch != ""
		}
		if drop {
			delete(found, i)
		}
	}
	if arch != "" && arch != "all" && !several {
		a.native.learn(arch)
	}
}

func (a *apt) candidates(ctx context.Context, names []string) (map[string]string, error) {
	o, err := ask(ctx, append([]string{"apt-cache", "policy", "--"}, names...)...)
	if err != nil {
		return nil, err
	}
	if o.exit != 0 {
		return nil, fmt.Errorf("apt-cache policy: exit status %d: %s", o.exit, lastLine(printable(o.stderr.String())))
	}
	return parsePolicy(o.stdout.String()), nil
}

// aptEnv keeps maintainer scripts and hooks from asking questions, and from restarting other
// services.
var aptEnv = []string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "APT_LISTCHANGES_FRONTEND=none"}

// keepConffiles answers dpkg's question about changed configuration files: the host's files stay.
var keepConffiles = []string{"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=120",
	// dpkg and its maintainer scripts inherit the host's lock as well. run passes it as descriptor 3.
	"-o", "APT::Keep-Fds::=3"}

func (a *apt) remove(names []string) error {
	// apt-get would also remove the packages that need them; dpkg refuses.
	if err := a.run(nil, append([]string{"dpkg", "--simulate", "--remove", "--"}, names...)...); err != nil {
		return err
	}
	return a.get(append(append(a.argv(), "remove", "--"), names...))
}

func (a *apt) argv() []string { return append([]string{"apt-get", "-y", "-q"}, keepConffiles...) }

func (a *apt) install(specs []string) error {
	// Names are not taken as patterns, and no package is removed to make room.
	get := append(a.argv(), "-o", "APT::Cmd::Pattern-Only=true", "--no-install-recommends", "--no-remove")
	if slices.ContainsFunc(specs, func(s string) bool { return strings.Contains(s, "=") }) {
		get = append(get, "--allow-downgrades")
	}
	install := append(append(slices.Clone(get), "install", "--"), specs...)
	err := a.get(install)
	// The package lists are fetched only when they turn out to be too old: that takes longer than most
	// installations.
	for _, sign := range []string{"Unable to locate package", "has no installation candidate", "404  Not Found", "Failed to fetch", "was not found", "Hash Sum mismatch"} {
		if err != nil && strings.Contains(outputOf(err), sign) {
			// One broken repository makes the update fail, and it may have nothing to do with the packages
			// to install: the installation is tried all the same.
			update := a.get([]string{"apt-get", "-q", "update"})
			err = bothFailed(a.get(install), update)
			break
		}
	}
	if units := failedStarts(outputOf(err)); err != nil && len(units) > 0 {
		err = a.installStopped(install, units)
	}
	if err != nil {
		return err
	}
	// apt-get considers a package installed that dpkg wants to have installed again (reinst-required
	// in dpkg(1)).
	again, err := a.reinstall(specs)
	if err == nil && len(again) > 0 {
		err = a.get(append(append(get, "install", "--reinstall", "--"), again...))
	}
	return err
}

// reinstall returns the packages that dpkg wants to have installed again.
func (a *apt) reinstall(specs []string) (again []string, err error) {
	var names []string
	for _, spec := range specs {
		name, _, _ := strings.Cut(spec, "=")
		names = append(names, name)
	}
	found, err := byName(context.Background(), a, names)
	for i, name := range names {
		if p := found[name]; p != nil && strings.HasPrefix(p.Broken, "reinstreq") {
			again = append(again, specs[i])
		}
	}
	return again, err
}

// get runs apt-get. If a dpkg run was interrupted, it is completed first.
func (a *apt) get(argv []string) error {
	err := a.run(aptEnv, argv...)
	if err != nil && strings.Contains(outputOf(err), "dpkg was interrupted") {
		if err := a.run(aptEnv, "dpkg", "--force-confdef", "--force-confold", "--configure", "-a"); err != nil {
			return err
		}
		err = a.run(aptEnv, argv...)
	}
	return err
}

func (a *apt) repair() error {
	found, err := a.instances(context.Background(), nil)
	if err != nil {
		return err
	}
	for _, p := range found {
		if p.Broken != "" {
			// A package whose script fails is removed next.
			_ = a.run(aptEnv, "dpkg", "--force-confdef", "--force-confold", "--configure", "-a")
			break
		}
	}
	return nil
}

func (a *apt) tryRemove(names []string) error {
	return a.run(nil, append([]string{"dpkg", "--force-remove-reinstreq", "--simulate", "--remove", "--"}, names...)...)
}

// removeBroken removes packages with dpkg, since apt-get refuses to do anything while a package is
// half installed.
func (a *apt) removeBroken(names []string) error {
	return a.run(aptEnv, append([]string{"dpkg", "--force-remove-reinstreq", "--remove", "--"}, names...)...)
}
