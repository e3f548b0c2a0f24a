package agent

import (
	"context"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// parseRPM parses lines of name, version and architecture, separated by tabs.
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

// evr removes an epoch that is missing or 0, since both mean the same.
func evr(s string) string {
	return strings.TrimPrefix(strings.TrimPrefix(s, "(none):"), "0:")
}

// parseRepoquery parses lines of name, version and architecture, separated by tabs. Packages of
// another architecture are left out.
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

// rpmArch returns the architecture of the package rpm. If rpm was not installed as a package, it
// returns the architecture that rpm was configured for.
func rpmArch(ctx context.Context) (string, error) {
	if arch, err := oneWord(ctx, "rpm", "-q", "--qf", `%{ARCH}\n`, "--", "rpm"); err == nil {
		return arch, nil
	}
	return oneWord(ctx, "rpm", "--eval", "%{_arch}")
}

// rpmBase removes the level of an architecture: x86_64_v2 and i686 run where x86_64 and i386 do.
func rpmBase(arch string) string {
	if len(arch) == 4 && arch[0] == 'i' && strings.HasSuffix(arch, "86") || arch == "athlon" {
		return "i386"
	}
	if before, level, ok := cutLast(arch, "_v"); ok && strings.Trim(level, "0123456789") == "" {
		return before
	}
	return arch
}

// rpmNative reports whether a package is of the package manager's architecture, or of none.
func rpmNative(arch, own string) bool {
	return arch == "noarch" || arch == "(none)" || rpmBase(arch) == rpmBase(own)
}
