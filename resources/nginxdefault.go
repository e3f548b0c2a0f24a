package resources

import (
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Whether a site answers for the host's address is decided once, when the site is new. It does only
// if nothing else answers there: neither another site of nginx nor another server. An unmodified
// default site of a distribution's package does not count, unless it has pages of others.

// packagedSites are the default servers of nginx's packages, as words: of Debian and Ubuntu, of EL
// 9 and 10, of EL 8, and of nginx.org.
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

// packagedPages are the files that those packages install, by directory.
var packagedPages = map[string][]string{
	"/var/www/html":         {"index.nginx-debian.html"},
	"/usr/share/nginx/html": {"404.html", "50x.html", "en-US", "icons", "img", "index.html", "nginx-logo.png", "poweredby.png", "system_noindex_logo.png"},
}

// defaultQueries ask what free needs to know.
func defaultQueries(s *Site) (config, answer wire.Query, pages []wire.Query) {
	config = nginxConfigQuery
	answer = wire.Query{Verb: wire.AskHTTP, Arg: probeAddress(siteListensOn(s)), Args: []string{bracketed(strings.Trim(s.Address, "[]")), "/"}}
	for _, dir := range []string{"/usr/share/nginx/html", "/var/www/html"} {
		pages = append(pages, wire.Query{Verb: wire.AskFile, Arg: dir})
	}
	return config, answer, pages
}

// free reports whether nothing else answers for the host's address. If that is not known, it is not
// free.
func (nginx) free(_ engine.Target, s *Site, unit wire.Unit, got engine.Answers) bool {
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

// nginxConfigQuery asks for nginx's whole configuration.
var nginxConfigQuery = wire.Query{Verb: wire.AskRun, Args: []string{"/usr/sbin/nginx", "-T"}}

// configFiles returns the files in the output of "nginx -T": each with its name and text.
func configFiles(config string) iter.Seq2[string, string] {
	return func(yield func(name, text string) bool) {
		marks := configFile.FindAllStringSubmatchIndex(config, -1)
		for i, m := range marks {
			end := len(config)
			if i+1 < len(marks) {
				end = marks[i+1][0]
			}
			if !yield(config[m[2]:m[3]], strings.TrimPrefix(config[m[1]:end], "\n")) {
				return
			}
		}
	}
}

var configFile = regexp.MustCompile(`(?m)^# configuration file (.*):$`)

// addressFree reports whether no server in nginx's whole configuration, as "nginx -T" prints it,
// answers for the site's address.
func addressFree(config string, s *Site) bool {
	_, port, _ := parseListen(siteListensOn(s)[0])
	packagedDefault, others := false, false
	for name, text := range configFiles(config) {
		switch {
		case strings.Contains(text, strings.TrimSuffix(header("nginx_site", ""), ". Changes made here are overwritten.\n")):
			continue // a site of mirrorform
		case strings.HasPrefix(name, "/etc/nginx/default.d/"):
			return false // EL's default server includes it, and so is modified
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
	return packagedDefault || !others // without a default_server, nginx takes the first one
}

// nginxServer has the words of a server block, without its braces.
type nginxServer []string

// nginxServers returns the server blocks in a file of nginx's configuration.
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

// nginxWords splits a configuration into words, without comments and quotes.
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

// directives yields the directives of the server block itself and of its locations, with their
// arguments.
func (s nginxServer) directives(yield func(directive string, arguments []string) bool) {
	for i := 0; i < len(s); i++ {
		if i > 0 && s[i-1] != ";" && s[i-1] != "}" && s[i-1] != "{" || s[i] == "}" {
			continue
		}
		j := i + 1
		for j < len(s) && s[j] != ";" && s[j] != "{" {
			j++
		}
		if j > i+1 && !yield(s[i], s[i+1:j]) {
			return
		}
		i = j
	}
}

// has reports whether a server answers for an address on a port, and whether it listens on that
// port.
func (s nginxServer) has(address, port string) (taken, listens bool) {
	named, listening := false, false
	for directive, arguments := range s.directives {
		switch directive {
		case "server_name":
			named = named || slices.ContainsFunc(arguments, func(n string) bool { return n == address || strings.HasPrefix(n, "~") })
		case "listen":
			listening = true
			on, number, err := parseListen(arguments[0])
			if err != nil { // an address without a port, a name, or a socket
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
	return taken || listens && named, listens
}

// Debian's nginx package has a default site, which a link enables. It listens on IPv6, so nginx
// does not start on a host without IPv6.
var (
	packagedLink = wire.Query{Verb: wire.AskFile, Arg: "/etc/nginx/sites-enabled/default"}
	packagedFile = wire.Query{Verb: wire.AskFile, Arg: "/etc/nginx/sites-available/default", Option: "content"}
)

// withoutIPv6 reports whether the default site may listen on IPv6 while the wanted site does not.
func withoutIPv6(t engine.Target, s *Site) bool {
	return t.Facts.Packages == "apt" && !slices.ContainsFunc(siteListensOn(s), func(l string) bool { return strings.HasPrefix(l, "[") })
}

// replacesPackaged reports whether the site replaces the package's default site. nginx must be
// stopped, and either not installed yet, or its default site unmodified.
func replacesPackaged(t engine.Target, s *Site, got engine.Answers) bool {
	if !withoutIPv6(t, s) {
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

// removePackagedSite returns the step that disables the package's default site.
func removePackagedSite() engine.Step {
	return engine.Step{
		Summary: "remove " + packagedLink.Arg + ", nginx's default site, which listens on IPv6",
		Do:      wire.Op{Remove: &wire.RemoveOp{Path: packagedLink.Arg}},
		Undo:    restore(packagedLink.Arg),
	}
}
