package conformance

import "github.com/mirrorform/mirrorform/resources"

// reload makes nginx load manual edits.
var reload = []string{"systemctl", "reload", "nginx"}

func nginxCases() []testCase {
	const path = "/etc/nginx/conf.d/case.conf"
	return []testCase{nginxStopped(), nginxJoined(), {
		kind: "nginx_site", name: "site", harmless: true,
		variants: []any{
			&resources.NginxSite{Name: "case", ServerName: []string{"case.example.org", "192.0.2.1", "2001:db8::1"}, Root: "/srv/www"},
			&resources.NginxSite{
				Name: "case", ServerName: []string{"*.case.example.org"}, Listen: []string{"8080", "[::]:8080"},
				Aliases: map[string]string{"/almalinux/": "/srv/www"}, Autoindex: new(false), AccessLog: "/var/log/nginx/case.log",
			},
		},
		files:  []file{{"/srv/www/TIME", "1", 0o644}},
		effect: []string{"curl", "-fsS", "--header", "Host: case.example.org", "http://127.0.0.1/TIME"},
		edits: []edit{
			{name: "text", argvs: [][]string{{"sed", "-i", "s/utf-8/latin1/", path}}, unloaded: true},
			{name: "text, loaded", argvs: [][]string{{"sed", "-i", "s/utf-8/latin1/", path}, reload}},
			{name: "another site's name", argvs: [][]string{{"sed", "-i", "s/server_name .*/server_name other;/", path}, reload}},
			{name: "broken", argvs: [][]string{{"sed", "-i", "s/server_name/nonsense/", path}}, broken: true},
			by("mode", "chmod", "0600", path),
			{name: "missing", argvs: [][]string{{"rm", path}}, unloaded: true},
			{name: "missing, loaded", argvs: [][]string{{"rm", path}, reload}},
			by("nginx stopped", "systemctl", "stop", "nginx"),
		},
		cleanup: [][]string{{"rm", "-r", "/srv/www"}},
	}}
}

// nginxJoined is a directory in a site that includes it.
func nginxJoined() testCase {
	const server = "server { listen 80; server_name joined.example.org; location / { return 404; } include /etc/nginx/mirrorform.d/joined.example.org/*.conf; }\n"
	const path = "/etc/nginx/mirrorform.d/joined.example.org/case.conf"
	return testCase{
		kind: "nginx_snippet", name: "in a site that includes it", harmless: true,
		variants: []any{
			&resources.NginxSnippet{Name: "case", ServerName: "joined.example.org", Aliases: map[string]string{"/almalinux/": "/srv/joined"}},
			&resources.NginxSnippet{Name: "case", ServerName: "joined.example.org", Aliases: map[string]string{"/a/": "/srv/joined", "/b/": "/srv/joined"}, Autoindex: new(false)},
		},
		files:   []file{{"/srv/joined/TIME", "1", 0o644}, {"/etc/nginx/conf.d/joined.conf", server, 0o644}},
		prepare: [][]string{{"mkdir", "-p", "/etc/nginx/mirrorform.d/joined.example.org"}, reload},
		edits: []edit{
			{name: "text", argvs: [][]string{{"sed", "-i", "s/autoindex on/autoindex off/", path}}, unloaded: true},
			by("mode", "chmod", "0600", path),
			{name: "missing", argvs: [][]string{{"rm", path}}, unloaded: true},
		},
		cleanup: [][]string{{"rm", "-r", "/srv/joined", "/etc/nginx/conf.d/joined.conf", "/etc/nginx/mirrorform.d"}, reload},
	}
}

// nginxStopped is a site on a host whose nginx is not running. Undoing it must not start nginx.
func nginxStopped() testCase {
	return testCase{
		kind: "nginx_site", name: "nginx does not run", harmless: true,
		variants: []any{&resources.NginxSite{Name: "case", ServerName: []string{"case.example.org"}, Root: "/srv"}},
		prepare:  [][]string{{"systemctl", "stop", "nginx"}},
		cleanup:  [][]string{{"systemctl", "start", "nginx"}},
	}
}

// nginxFailures are sites that nginx accepts and does not serve.
func nginxFailures() []failure {
	// A program that calls itself nginx, so that no plan refuses it.
	const taken = "perl -MIO::Socket::INET -e '$0 = q(nginx); my $s = IO::Socket::INET->new(LocalPort => 8081, Listen => 100, ReuseAddr => 1) or die; system(q(systemd-notify --ready)); sleep'"
	site := func(port string) *resources.NginxSite {
		return &resources.NginxSite{Name: "case", ServerName: []string{"case.example.org"}, Listen: []string{port}, Root: "/srv"}
	}
	return []failure{
		{
			kind: "nginx_site", name: "port taken", state: site("8081"), says: "127.0.0.1:8081/",
			prepare: [][]string{{"systemd-run", "--quiet", "--unit=taken", "--service-type=notify", "--property=NotifyAccess=all", "sh", "-c", taken}},
			cleanup: [][]string{{"systemctl", "stop", "taken"}},
		},
		{
			kind: "nginx_site", name: "name taken", state: site("8082"), says: "conflicting server name",
			files:   []file{{"/etc/nginx/conf.d/other.conf", "server { listen 8082; server_name case.example.org; }\n", 0o644}},
			prepare: [][]string{reload},
			cleanup: [][]string{{"rm", "/etc/nginx/conf.d/other.conf"}, reload},
		},
		{
			kind: "nginx_site", name: "another file is broken", state: site("8083"), says: "nonsense",
			files:   []file{{"/etc/nginx/conf.d/other.conf", "nonsense;\n", 0o644}},
			cleanup: [][]string{{"rm", "/etc/nginx/conf.d/other.conf"}},
		},
		{
			kind: "logrotate", name: "invalid", says: "not valid",
			state: &resources.Logrotate{Name: "case", Files: []string{"/var/log/case"}, SUUser: "nobody-such", SUGroup: "nobody-such"},
		},
	}
}

func logrotateCases() []testCase {
	const path = "/etc/logrotate.d/case"
	return []testCase{{
		kind: "logrotate", name: "entry",
		variants: []any{
			&resources.Logrotate{
				Name: "case", Files: []string{"/var/log/case/*.log", "/var/log/cas log"}, Frequency: "daily", Rotate: new(7), DelayCompress: true,
				CreateMode: "0640", CreateOwner: "plain", CreateGroup: "adm", SUUser: "plain", SUGroup: "adm",
			},
			&resources.Logrotate{Name: "case", Files: []string{"/var/log/dpkg.log"}, Compress: new(false), MissingOK: new(false), NotIfEmpty: new(false), CopyTruncate: true},
		},
		effect: []string{"logrotate", "--debug", path},
		edits: []edit{
			by("text", "sed", "-i", "s/daily/weekly/", path),
			by("broken", "sed", "-i", "s/{/(/", path),
			by("mode", "chmod", "0666", path),
			by("owner", "chown", "plain", path),
			by("missing", "rm", path),
			by("link", "ln", "-sf", "/etc/hostname", path),
		},
	}}
}
