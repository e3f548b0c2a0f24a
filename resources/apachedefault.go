package resources

import (
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Whether a site answers for the host's address is decided once, as with nginx. The site takes
// it as one of its names, so the default site of Debian's package can stay: it answers what no
// name matches.

// apachePackagedSite is the default site of Debian and Ubuntu, as words without comments.
const apachePackagedSite = "<VirtualHost *:80> ServerAdmin webmaster@localhost DocumentRoot /var/www/html " +
	"ErrorLog ${APACHE_LOG_DIR}/error.log CustomLog ${APACHE_LOG_DIR}/access.log combined </VirtualHost>"

var (
	apacheDefaultSite = wire.Query{Verb: wire.AskFile, Arg: "/etc/apache2/sites-available/000-default.conf", Option: "content"}
	apacheDefaultLink = wire.Query{Verb: wire.AskFile, Arg: "/etc/apache2/sites-enabled/000-default.conf"}
	// apachePages is the directory that the packages serve, and apacheWelcome Debian's page in it.
	apachePages   = wire.Query{Verb: wire.AskFile, Arg: "/var/www/html"}
	apacheWelcome = wire.Query{Verb: wire.AskFile, Arg: "/var/www/html/index.html", Option: "content"}
)

// apacheAddressQuery asks who answers at the site's address.
func apacheAddressQuery(s *Site) wire.Query {
	return wire.Query{Verb: wire.AskHTTP, Arg: probeAddress(siteListensOn(s)), Args: []string{bracketed(strings.Trim(s.Address, "[]")), "/"}}
}

func (a apache) free(t engine.Target, s *Site, unit wire.Unit, got engine.Answers) bool {
	if stopped(unit) {
		if answer, err := got.HTTP(apacheAddressQuery(s)); err != nil || answer.Status != 0 {
			return false // another server
		}
	}
	dir, err1 := got.File(apachePages)
	page, err2 := got.File(apacheWelcome)
	own := func(name string) bool { return name == "index.html" || name == "index.nginx-debian.html" }
	switch {
	case err1 != nil || err2 != nil:
		return false
	case dir.Kind == wire.Absent || dir.Empty:
	case len(dir.Entries) == 0 || slices.ContainsFunc(dir.Entries, func(name string) bool { return !own(name) }):
		return false
	case page.Kind != wire.Absent && !strings.Contains(string(page.Content), "Default Page: It works"):
		return false
	}
	if unit.LoadState == "not-found" {
		return true
	}
	dump, err := got.Run(a.dumpQuery(t))
	_, files, problems := a.listenLines(t, got)
	return err == nil && dump.Exit == 0 && len(problems) == 0 && apacheAddressFree(s, apacheHosts(dump.Stdout), files, apacheUnmodified(got))
}

// apacheAddressFree reports whether no virtual host but a packaged one answers for the site's
// address. Without any, Apache serves the pages that free has looked at.
func apacheAddressFree(s *Site, hosts []apacheHost, own map[string]bool, unmodified bool) bool {
	_, port, _ := parseListen(siteListensOn(s)[0])
	address := strings.ToLower(strings.Trim(bracketed(s.Address), "[]"))
	for _, h := range hosts {
		switch {
		case h.port != port && h.port != "*" || own[h.file]:
		case h.atAddress(address), slices.Contains(h.names, address):
			return false
		case h.address == "*" && h.first && (!unmodified || path.Base(h.file) != "000-default.conf"):
			return false
		}
	}
	return true
}

// apacheUnmodified reports whether Debian's default site is that of the package.
func apacheUnmodified(got engine.Answers) bool {
	link, err1 := got.File(apacheDefaultLink)
	file, err2 := got.File(apacheDefaultSite)
	if err1 != nil || err2 != nil || link.Kind != wire.Symlink || !strings.HasSuffix(link.Target, "/sites-available/000-default.conf") {
		return false
	}
	var words []string
	for line := range strings.Lines(string(file.Content)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			words = append(words, strings.Fields(line)...)
		}
	}
	return strings.Join(words, " ") == apachePackagedSite
}
