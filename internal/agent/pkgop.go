package agent

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

const (
	packageTimeout = wire.PackagesTime
	lockPatience   = wire.LockTime // how long another run of the package manager is waited for
)

// pkg performs a PackageOp.
func (h *host) pkg(op *wire.PackageOp) error {
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
	var err error
	switch h.facts.Packages {
	case "apt":
		err = h.apt(op)
	case "dnf":
		err = h.dnf(op)
	default:
		return errNoPackages
	}
	if err != nil {
		return err
	}
	// Success is what the host has now, not what a program said of itself.
	found, err := h.packages(forever, append(slices.Clone(names), op.Remove...))
	if err != nil {
		return err
	}
	for _, name := range names {
		if p := found[name]; p == nil || p.Installed == "" || p.Broken != "" {
			return errors.New("package " + name + " is not properly installed, although the package manager reported success")
		}
	}
	for _, name := range op.Remove {
		if p := found[name]; p != nil && p.Installed != "" && !slices.Contains(names, name) {
			return errors.New("package " + name + " is still installed, although the package manager reported success")
		}
	}
	return nil
}

// aptEnv keeps maintainer scripts and hooks from asking, and from restarting what nobody named.
var aptEnv = []string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "APT_LISTCHANGES_FRONTEND=none"}

// keepConffiles answers dpkg's question about changed configuration files: the host's stay.
var keepConffiles = []string{"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=120",
	// dpkg and its maintainer scripts get the host's lock as well, which run gives programs as descriptor 3.
	"-o", "APT::Keep-Fds::=3"}

func (h *host) apt(op *wire.PackageOp) error {
	get := append([]string{"apt-get", "-y", "-q"}, keepConffiles...)
	names, err := h.installed(op.Remove)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		// apt-get would remove as well what needs them.
		if err := h.manage(nil, append([]string{"dpkg", "--simulate", "--remove", "--"}, names...)...); err != nil {
			return err
		}
		if err := h.aptGet(append(append(slices.Clone(get), "remove", "--"), names...)); err != nil {
			return err
		}
	}
	if len(op.Install) == 0 {
		return nil
	}
	// Names are names, not patterns; and nothing is removed to make room.
	get = append(get, "-o", "APT::Cmd::Pattern-Only=true", "--no-install-recommends", "--no-remove")
	if slices.ContainsFunc(op.Install, func(s string) bool { return strings.Contains(s, "=") }) {
		get = append(get, "--allow-downgrades")
	}
	install := append(append(slices.Clone(get), "install", "--"), op.Install...)
	err = h.aptGet(install)
	// The lists are fetched only when they turn out to be too old: it takes longer than most installations.
	for _, sign := range []string{"Unable to locate package", "has no installation candidate", "404  Not Found", "Failed to fetch", "was not found", "Hash Sum mismatch"} {
		if err != nil && strings.Contains(outputOf(err), sign) {
			// One repository that is broken, of somebody else perhaps, fails it, and what is to be
			// installed may be in another.
			update := h.aptGet([]string{"apt-get", "-q", "update"})
			err = bothFailed(h.aptGet(install), update)
			break
		}
	}
	if units := failedStarts(outputOf(err)); err != nil && len(units) > 0 {
		err = h.installStopped(install, units)
	}
	if err != nil {
		return err
	}
	// apt-get takes a package of which dpkg demands that it be installed anew (dpkg(1), reinst-required) for one that is there.
	again, err := h.reinstall(op.Install)
	if err == nil && len(again) > 0 {
		err = h.aptGet(append(append(get, "install", "--reinstall", "--"), again...))
	}
	return err
}

// reinstall leaves the packages that dpkg wants to be installed anew.
func (h *host) reinstall(specs []string) (again []string, err error) {
	var names []string
	for _, spec := range specs {
		name, _, _ := strings.Cut(spec, "=")
		names = append(names, name)
	}
	found, err := h.packages(forever, names)
	for i, name := range names {
		if p := found[name]; p != nil && strings.HasPrefix(p.Broken, "reinstreq") {
			again = append(again, specs[i])
		}
	}
	return again, err
}

// installed leaves out the names of packages of which nothing is there, and names the others
// exactly.
func (h *host) installed(names []string) (there []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	found, err := h.packages(forever, names)
	for _, n := range names {
		if p := found[n]; p != nil && (p.Installed != "" || p.Broken != "") {
			there = append(there, n)
		}
	}
	if err != nil || len(there) == 0 {
		return nil, err
	}
	return h.exact(there)
}

// aptGet runs apt-get; where a dpkg was interrupted, that is repaired first.
func (h *host) aptGet(argv []string) error {
	err := h.manage(aptEnv, argv...)
	if err != nil && strings.Contains(outputOf(err), "dpkg was interrupted") {
		if err := h.manage(aptEnv, "dpkg", "--force-confdef", "--force-confold", "--configure", "-a"); err != nil {
			return err
		}
		err = h.manage(aptEnv, argv...)
	}
	return err
}

func (h *host) dnf(op *wire.PackageOp) error {
	names, err := h.installed(op.Remove)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		// dnf would remove as well what needs them, and what nothing needs any more.
		if err := h.manage(nil, append([]string{"rpm", "-e", "--test", "--"}, names...)...); err != nil {
			return err
		}
		if err := h.manage(nil, append([]string{"dnf", "-y", "-q", "--setopt=clean_requirements_on_remove=False", "remove"}, names...)...); err != nil {
			return err
		}
	}
	if len(op.Install) == 0 {
		return nil
	}
	argv := []string{"dnf", "-y", "-q", "--setopt=install_weak_deps=False", "install"}
	for _, spec := range op.Install {
		name, version, pinned := strings.Cut(spec, "=")
		if pinned {
			name += "-" + version
		}
		argv = append(argv, name)
	}
	err = h.manage(nil, argv...)
	// dnf does nothing while the lists of one repository cannot be had, of somebody else perhaps,
	// and what is to be installed may be in another.
	for _, sign := range []string{"Failed to download metadata for repo", "Failed to synchronize cache for repo", "Cannot download repomd.xml"} {
		if err != nil && strings.Contains(outputOf(err), sign) {
			return bothFailed(h.manage(nil, append([]string{"dnf", "--setopt=*.skip_if_unavailable=True"}, argv[1:]...)...), err)
		}
	}
	return err
}

// bothFailed is the error of an installation, with that of what was tried to make it possible.
func bothFailed(err, before error) error {
	if err == nil || before == nil {
		return err
	}
	last, first := failureOf(err), failureOf(before)
	said := last.said
	if first.said != "" {
		said = strings.TrimPrefix(said+"; before it: "+first.said, "; ")
	}
	return &failure{
		message: err.Error() + "; before it " + before.Error(), said: said,
		output: strings.TrimSpace(first.output + "\n" + last.output),
	}
}

// manage runs a package manager, and again while another one has the lock.
func (h *host) manage(env []string, argv ...string) error {
	deadline := time.Now().Add(lockPatience)
	for {
		_, err := must(forever, command{argv: argv, env: env, timeout: packageTimeout, merge: true, lock: h.programs.lock})
		if err == nil || !locked(outputOf(err)) {
			return err
		}
		if time.Now().After(deadline) {
			message := "another program has had the package manager's lock for " + period(lockPatience)
			if holder := lockHolder(locks...); holder != "" {
				message += ": " + holder
			}
			return &failure{message: message, output: outputOf(err)}
		}
		time.Sleep(time.Second)
	}
}

// locked recognises a package manager that gave up since another one runs.
func locked(output string) bool {
	if strings.Contains(output, "are you root") || strings.Contains(output, "Permission denied") {
		return false // waiting would not help
	}
	for _, sign := range []string{"Could not get lock", "Unable to acquire the dpkg frontend lock", "frontend lock was locked by another process",
		"status database area is locked", "Unable to lock directory", "can't create transaction lock", "Failed to obtain the transaction lock"} {
		if strings.Contains(output, sign) {
			return true
		}
	}
	return false
}

// locks are the files that package managers lock with fcntl(2).
var locks = []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock",
	"/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"}

// lockHolder names the process that has a lock on one of the files, or none.
func lockHolder(files ...string) string {
	for _, file := range files {
		fd, err := open(unix.AT_FDCWD, file, unix.O_RDWR, 0)
		if err != nil {
			continue
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK}
		err = unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &lock)
		closeFD(fd)
		if err == nil && lock.Type != unix.F_UNLCK && lock.Pid > 0 {
			return "process " + strconv.Itoa(int(lock.Pid)) + " (" + firstLine("/proc/"+strconv.Itoa(int(lock.Pid))+"/comm") + ") holds " + file
		}
	}
	return ""
}
