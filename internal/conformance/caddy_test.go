package conformance

import "github.com/mirrorform/mirrorform/resources"

// reloadCaddy makes Caddy load manual edits.
var reloadCaddy = []string{"caddy", "reload", "--config", "/etc/caddy/Caddyfile"}

func caddyCases() []testCase {
	const path = "/etc/caddy/Caddyfile.d/case.caddyfile"
	return []testCase{caddyStopped(), caddyJoined(), {
		kind: "caddy_site", name: "site", harmless: true,
		variants: []any{
			&resources.CaddySite{Name: "case", ServerName: []string{"case.example.org", "192.0.2.1", "2001:db8::1"}, Root: "/srv/www"},
			&resources.CaddySite{
				Name: "case", ServerName: []string{"*.case.example.org"}, Listen: []string{"8080"},
				Aliases: map[string]string{"/almalinux/": "/srv/www"}, Autoindex: new(false), AccessLog: "/var/log/caddy/case.log",
			},
		},
		files:  []file{{"/srv/www/TIME", "1", 0o644}},
		effect: []string{"curl", "-fsS", "--header", "Host: case.example.org", "http://127.0.0.1/TIME"},
		edits: []edit{
			{name: "text", argvs: [][]string{{"sed", "-i", "s/-Server/-X/", path}}, unloaded: true},
			{name: "text, loaded", argvs: [][]string{{"sed", "-i", "s/-Server/-X/", path}, reloadCaddy}},
			{name: "another site's name", argvs: [][]string{{"sed", "-i", "s/^http:.*/http:\\/\\/other {/", path}, reloadCaddy}},
			{name: "broken", argvs: [][]string{{"sed", "-i", "s/-Server/{/", path}}, broken: true},
			{name: "missing", argvs: [][]string{{"rm", path}}, unloaded: true},
			{name: "missing, loaded", argvs: [][]string{{"rm", path}, reloadCaddy}},
			by("Caddy stopped", "systemctl", "stop", "caddy"),
		},
		cleanup: [][]string{{"rm", "-r", "/srv/www"}},
	}}
}

// caddyJoined is a directory in a site that imports it.
func caddyJoined() testCase {
	const site = "http://joined.example.org {\n\timport /etc/caddy/mirrorform.d/joined.example.org/*.caddyfile\n\trespond 404\n}\n"
	const own, path = "/etc/caddy/Caddyfile.d/joined.caddyfile", "/etc/caddy/mirrorform.d/joined.example.org/case.caddyfile"
	return testCase{
		kind: "caddy_snippet", name: "in a site that imports it", harmless: true,
		variants: []any{
			&resources.CaddySnippet{Name: "case", ServerName: "joined.example.org", Aliases: map[string]string{"/almalinux/": "/srv/joined"}},
			&resources.CaddySnippet{Name: "case", ServerName: "joined.example.org", Aliases: map[string]string{"/a/": "/srv/joined", "/b/": "/srv/joined"}, Autoindex: new(false)},
		},
		files:   []file{{"/srv/joined/TIME", "1", 0o644}, {own, site, 0o644}},
		prepare: [][]string{{"mkdir", "-p", "/etc/caddy/mirrorform.d/joined.example.org"}, reloadCaddy},
		edits: []edit{
			{name: "text", argvs: [][]string{{"sed", "-i", "/hide/d", path}}, unloaded: true},
			{name: "missing", argvs: [][]string{{"rm", path}}, unloaded: true},
		},
		cleanup: [][]string{{"rm", "-r", "/srv/joined", own, "/etc/caddy/mirrorform.d"}, reloadCaddy},
	}
}

// caddyStopped is a site on a host whose Caddy is not running. Undoing it must not start Caddy.
func caddyStopped() testCase {
	return testCase{
		kind: "caddy_site", name: "Caddy does not run", harmless: true,
		variants: []any{&resources.CaddySite{Name: "case", ServerName: []string{"case.example.org"}, Root: "/srv"}},
		prepare:  [][]string{{"systemctl", "stop", "caddy"}},
		cleanup:  [][]string{{"systemctl", "start", "caddy"}},
	}
}

// caddyFailures are sites that Caddy refuses: by its check, and only when it loads them, after
// which it is restarted.
func caddyFailures() []failure {
	// A program that calls itself caddy, so that no plan refuses it.
	const taken = "perl -MIO::Socket::INET -e '$0 = q(caddy); my $s = IO::Socket::INET->new(LocalPort => 8081, Listen => 100, ReuseAddr => 1) or die; system(q(systemd-notify --ready)); sleep'"
	site := func(port string) *resources.CaddySite {
		return &resources.CaddySite{Name: "case", ServerName: []string{"case.example.org"}, Listen: []string{port}, Root: "/srv"}
	}
	return []failure{
		{
			kind: "caddy_site", name: "port taken", state: site("8081"), says: "address already in use",
			prepare: [][]string{{"systemd-run", "--quiet", "--unit=taken", "--service-type=notify", "--property=NotifyAccess=all", "sh", "-c", taken}},
			cleanup: [][]string{{"systemctl", "stop", "taken"}},
		},
		{
			kind: "caddy_site", name: "name taken", state: site("8082"), says: "ambiguous site definition",
			prepare: [][]string{{"sh", "-c", "mkdir -p /etc/caddy/Caddyfile.d && printf 'http://case.example.org:8082 {\\n}\\n' >/etc/caddy/Caddyfile.d/other.caddyfile"}},
			cleanup: [][]string{{"rm", "/etc/caddy/Caddyfile.d/other.caddyfile"}},
		},
	}
}
