package resources

import (
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Which site answers for a host's address is decided once. A site of ours takes it only where
// nothing else has it: neither another site of nginx nor another server. The site that a
// distribution's package brings, unmodified and with no page but its own, is nothing.

// packagedSites are the servers that nginx's packages bring, as words: those of Debian and Ubuntu,
// of EL 9 and 10, of EL 8, and of nginx.org.
var packagedSites = []string{
	"listen 80 default_server ; listen [::]:80 default_server ; root /var/www/html ; index index.html index.htm index.nginx-debian.html ; " +
		"server_name _ ; location / { try_files $uri $uri/ =404 ; }",
	"listen 80 ; listen [::]:80 ; server_name _ ; root /usr/share/nginx/html ; include /etc/nginx/default.d/*.conf ; error_page 404 /404.html ; " +
		"location = /404.html { } error_page 500 502 503 504 /50x.html ; location = /50x.html { }",
	"listen 80 default_server ; listen [::]:80 default_server ; server_name _ ; root /usr/share/nginx/html ; include /etc/nginx/default.d/*.conf ; " +
		"location / { } error_page 404 /404.html ; location = /40x.html { } error_page 500 502 503 504 /50x.html ; location = /50x.html { }",
	"listen 80 ; server_name localhost ; location / { root /usr/share/nginx/html ; index index.html index.htm ; } " +
		"error_page 500 502 503 504 /50x.html ; location = /50x.html { root /usr/share/nginx/html ; }",
}

// packagedPages are what those servers serve, by directory.
var packagedPages = map[string][]string{
	"/var/www/html":         {"index.nginx-debian.html"},
	"/usr/share/nginx/html": {"404.html", "50x.html", "en-US", "icons", "img", "index.html", "nginx-logo.png", "poweredby.png", "system_noindex_logo.png"},
}

// defaultQueries are the questions by which it is decided whether a site may have the host's
// address.
func defaultQueries(s *NginxSite) (config, answer wire.Query, pages []wire.Query) {
	config = wire.Query{Verb: wire.AskRun, Args: []string{"/usr/sbin/nginx", "-T"}}
	answer = wire.Query{Verb: wire.AskHTTP, Arg: probeAddress(s.Listen), Args: []string{bracketed(strings.Trim(s.Address, "[]")), "/"}}
	for _, dir := range []string{"/usr/share/nginx/html", "/var/www/html"} {
		pages = append(pages, wire.Query{Verb: wire.AskFile, Arg: dir})
	}
	return config, answer, pages
}

// free reports whether nothing else answers for the host's address. What is not known is not free.
func (nt nginxSiteType) free(s *NginxSite, unit wire.Unit, got engine.Answers) bool {
	configQuery, answerQuery, pageQueries := defaultQueries(s)
	config, err := got.Run(configQuery)
	if err != nil {
		return false
	}
	if stopped(unit) {
		if answer, err := got.HTTP(answerQuery); err != nil || answer.Status != 0 {
			return false // another server
		}
		if config.Exit < 0 && unit.LoadState == "not-found" {
			return true // nginx is not installed
		}
	}
	for _, q := range pageQueries {
		dir, err := got.File(q)
		own := func(name string) bool { return slices.Contains(packagedPages[q.Arg], name) }
		if err != nil || dir.Kind != wire.Absent && !dir.Empty && (len(dir.Entries) == 0 || slices.ContainsFunc(dir.Entries, func(name string) bool { return !own(name) })) {
			return false
		}
	}
	return config.Exit == 0 && addressFree(config.Stdout, s)
}

var configFile = regexp.MustCompile(`(?m)^# configuration file (.*):$`)

// addressFree reports whether no server of nginx's whole configuration, as "nginx -T" prints it,
// answers for the site's address.
func addressFree(config string, s *NginxSite) bool {
	_, port, _ := parseListen(s.Listen[0])
	marks := configFile.FindAllStringSubmatchIndex(config, -1)
	packagedDefault, others := false, false
	for i, m := range marks {
		end := len(config)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		text := config[m[1]:end]
		switch name := config[m[2]:m[3]]; {
		case strings.Contains(text, strings.TrimSuffix(header("nginx_site", ""), ". Changes made here are overwritten.\n")):
			continue // a site of ours
		case strings.HasPrefix(name, "/etc/nginx/default.d/"):
			return false // a part of EL's own server
		}
		for _, server := range nginxServers(text) {
			if slices.Contains(packagedSites, strings.Join(server, " ")) {
				packagedDefault = packagedDefault || slices.Contains(server, "default_server")
				continue
			}
			taken, listens := server.has(s.Address, port)
			if taken {
				return false
			}
			others = others || listens
		}
	}
	return packagedDefault || !others // else the first of the others is the default
}

// nginxServer are the words of a server, without its braces.
type nginxServer []string

// nginxServers are the servers in a file of nginx's configuration.
func nginxServers(text string) (servers []nginxServer) {
	words := nginxWords(text)
	for i := 0; i+1 < len(words); i++ {
		if words[i] != "server" || words[i+1] != "{" {
			continue
		}
		depth, j := 1, i+2
		for ; j < len(words) && depth > 0; j++ {
			switch words[j] {
			case "{":
				depth++
			case "}":
				depth--
			}
		}
		servers = append(servers, words[i+2:max(i+2, j-1)])
		i = j - 1
	}
	return servers
}

// nginxWords are the words of a configuration, without comments and quotes.
func nginxWords(text string) (words []string) {
	for _, line := range strings.Split(text, "\n") {
		for _, field := range strings.Fields(strings.NewReplacer(";", " ; ", "{", " { ", "}", " } ").Replace(line)) {
			if strings.HasPrefix(field, "#") {
				break
			}
			words = append(words, strings.Trim(field, `"'`))
		}
	}
	return words
}

// has reports whether a server answers for an address on a port, and whether it listens there at
// all.
func (s nginxServer) has(address, port string) (taken, listens bool) {
	named, listening := false, false
	var names []string
	for i := 0; i < len(s); i++ {
		directive := s[i]
		if directive != "listen" && directive != "server_name" || i > 0 && s[i-1] != ";" && s[i-1] != "}" {
			continue
		}
		j := i + 1
		for j < len(s) && s[j] != ";" {
			j++
		}
		arguments := s[i+1 : j]
		switch i = j; {
		case directive == "server_name":
			names = append(names, arguments...)
		case len(arguments) > 0:
			listening = true
			on, number, err := parseListen(arguments[0])
			if err != nil { // an address alone, a name, a socket
				on, number = arguments[0], "80"
			}
			if number != port || strings.HasPrefix(on, "unix") {
				continue
			}
			listens = true
			wild := slices.Contains([]string{"*", "0.0.0.0", "[::]"}, on)
			taken = taken || !wild || slices.Contains(arguments, "default_server") || slices.Contains(arguments, "default")
		}
	}
	if !listening && port == "80" {
		listens = true
	}
	for _, n := range names {
		named = named || n == address || strings.HasPrefix(n, "~")
	}
	return taken || listens && named, listens
}

// The link by which Debian's package of nginx enables its own site, and that. It listens on IPv6,
// and nginx does not start with it on a host that has none.
var (
	packagedLink = wire.Query{Verb: wire.AskFile, Arg: "/etc/nginx/sites-enabled/default"}
	packagedFile = wire.Query{Verb: wire.AskFile, Arg: "/etc/nginx/sites-available/default", Option: "content"}
)

// withoutIPv6 reports whether the package's own site may listen where the site is not to.
func (nt nginxSiteType) withoutIPv6(t engine.Target, s *NginxSite) bool {
	return t.Facts.Packages == "apt" && !slices.ContainsFunc(s.Listen, func(l string) bool { return strings.HasPrefix(l, "[") })
}

// replacesPackaged reports whether the site comes instead of the package's own: neither is nginx
// there yet, which brings it, or it is there unmodified, and nginx does not run.
func (nt nginxSiteType) replacesPackaged(t engine.Target, s *NginxSite, got engine.Answers) bool {
	if !nt.withoutIPv6(t, s) {
		return false
	}
	unit, err := got.Unit(wire.Query{Verb: wire.AskUnit, Arg: nginxUnit})
	link, err1 := got.File(packagedLink)
	file, err2 := got.File(packagedFile)
	switch {
	case err != nil || err1 != nil || err2 != nil || !stopped(unit):
		return false
	case link.Kind == wire.Absent:
		return unit.LoadState == "not-found"
	case link.Kind != wire.Symlink || link.Target != packagedFile.Arg:
		return false
	}
	servers := nginxServers(string(file.Content))
	return len(servers) == 1 && slices.Contains(packagedSites, strings.Join(servers[0], " "))
}

// removePackagedSite is the step that disables it.
func removePackagedSite() engine.Step {
	return engine.Step{
		Summary: "remove " + packagedLink.Arg + ", the site of nginx's package, which listens on IPv6",
		Do:      wire.Op{Remove: &wire.RemoveOp{Path: packagedLink.Arg}},
		Undo:    restore(packagedLink.Arg),
	}
}
