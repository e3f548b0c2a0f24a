package agent

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// errNoPackages is the error of a host whose package manager is not known.
var errNoPackages = errors.New("this host has neither apt nor dnf")

// checkPackage refuses what is no package name. The alphabet is that of Debian policy 5.6.1 with what rpm names add.
// A final minus would make apt-get remove.
func checkPackage(name string) error {
	ok := name != "" && len(name) < 200 && !strings.HasSuffix(name, "-")
	for i, r := range name {
		ok = ok && (letterOrDigit(r) || i > 0 && strings.ContainsRune("+-._", r) || i == 0 && r == '_')
	}
	if !ok {
		return errors.New(quote(name) + " is no name of a package")
	}
	return nil
}

// checkVersion refuses what is no version: of dpkg (deb-version(7)) or epoch:version-release of rpm.
func checkVersion(version string) error {
	ok := version != "" && len(version) < 200
	for i, r := range version {
		ok = ok && (letterOrDigit(r) || i > 0 && strings.ContainsRune("+-._:~^", r))
	}
	if !ok {
		return errors.New(quote(version) + " is no version of a package")
	}
	return nil
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
			r.err = guard(func() (err error) { r.versions, err = b.candidates(b.stop, offered); return err })
		}
		offers <- r
	}()
	found, err := b.packages(b.stop, names)
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

// packages are those of these names that the host knows; nil stands for all.
func (h *host) packages(stop until, names []string) (map[string]*wire.Package, error) {
	// The package manager says its architecture while the packages are read.
	var own string
	asked := make(chan error, 1)
	go func() {
		asked <- guard(func() (err error) { own, err = h.nativeArch(stop); return err })
	}()
	found, err := h.instances(stop, names)
	if err2 := <-asked; err == nil {
		err = err2
	}
	if err != nil {
		return nil, err
	}
	return h.named(found, own), nil
}

// instances are the packages of these names in all architectures; nil stands for all.
func (h *host) instances(stop until, names []string) (map[instance]*wire.Package, error) {
	switch h.facts.Packages {
	case "apt":
		return h.dpkgPackages(names)
	case "dnf":
		return rpmPackages(stop, names)
	}
	return nil, errNoPackages
}

// dpkgPackages reads dpkg's status file, and the updates of it that an interrupted dpkg left.
func (h *host) dpkgPackages(names []string) (map[instance]*wire.Package, error) {
	var wanted map[string]bool
	if names != nil {
		wanted = map[string]bool{}
	}
	for _, n := range names {
		base, _, _ := strings.Cut(n, ":")
		wanted[base] = true
	}
	found := map[instance]*wire.Package{}
	files := []string{h.dpkg + "/status"}
	entries, err := listDir(h.dpkg + "/updates")
	if err != nil && !absent(err) {
		return nil, err
	}
	for _, name := range entries {
		if strings.Trim(name, "0123456789") == "" {
			files = append(files, h.dpkg+"/updates/"+name)
		}
	}
	for _, file := range files {
		fd, err := open(unix.AT_FDCWD, file, unix.O_RDONLY, 0)
		if absent(err) && file != files[0] {
			continue // merged meanwhile
		}
		if err != nil {
			return nil, because("open "+file, err)
		}
		err = parseDpkg(reader(fd), wanted, found)
		closeFD(fd)
		if err != nil {
			return nil, because(file, err)
		}
	}
	return found, nil
}

// parseDpkg reads the wanted packages of a status file into found, all of them for nil.
func parseDpkg(r io.Reader, wanted map[string]bool, found map[instance]*wire.Package) error {
	in := bufio.NewReaderSize(r, 128<<10)
	var name, status, version, of string
	var essential bool
	flush := func() {
		if name != "" {
			found[instance{name, of}] = dpkgPackage(status, version, essential)
		}
		name, status, version, of, essential = "", "", "", "", false
	}
	for {
		line, err := in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case len(line) > 0 && line[0] == '\n':
			flush()
		case len(line) > 9 && line[0] == 'P' && string(line[:9]) == "Package: ":
			if n := strings.TrimSpace(string(line[9:])); wanted == nil || wanted[n] {
				name = n
			}
		case name == "" || len(line) == 0 || line[0] == ' ':
		default:
			key, value, _ := strings.Cut(string(line), ":")
			value = strings.TrimSpace(value)
			switch key {
			case "Status":
				status = value
			case "Version":
				version = value
			case "Architecture":
				of = value
			case "Essential", "Protected":
				essential = essential || value == "yes"
			}
		}
		for long { // the rest of a line that nobody asked for
			_, err = in.ReadSlice('\n')
			long = errors.Is(err, bufio.ErrBufferFull)
		}
		if err == io.EOF {
			flush()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// dpkgPackage reads a Status field: what is wanted, a flag, and the state (dpkg-query(1)).
func dpkgPackage(status, version string, essential bool) *wire.Package {
	p := &wire.Package{Essential: essential}
	f := strings.Fields(status)
	if len(f) != 3 {
		p.Broken = "unknown status " + quote(status)
		return p
	}
	p.Held = f[0] == "hold"
	switch f[2] {
	case "not-installed", "config-files":
	case "half-installed":
		p.Broken = f[2]
	case "installed":
		p.Installed = version
	default: // unpacked, half-configured, triggers-awaited, triggers-pending
		p.Installed, p.Broken = version, f[2]
	}
	if f[1] != "ok" {
		p.Broken = strings.TrimSpace(f[1] + " " + p.Broken)
	}
	return p
}

// rpmPackages asks rpm. Of several versions of one, all count where it is asked for all packages,
// and the last otherwise.
func rpmPackages(stop until, names []string) (map[instance]*wire.Package, error) {
	argv := []string{"rpm", "-q", "--qf", `%{NAME}\t%{EVR}\t%{ARCH}\n`}
	if names == nil {
		argv = append(argv, "-a")
	}
	o, err := ask(stop, append(append(argv, "--"), names...)...)
	if err != nil {
		return nil, err
	}
	// With names, the exit status is the number of those that are not installed: whether rpm itself
	// failed is in what it says.
	if said := o.stderr.String(); strings.Contains(said, "error:") || names == nil && o.exit != 0 {
		return nil, errors.New("rpm: exit status " + strconv.Itoa(o.exit) + ": " + lastLine(printable(said)))
	}
	return parseRPM(o.stdout.String(), names == nil), nil
}

// parseRPM reads NAME, version and architecture, parted by tabs.
func parseRPM(text string, all bool) map[instance]*wire.Package {
	found := map[instance]*wire.Package{}
	sorted := strings.Split(text, "\n")
	if all {
		slices.Sort(sorted)
	}
	for _, line := range sorted {
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			continue
		}
		i := instance{f[0], f[2]}
		switch p := found[i]; {
		case p != nil && all:
			p.Installed += " " + evr(f[1])
		default:
			found[i] = &wire.Package{Installed: evr(f[1])}
		}
	}
	return found
}

// evr leaves out the epoch that is as good as none.
func evr(s string) string {
	return strings.TrimPrefix(strings.TrimPrefix(s, "(none):"), "0:")
}

// candidates asks for the newest versions on offer.
func (h *host) candidates(stop until, names []string) (map[string]string, error) {
	if h.facts.Packages == "apt" {
		o, err := ask(stop, append([]string{"apt-cache", "policy", "--"}, names...)...)
		if err != nil {
			return nil, err
		}
		if o.exit != 0 {
			return nil, errors.New("apt-cache policy: exit status " + strconv.Itoa(o.exit) + ": " + lastLine(printable(o.stderr.String())))
		}
		return parsePolicy(o.stdout.String()), nil
	}
	if h.facts.Packages != "dnf" {
		return nil, errNoPackages
	}
	argv := []string{"dnf", "-q", "--cacheonly", "repoquery", "--latest-limit=1", "--qf", `%{name}\t%{evr}\t%{arch}\n`}
	o, err := ask(stop, append(argv, names...)...)
	if err == nil && o.exit != 0 {
		// There is no cache yet.
		o, err = run(stop, command{argv: append(append([]string{"dnf", "-q"}, argv[3:]...), names...), timeout: 5 * queryTimeout, keep: 8 << 20})
	}
	if err != nil {
		return nil, err
	}
	if o.exit != 0 {
		return nil, errors.New("dnf repoquery: exit status " + strconv.Itoa(o.exit) + ": " + lastLine(printable(o.stderr.String())))
	}
	own, err := h.nativeArch(stop)
	return parseRepoquery(o.stdout.String(), own), err
}

// parsePolicy reads the output of apt-cache policy.
func parsePolicy(text string) map[string]string {
	versions := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if n, ok := strings.CutSuffix(line, ":"); ok && n != "" && n[0] != ' ' {
			name = n
		} else if v, ok := strings.CutPrefix(line, "  Candidate: "); ok && v != "(none)" {
			versions[name] = v
		}
	}
	return versions
}

// parseRepoquery reads NAME, version and architecture, parted by tabs. A package of another architecture does not count.
func parseRepoquery(text, arch string) map[string]string {
	versions := map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) == 3 && rpmNative(f[2], arch) {
			versions[f[0]] = evr(f[1])
		}
	}
	return versions
}
