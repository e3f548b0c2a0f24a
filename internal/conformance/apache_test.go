package conformance

import "github.com/mirrorform/mirrorform/resources"

var reloadApache = []string{"systemctl", "reload", "apache2"}

func apacheGroup() group {
	return group{
		name: "apache",
		prepare: [][]string{
			{"apt-get", "install", "-y", "--no-install-recommends", "apache2", "curl"}, {"a2enmod", "--quiet", "headers"}, {"systemctl", "restart", "apache2"},
		},
		cases:    func([]string) []testCase { return apacheCases() },
		failures: apacheFailures(),
	}
}

func apacheCases() []testCase {
	const path = "/etc/apache2/sites-enabled/zz-case.conf"
	return []testCase{apacheStopped(), apacheJoined(), {
		kind: "apache_site", name: "site", harmless: true,
		variants: []any{
			&resources.ApacheSite{Name: "case", ServerName: []string{"case.example.org", "192.0.2.1", "2001:db8::1"}, Root: "/srv/www"},
			&resources.ApacheSite{
				Name: "case", ServerName: []string{"*.case.example.org"}, Listen: []string{"8080", "[::]:8080"},
				Aliases: map[string]string{"/almalinux/": "/srv/www"}, Autoindex: new(false), AccessLog: "/var/log/apache2/case.log",
			},
		},
		files:   []file{{"/srv/www/TIME", "1", 0o644}},
		effect:  []string{"curl", "-fsS", "--header", "Host: case.example.org", "http://127.0.0.1/TIME"},
		touches: []string{"/var/log/apache2/case.log"}, // Apache makes it when it reads the site
		edits: []edit{
			{name: "text", argvs: [][]string{{"sed", "-i", "s/utf-8/latin1/", path}}, unloaded: true},
			{name: "text, loaded", argvs: [][]string{{"sed", "-i", "s/utf-8/latin1/", path}, reloadApache}},
			{name: "another site's name", argvs: [][]string{{"sed", "-i", "s/ServerName .*/ServerName other/", path}, reloadApache}},
			{name: "broken", argvs: [][]string{{"sed", "-i", "s/ServerName/Nonsense/", path}}, broken: true},
			by("mode", "chmod", "0600", path),
			{name: "missing", argvs: [][]string{{"rm", path}}, unloaded: true},
			{name: "missing, loaded", argvs: [][]string{{"rm", path}, reloadApache}},
			by("Apache stopped", "systemctl", "stop", "apache2"),
		},
		cleanup: [][]string{{"rm", "-r", "/srv/www"}, {"rm", "-f", "/var/log/apache2/case.log"}},
	}}
}

// apacheJoined is a directory in a virtual host that includes it.
func apacheJoined() testCase {
	const host = "<VirtualHost *:80>\nServerName joined.example.org\nIncludeOptional /etc/apache2/mirrorform.d/joined.example.org/*.conf\n</VirtualHost>\n"
	const path = "/etc/apache2/mirrorform.d/joined.example.org/case.conf"
	return testCase{
		kind: "apache_snippet", name: "in a virtual host that includes it", harmless: true,
		variants: []any{
			&resources.ApacheSnippet{Name: "case", ServerName: "joined.example.org", Aliases: map[string]string{"/almalinux/": "/srv/joined"}},
			&resources.ApacheSnippet{Name: "case", ServerName: "joined.example.org", Aliases: map[string]string{"/a/": "/srv/joined", "/b/": "/srv/joined"}, Autoindex: new(false)},
		},
		files:   []file{{"/srv/joined/TIME", "1", 0o644}, {"/etc/apache2/sites-enabled/joined.conf", host, 0o644}},
		prepare: [][]string{{"mkdir", "-p", "/etc/apache2/mirrorform.d/joined.example.org"}, reloadApache},
		effect:  []string{"curl", "-fsS", "--header", "Host: joined.example.org", "http://127.0.0.1/almalinux/TIME"},
		edits: []edit{
			{name: "text", argvs: [][]string{{"sed", "-i", "s/Options Indexes/Options/", path}}, unloaded: true},
			by("mode", "chmod", "0600", path),
			{name: "missing", argvs: [][]string{{"rm", path}}, unloaded: true},
		},
		cleanup: [][]string{{"rm", "-r", "/srv/joined", "/etc/apache2/sites-enabled/joined.conf", "/etc/apache2/mirrorform.d"}, reloadApache},
	}
}

// apacheStopped is a site on a host whose Apache is not running. Undoing it must not start Apache.
func apacheStopped() testCase {
	return testCase{
		kind: "apache_site", name: "Apache does not run", harmless: true,
		variants: []any{&resources.ApacheSite{Name: "case", ServerName: []string{"case.example.org"}, Root: "/srv"}},
		prepare:  [][]string{{"systemctl", "stop", "apache2"}},
		cleanup:  [][]string{{"systemctl", "start", "apache2"}},
	}
}

// apacheFailures are sites that Apache accepts and does not serve.
func apacheFailures() []failure {
	// A program that calls itself apache2, so that no plan refuses it. Apache ends when it finds the
	// port in use, sooner or later after the load: it must be there again after the rollback.
	const taken = "perl -MIO::Socket::INET -e '$0 = q(apache2); my $s = IO::Socket::INET->new(LocalPort => 8081, Listen => 100, ReuseAddr => 1) or die; system(q(systemd-notify --ready)); sleep'"
	site := func(port string) *resources.ApacheSite {
		return &resources.ApacheSite{Name: "case", ServerName: []string{"case.example.org"}, Listen: []string{port}, Root: "/srv"}
	}
	return []failure{
		{
			kind: "apache_site", name: "port taken", state: site("8081"), says: `apache2\.service failed|127\.0\.0\.1:8081/`,
			prepare: [][]string{{"systemd-run", "--quiet", "--unit=taken", "--service-type=notify", "--property=NotifyAccess=all", "sh", "-c", taken}},
			cleanup: [][]string{{"systemctl", "stop", "taken"}, {"systemctl", "is-active", "apache2"}},
		},
		{ // Apache does not list the names of a virtual host that is alone on its port
			kind: "apache_site", name: "name taken", state: site("8082"), says: "127.0.0.1:8082/",
			files:   []file{{"/etc/apache2/sites-enabled/aaa.conf", "Listen 8082\n<VirtualHost *:8082>\nServerName other\nServerAlias case.example.org\n</VirtualHost>\n", 0o644}},
			prepare: [][]string{reloadApache},
			cleanup: [][]string{{"rm", "/etc/apache2/sites-enabled/aaa.conf"}, reloadApache},
		},
		{
			kind: "apache_site", name: "another file is broken", state: site("8083"), says: "Invalid command 'nonsense'",
			files:   []file{{"/etc/apache2/sites-enabled/other.conf", "nonsense\n", 0o644}},
			cleanup: [][]string{{"rm", "/etc/apache2/sites-enabled/other.conf"}},
		},
	}
}
