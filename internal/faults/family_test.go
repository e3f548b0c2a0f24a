package faults

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// systemEnv is the environment variable with the operating system of hosts whose test does not say
// one.
const systemEnv = "MIRRORFORM_FAULTS_OS"

// system is the operating system of hosts whose test does not say one. "" is the machine's own.
func system() lab.OS { return lab.OS(os.Getenv(systemEnv)) }

// elNames are packages of Debian that have other names on EL.
var elNames = map[string]string{"nginx-light": "nginx", "apache2": "httpd", "cron": "cronie"}

// inEPEL are packages that EL has in EPEL alone.
var inEPEL = []string{"caddy", "certbot"}

// packageOn returns the name of one of Debian's packages on a host.
func packageOn(h *lab.Host, name string) string {
	if other := elNames[name]; other != "" && h.OS.Family() == lab.EL {
		return other
	}
	return name
}

// install installs packages on a host. Their names are those of Debian, where families differ.
func install(t testing.TB, h *lab.Host, names ...string) {
	t.Helper()
	argv := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", "--no-install-recommends"}
	if h.OS.Family() == lab.EL {
		argv = []string{"dnf", "install", "-y", "-q"}
		if slices.ContainsFunc(names, func(name string) bool { return slices.Contains(inEPEL, name) }) {
			on(t, h, slices.Concat(argv, []string{"epel-release"})...)
		}
	}
	for _, name := range names {
		argv = append(argv, packageOn(h, name))
	}
	on(t, h, argv...)
}

// installed reports whether a package, by its name on Debian, is installed on a host.
func installed(h *lab.Host, name string) bool {
	if h.OS.Family() == lab.EL {
		return succeeds(h, "rpm --query "+packageOn(h, name))
	}
	return succeeds(h, "dpkg -s "+name)
}

// packagesOn is a script that lists the packages of a host.
func packagesOn(h *lab.Host) string {
	if h.OS.Family() == lab.EL {
		return "rpm --query --all | sort"
	}
	return `dpkg-query -W -f '${Package} ${Status}\n' | grep 'ok installed'`
}

// withCron installs cron on a host. Hosts of EL come without it.
func withCron(t testing.TB, h *lab.Host) {
	t.Helper()
	if h.OS.Family() == lab.EL {
		install(t, h, "cron")
	}
}

// cronOn returns the unit of cron on a host.
func cronOn(h *lab.Host) string {
	if h.OS.Family() == lab.EL {
		return "crond"
	}
	return "cron"
}

// onHost writes a text of a configuration for a host: NGINX is the package, and CRON the unit.
func onHost(h *lab.Host, text string) string {
	return strings.NewReplacer("NGINX", packageOn(h, "nginx-light"), "CRON", cronOn(h)).Replace(text)
}
