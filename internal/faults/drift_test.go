package faults

import (
	"slices"
	"strings"
	"testing"
)

// A program that checks new content edits the file between the helper's comparison and the
// replacement. The edit is kept, and all earlier changes are rolled back.
func TestFault15DriftDuringApply(t *testing.T) {
	t.Parallel()
	h := boot(t)
	s := newSite(t, host{Host: h})
	fleet := func(version, check string) string {
		return `
resource "file" "first" {
  hosts   = [host.h]
  path    = "/etc/drift.first"
  content = "` + version + `\n"
}
resource "file" "edited" {
  hosts      = [host.h]
  path       = "/etc/drift.edited"
  content    = "` + version + `\n"
  owner      = "root"
  mode       = "0644"
  validate   = ["` + check + `", "{}"]
  depends_on = [file.first]
}
`
	}
	paths := []string{"/etc/drift.first", "/etc/drift.edited"}
	edits := []struct{ name, script string }{
		{"content", "echo edited >/etc/drift.edited"},
		{"content of the same length", "printf 'OLD\\n' >/etc/drift.edited"},
		{"another file in its place", "echo edited >/etc/drift.other && mv /etc/drift.other /etc/drift.edited"},
		{"mode", "chmod 0604 /etc/drift.edited"},
		{"owner", "chown nobody /etc/drift.edited"},
		{"removed", "rm /etc/drift.edited"},
		{"a link in its place", "ln -sfn /etc/passwd /etc/drift.edited"},
		{"a directory in its place", "rm /etc/drift.edited && mkdir /etc/drift.edited && touch /etc/drift.edited/file"},
	}
	for _, e := range edits {
		s.write("fleet.hcl", fleet("old", "/bin/true"))
		s.apply().says(t, 0)
		before := statesOf(t, h, paths...)
		put(t, h, "/usr/local/bin/edit", "#!/bin/sh\n"+e.script+"\n", 0o755)
		s.write("fleet.hcl", fleet("new", "/usr/local/bin/edit"))
		r := s.apply()
		r.says(t, 1, "/etc/drift.edited")
		after := statesOf(t, h, paths...)
		if after[paths[0]] != before[paths[0]] {
			t.Errorf("what was done before was not taken back: %s is %q", paths[0], after[paths[0]])
		}
		// The edit once more, by itself: what it makes is what must be there.
		sh(t, h, "rm -rf /etc/drift.edited; printf 'old\\n' >/etc/drift.edited; "+e.script)
		if want := statesOf(t, h, paths...); after[paths[1]] != want[paths[1]] {
			t.Errorf("the edit did not stay: %s is %q, want %q", paths[1], after[paths[1]], want[paths[1]])
		}
		clean(t, h)
		if strings.Contains(e.name, "directory") {
			on(t, h, "rm", "-r", "/etc/drift.edited") // which mirrorform does not, with a file in it
		}
		s.write("fleet.hcl", fleet("new", "/bin/true"))
		oracle(t, s, h, r)
		if t.Failed() {
			t.Fatalf("edit: %s\n%s", e.name, r.output)
		}
	}
	record(t, 15, "a check edits the file that apply replaces", len(edits), "refused; the edit is kept, everything else is rolled back")
}

// holding runs a script of Perl as the unit taken, and waits until it is ready.
var holding = []string{"systemd-run", "--quiet", "--collect", "--unit=taken", "--service-type=notify", "--property=NotifyAccess=all", "perl"}

// A reload succeeds without effect, because another program uses the port. It has the name of
// the server, so the plan does not refuse it. A request to the site detects this, unless the server
// itself does, and everything is rolled back.
func TestFault26ReloadWithoutEffect(t *testing.T) { onServers(t, reloadWithoutEffect) }

func reloadWithoutEffect(t *testing.T, w webServer) {
	h := boot(t)
	s := newSite(t, host{Host: h})
	w.install(t, h)
	fleet := func(port string) string {
		return w.in(h, `
resource "file" "first" {
  hosts   = [host.h]
  path    = "/etc/first"
  content = "`+port+`\n"
}
resource "SERVER_site" "site" {
  hosts       = [host.h]
  name        = "site"
  server_name = ["site.example.org"]
  listen      = ["`+port+`"]
  root        = "/srv"
  depends_on  = [file.first]
}
`)
	}
	paths := []string{"/etc/first", w.site("site")}
	ports := []string{"8081", "8082"} // first there is no site yet, and then there is one
	ports = ports[:w.size(1, len(ports))]
	for _, port := range ports {
		old := statesOf(t, h, paths...)
		const taken = "my $s = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 100, ReuseAddr => 1) or die; $0 = $ARGV[1]; " +
			"system(q(systemd-notify --ready)); while (my $c = $s->accept) { print $c \"HTTP/1.0 200 OK\\r\\n\\r\\nother\\n\" }"
		on(t, h, slices.Concat(holding, []string{"-MIO::Socket::INET", "-e", taken, port, w.program})...)
		s.write("fleet.hcl", fleet(port))
		r := s.apply()
		r.says(t, 1, port, w.taken)
		statesOf(t, h, paths...).same(t, old)
		clean(t, h)
		on(t, h, "systemctl", "is-active", w.unit, "taken")
		on(t, h, "systemctl", "stop", "taken")
		oracle(t, s, h, r)
	}
	record(t, 26, "reload without effect, since the port is in use, "+w.name, len(ports), w.detects+"; rolled back")
}

// TestFault45PortTaken: another program holds the port of a new site, by IPv4 or IPv6, for HTTP or
// HTTPS. The plan names it, nothing is written, and the old site answers.
func TestFault45PortTaken(t *testing.T) { onServers(t, portTaken) }

func portTaken(t *testing.T, w webServer) {
	h := boot(t)
	s := newSite(t, host{Host: h})
	w.install(t, h, "openssl", "curl")
	sh(t, h, `mkdir -p /srv/www && echo page >/srv/www/page
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN=new.example.org \
  -addext subjectAltName=DNS:new.example.org -keyout /etc/ssl/new.key -out /etc/ssl/new.pem 2>/dev/null
chgrp `+w.account+` /etc/ssl/new.key && chmod 0640 /etc/ssl/new.key`)
	site := func(name, more string) string {
		return `
resource "` + w.server + `_site" "` + name + `" {
  hosts       = [host.h]
  name        = "` + name + `"
  server_name = ["` + name + `.example.org"]
  root        = "/srv/www"
` + more + `}
`
	}
	const tls = `
  tls_listen      = ["8443", "[::]:8443"]
  certificate     = "/etc/ssl/new.pem"
  certificate_key = "/etc/ssl/new.key"
`
	s.write("fleet.hcl", site("old", ""))
	s.apply().says(t, 0)
	paths := []string{w.site("old"), w.site("new")}
	count := 0
	for _, taken := range []struct{ address, more string }{
		{"127.0.0.1:8081", `listen = ["8081"]` + "\n"},
		{"[::1]:8081", "listen = [\"" + w.listen6 + "\"]\n"},
		{"127.0.0.1:8443", tls},
		{"[::1]:8443", tls},
	} {
		before := statesOf(t, h, paths...)
		const holder = "my $s = IO::Socket::IP->new(LocalAddr => $ARGV[0], Listen => 9, ReuseAddr => 1, V6Only => 1) or die; " +
			"system(q(systemd-notify --ready)); sleep"
		on(t, h, slices.Concat(holding, []string{"-MIO::Socket::IP", "-e", holder, taken.address})...)
		s.write("fleet.hcl", site("old", "")+site("new", taken.more))
		r := s.apply()
		r.says(t, 1, "is held by perl", "taken.service")
		statesOf(t, h, paths...).same(t, before)
		if got := sh(t, h, "curl -fsS -H 'Host: old.example.org' http://127.0.0.1/page; curl -fsS -H 'Host: old.example.org' http://[::1]/page"); got != "page\npage\n" {
			t.Errorf("the old site answers %q", got)
		}
		on(t, h, "systemctl", "stop", "taken")
		count++
	}
	s.apply().says(t, 0)
	oracle(t, s, h, s.apply())
	record(t, 45, "the port of a new site held by another program: IPv4 and IPv6, HTTP and HTTPS, "+w.name, count,
		"refused by the plan, which names the program and its unit; the old site answers")
}
