package agent

import (
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// An instance of a package is written as the package manager takes it: by the name alone where its
// architecture is the package manager's own or none in particular, and as NAME:ARCH (dpkg) or
// NAME.ARCH (rpm) otherwise. What a kernel runs on counts for nothing: it may run the programs of
// several.

// native is the package manager's own architecture, asked once.
type native struct {
	mu   sync.Mutex
	arch string
}

// nativeArch is the architecture that a name alone stands for.
func (h *host) nativeArch(stop until) (string, error) {
	h.native.mu.Lock()
	defer h.native.mu.Unlock()
	if h.native.arch != "" {
		return h.native.arch, nil
	}
	var err error
	switch h.facts.Packages {
	case "apt":
		h.native.arch, err = oneWord(stop, "dpkg", "--print-architecture")
	case "dnf":
		h.native.arch, err = rpmArch(stop)
	default:
		err = errNoPackages
	}
	return h.native.arch, err
}

// oneWord is what a program prints, which has to be one word.
func oneWord(stop until, argv ...string) (string, error) {
	o, err := ask(stop, argv...)
	if err != nil {
		return "", err
	}
	f := strings.Fields(o.stdout.String())
	if o.exit != 0 || len(f) != 1 {
		return "", errors.New(strings.Join(argv, " ") + ": exit status " + strconv.Itoa(o.exit) + ": " + lastLine(o.output()))
	}
	return f[0], nil
}

// rpmArch is the architecture of the package rpm; where rpm itself is not one of its packages, what
// it was configured for.
func rpmArch(stop until) (string, error) {
	if arch, err := oneWord(stop, "rpm", "-q", "--qf", `%{ARCH}\n`, "--", "rpm"); err == nil {
		return arch, nil
	}
	return oneWord(stop, "rpm", "--eval", "%{_arch}")
}

// rpmBase is the architecture without its level: x86_64_v2 and i686 run where x86_64 and i386 do.
func rpmBase(arch string) string {
	if len(arch) == 4 && arch[0] == 'i' && strings.HasSuffix(arch, "86") || arch == "athlon" {
		return "i386"
	}
	if before, level, ok := cutLast(arch, "_v"); ok && strings.Trim(level, "0123456789") == "" {
		return before
	}
	return arch
}

// rpmNative reports whether a package's architecture is that of the package manager, or none.
func rpmNative(arch, own string) bool {
	return arch == "noarch" || arch == "(none)" || rpmBase(arch) == rpmBase(own)
}

// instance is what a package manager keeps a state of.
type instance struct{ name, arch string }

// isNative reports whether an instance is meant by its name alone.
func (h *host) isNative(i instance, own string) bool {
	if h.facts.Packages == "dnf" {
		return rpmNative(i.arch, own)
	}
	return i.arch == own || i.arch == "all" || i.arch == ""
}

// with is an instance's name with its architecture.
func (h *host) with(i instance) string {
	if h.facts.Packages == "dnf" {
		return i.name + "." + i.arch
	}
	return i.name + ":" + i.arch
}

// named has packages by their names.
func (h *host) named(found map[instance]*wire.Package, own string) map[string]*wire.Package {
	named := map[string]*wire.Package{}
	for i, p := range found {
		name := i.name
		if !h.isNative(i, own) {
			name = h.with(i)
		}
		// A package that was built for one architecture and is for all now leaves a trace of the
		// first.
		if was := named[name]; was == nil || was.Installed == "" && was.Broken == "" {
			named[name] = p
		}
	}
	return named
}

// exact names packages such that no instance of another architecture is meant: a name alone means
// all of them, or is refused.
func (h *host) exact(names []string) ([]string, error) {
	found, err := h.instances(forever, nil)
	if err != nil {
		return nil, err
	}
	own, err := h.nativeArch(forever)
	if err != nil {
		return nil, err
	}
	natives, twins := map[string]instance{}, map[string]bool{}
	for i, p := range found {
		switch {
		case p.Installed == "" && p.Broken == "":
		case h.isNative(i, own):
			natives[i.name] = i
		default:
			twins[i.name] = true
		}
	}
	exact := append([]string(nil), names...)
	for n, name := range exact {
		if i, ok := natives[name]; ok && twins[name] {
			exact[n] = h.with(i)
		}
	}
	return exact, nil
}
