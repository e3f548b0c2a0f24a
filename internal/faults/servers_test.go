package faults

import (
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// webServer is a web server of a family, as far as faults differ by it.
type webServer struct {
	name    string // in the table of faults
	server  string // in a mirror's web block, and in the types of its resources
	program string // of its processes
	unit    string
	// pkg is its package, by the name of Debian, which a test installs with the modules, and purges are
	// what it purges to be rid of them.
	pkg, modules, purges string
	// fresh is a script after the installation, when the server serves its own page.
	fresh string
	// sites is the path of a site's file, with a % for its name.
	sites   string
	account string // which reads the keys of certificates
	// listen6 is the attribute listen of a site on port 8081 of IPv6.
	listen6 string
	// taken is what an apply says when the server did not get the port of a site.
	taken string
	// detects is how that is detected.
	detects string
	// hostile is what holds for a tree with links and set-ID files.
	hostile string
	// caDown is what holds while the CA of a certificate does not issue it.
	caDown string
	// acme is whether it gets certificates of a CA itself.
	acme bool
	// links is whether it serves what links lead to, so that no mirror may sync them.
	links bool
}

const laterBy = "everything else applied; exit status 1 with the cause; the next plan has only the "

const notFollowed = "not transferred; links inside the tree are; a link to files of others in the tree is not served"

// webServers are all web servers, as on Debian. Tests inject every fault of theirs with the first one.
var webServers = []webServer{
	{
		name: "nginx", server: "nginx", program: "nginx", unit: "nginx", pkg: "nginx-light", purges: "nginx nginx-common",
		fresh: "rm -f /etc/nginx/sites-enabled/default && systemctl restart nginx",
		sites: "/etc/nginx/conf.d/%.conf", account: "www-data", listen6: "[::]:8081",
		taken: "did not give the expected response", detects: "detected with a request to the site", hostile: notFollowed, caDown: laterBy + "certificate and what needs it",
	},
	{
		name: "Apache", server: "apache", program: "apache2", unit: "apache2", pkg: "apache2", purges: "apache2 apache2-bin apache2-data",
		fresh: "a2enmod -q headers http2 ssl && rm -f /etc/apache2/sites-enabled/000-default.conf && systemctl restart apache2",
		sites: "/etc/apache2/sites-enabled/zz-%.conf", account: "www-data", listen6: "[::]:8081",
		taken: "8081", detects: "detected with a request to the site, or as the server ends", hostile: notFollowed, caDown: laterBy + "certificate and what needs it",
	},
	{
		name: "Caddy", server: "caddy", program: "caddy", unit: "caddy", pkg: "caddy", purges: "caddy",
		fresh: "true",
		sites: "/etc/caddy/Caddyfile.d/%.caddyfile", account: "caddy", listen6: "8081",
		taken: "address already in use", detects: "detected by Caddy",
		caDown:  laterBy + "site over HTTPS and what needs it",
		hostile: "not transferred, as safe = false is refused, since Caddy follows links; links inside the tree are",
		acme:    true, links: true,
	},
}

// onEL returns the server as on EL, where none runs after its installation.
func (w webServer) onEL() webServer {
	switch w.server {
	case "nginx":
		w.account = "nginx"
	case "apache":
		w.program, w.unit, w.account = "httpd", "httpd", "apache"
		w.modules, w.sites = "mod_ssl mod_http2", "/etc/httpd/conf.d/zz-%.conf"
	}
	w.fresh = "systemctl start " + w.unit
	return w
}

// onServers runs a test with each web server, in parallel and on hosts of their own.
func onServers(t *testing.T, run func(t *testing.T, w webServer)) {
	t.Helper()
	t.Parallel()
	for _, w := range webServers {
		if system().Family() == lab.EL {
			w = w.onEL()
		}
		t.Run(w.server, func(t *testing.T) {
			t.Parallel()
			run(t, w)
		})
	}
}

// size returns the number of injections of a test with this server: all of them with the first
// server, and with the others if all faults are injected.
func (w webServer) size(representative, full int) int {
	if w.server == webServers[0].server {
		return full
	}
	return size(representative, full)
}

// site returns the path of a site's file.
func (w webServer) site(name string) string { return strings.Replace(w.sites, "%", name, 1) }

// install installs the server, and further packages, on a host. It runs without a site.
func (w webServer) install(t testing.TB, h *lab.Host, more ...string) {
	t.Helper()
	install(t, h, slices.Concat([]string{w.pkg}, strings.Fields(w.modules), more)...)
	sh(t, h, w.fresh)
}

// in writes a text of a configuration for the server on a host: SERVER, UNIT and PACKAGE are the
// server's.
func (w webServer) in(h *lab.Host, text string) string {
	return strings.NewReplacer("SERVER", w.server, "UNIT", w.unit, "PACKAGE", packageOn(h, w.pkg)).Replace(text)
}
