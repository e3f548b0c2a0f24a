package faults

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lab"
)

// otherSite turns a host into a mirror of another distribution: nginx with a default site, synced
// by cron into the tree of a separate account.
func otherSite(t testing.TB, h *lab.Host) {
	t.Helper()
	install(t, h, "nginx-light", "rsync")
	withCron(t, h)
	sh(t, h, `rm -f /etc/nginx/sites-enabled/default
mkdir -p /srv/pub/rocky /srv/ftp /etc/ctl
echo rocky >/srv/pub/rocky/index.html
cat >/etc/nginx/conf.d/other.conf <<END
server { listen 80 default_server; server_name other.example.org; root /srv/pub; }
END
useradd --home-dir /srv/ftp --shell /bin/bash --user-group mirror
echo '11 * * * * mirror rsync --version >/dev/null' >/etc/cron.d/rocky
printf 'kept\n' >/etc/ctl/kept
systemctl enable --now nginx `+cronOn(h)+` && systemctl reload nginx`)
	eventually(t, "nginx serves the other site", func() bool { // a reload ends before the new workers answer
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.Address+"/rocky/", nil)
		if err != nil {
			return false
		}
		req.Host, req.Close = "other.example.org", true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// foundBlocks declare things that otherSite created, of each kind that removal handles, for onHost.
const foundBlocks = `
resource "package" "nginx" {
  hosts = [host.h]
  name  = "NGINX"
}
resource "package" "rsync" {
  hosts = [host.h]
  name  = "rsync"
}
resource "service" "nginx" {
  hosts   = [host.h]
  name    = "nginx"
  enabled = true
  running = true
}
resource "service" "cron" {
  hosts   = [host.h]
  name    = "CRON"
  enabled = true
  running = true
}
resource "group" "mirror" {
  hosts = [host.h]
  name  = "mirror"
}
resource "user" "mirror" {
  hosts = [host.h]
  name  = "mirror"
}
resource "directory" "tree" {
  hosts = [host.h]
  path  = "/srv/pub/rocky"
}
resource "file" "kept" {
  hosts   = [host.h]
  path    = "/etc/ctl/kept"
  content = "kept\n"
}
`

// madeBlocks declare things that otherSite did not create.
const madeBlocks = `
resource "package" "demo" {
  hosts = [host.h]
  name  = "mirrorform-lab-demo"
}
resource "directory" "made" {
  hosts = [host.h]
  path  = "/etc/ctl/made"
}
resource "file" "made" {
  hosts   = [host.h]
  path    = "/etc/ctl/made/file"
  content = "made\n"
}
` + generatedBlock

// generatedBlock declares a file that only mirrorform writes.
const generatedBlock = `
resource "cron" "made" {
  hosts    = [host.h]
  name     = "made"
  schedule = "@daily"
  command  = ["/bin/true"]
}
`

// inventory lists the packages, units, accounts and files of a host, without those that change by
// themselves.
func inventory(t testing.TB, h *lab.Host, units ...string) string {
	t.Helper()
	return sh(t, h, packagesOn(h)+`
for u in `+strings.Join(units, " ")+`; do systemctl is-enabled $u; systemctl is-active $u; done
getent passwd; getent group
find /etc /srv /usr/local -xdev ! -path '/etc/*-' ! -name ld.so.cache ! -name .pwd.lock -printf '%p %y %m %u %g %l\n' | sort
find /etc /srv /usr/local -xdev -type f ! -path '/etc/*-' ! -name ld.so.cache -exec sha256sum {} + | sort`)
}

// polled requests a page of the other site from a host until the returned function is called. That
// function fails the test if any answer was not 200.
func polled(t testing.TB, h *lab.Host, path, name string) (stop func()) {
	t.Helper()
	return polledAs(t, h, path, name, "")
}

// polledAs is polled by these names in turn; "" is the host's address.
func polledAs(t testing.TB, h *lab.Host, path string, names ...string) (stop func()) {
	t.Helper()
	ended := make(chan struct{})
	var group sync.WaitGroup
	var bad []string
	asked := 0
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	group.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			req, err := http.NewRequest(http.MethodGet, "http://"+h.Address+path, nil)
			if err == nil {
				req.Host = names[i%len(names)]
				var resp *http.Response
				if resp, err = client.Do(req); err == nil {
					_ = resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						err = fmt.Errorf("host %q: %s", req.Host, resp.Status)
					}
				}
			}
			asked++
			if err != nil {
				bad = append(bad, err.Error())
			}
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	})
	var once sync.Once
	stop = func() {
		once.Do(func() {
			close(ended)
			group.Wait()
			if len(bad) > 0 {
				t.Errorf("%d of %d requests failed: %s", len(bad), asked, strings.Join(bad[:min(5, len(bad))], "; "))
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// TestFault34FoundStays: existing packages, services, accounts, a directory and a file are declared
// together with new ones, then leave the configuration again. Afterwards the host is unchanged, and
// its site answers throughout.
func TestFault34FoundStays(t *testing.T) {
	t.Parallel()
	h := boot(t)
	otherSite(t, h)
	before := inventory(t, h, "nginx", cronOn(h))
	stop := polled(t, h, "/rocky/", "other.example.org")
	s := newSite(t, host{Host: h})
	ways := []struct {
		name  string
		leave func() result
	}{
		{"blocks removed", func() result { s.write("main.hcl", ""); return s.apply() }},
		{"destroy", func() result { return s.run("destroy", "--auto-approve") }},
		{"destroy, by target", func() result {
			return s.run("destroy", "--auto-approve", "--target", "h/package.nginx", "--target", "h/service.nginx", "--target", "h/user.mirror",
				"--target", "h/directory.tree", "--target", "h/file.kept", "--target", "h/package.rsync", "--target", "h/service.cron", "--target", "h/group.mirror",
				"--target", "h/package.demo", "--target", "h/cron.made", "--target", "h/file.made", "--target", "h/directory.made")
		}},
		{"destroy of what was never applied", func() result { return s.run("destroy", "--auto-approve") }},
		{"state rebuild, then destroy", func() result {
			sh(t, h, "rm /var/lib/mirrorform/manifest.json")
			s.write("main.hcl", onHost(h, foundBlocks))
			s.run("state", "rebuild", "h").says(t, 0)
			return s.run("destroy", "--auto-approve")
		}},
	}
	injected := 0
	for _, way := range ways {
		s.write("main.hcl", onHost(h, foundBlocks+madeBlocks))
		switch way.name {
		case "destroy of what was never applied", "state rebuild, then destroy":
		default:
			s.apply().says(t, 0)
			if !succeeds(h, "test -s /etc/ctl/made/file && test -e /etc/cron.d/made") || !installed(h, "mirrorform-lab-demo") {
				t.Errorf("%s: not applied", way.name)
			}
		}
		way.leave().says(t, 0)
		if after := inventory(t, h, "nginx", cronOn(h)); after != before {
			t.Errorf("%s: the host is not as before:\n%s", way.name, differing(before, after))
		}
		injected += strings.Count(foundBlocks, "resource ")
	}
	stop()
	record(t, 34, "existing things that are declared, then removed by block, destroy or target; never applied; after a rebuild", injected,
		"existing things remain and keep running; created things are removed; the other site answers throughout")
}

// differing returns the lines that only one of two texts has.
func differing(a, b string) string {
	var out []string
	for _, side := range []struct{ sign, text, other string }{{"-", a, b}, {"+", b, a}} {
		has := map[string]bool{}
		for line := range strings.SplitSeq(side.other, "\n") {
			has[line] = true
		}
		for line := range strings.SplitSeq(side.text, "\n") {
			if !has[line] {
				out = append(out, side.sign+line)
			}
		}
	}
	return strings.Join(out, "\n")
}

// TestFault49TwoOwners: two configurations declare the same package, service, site, directory and
// file, under the same and under different addresses. They remain and keep running until neither
// configuration has them, regardless of which configuration created them and which one removes them
// first.
func TestFault49TwoOwners(t *testing.T) {
	t.Parallel()
	h := boot(t)
	blocks := func(label string) string {
		return strings.ReplaceAll(`
resource "package" "LABEL" {
  hosts = [host.h]
  name  = "nginx-light"
}
resource "service" "LABEL" {
  hosts      = [host.h]
  name       = "nginx"
  enabled    = true
  running    = true
  depends_on = [package.LABEL]
}
resource "directory" "LABEL" {
  hosts = [host.h]
  path  = "/srv/shared"
}
resource "nginx_site" "LABEL" {
  hosts       = [host.h]
  name        = "shared"
  server_name = ["shared.example.org"]
  root        = "/srv/shared"
  depends_on  = [directory.LABEL, service.LABEL]
}
resource "file" "LABEL" {
  hosts   = [host.h]
  path    = "/srv/shared/index.html"
  content = "shared\n"
}
`, "LABEL", label)
	}
	served := func(what string) {
		t.Helper()
		if !succeeds(h, `systemctl is-active nginx && dpkg -s nginx-light && test -s /etc/nginx/conf.d/mirrorform-shared.conf -o -s /etc/nginx/conf.d/shared.conf && test -s /srv/shared/index.html`) {
			t.Errorf("%s: it is gone", what)
		}
		stop := polled(t, h, "/index.html", "shared.example.org")
		stop()
	}
	injected := 0
	for _, label := range []string{"same", "other"} {
		for first := range 2 {
			what := fmt.Sprintf("%s addresses, owner %d goes first", label, first+1)
			owners := []*site{newSite(t, host{Host: h}), newSite(t, host{Host: h})}
			owners[0].write("main.hcl", blocks("same"))
			owners[1].write("main.hcl", blocks(label))
			for _, o := range owners {
				o.apply().says(t, 0)
			}
			owners[1].run("plan", "--detailed-exitcode").says(t, 0)
			owners[first].run("destroy", "--auto-approve").says(t, 0)
			served(what)
			owners[1-first].run("plan", "--detailed-exitcode").says(t, 0)
			owners[1-first].run("destroy", "--auto-approve").says(t, 0)
			if !succeeds(h, "! test -e /srv/shared && ! systemctl is-active nginx && ! dpkg -s nginx-light") {
				t.Errorf("%s: after the second destroy something is left", what)
			}
			// What the package depended on, with the unit, is still there, and would be found by
			// the next round.
			sh(t, h, "DEBIAN_FRONTEND=noninteractive apt-get purge -y -q --autoremove nginx-light nginx nginx-common && systemctl daemon-reload")
			injected++
		}
	}
	record(t, 49, "two configurations with one package, service, site, directory and file, one of them destroyed", injected, "kept for the other configuration, and removed with the last one")
}

// TestFault34OldManifest: an earlier version applied, and its manifest does not record what it
// created. The plan is empty and does not change the manifest. destroy then removes only files that
// mirrorform generates, and nothing that may have existed before.
func TestFault34OldManifest(t *testing.T) {
	t.Parallel()
	h := boot(t)
	otherSite(t, h)
	before := inventory(t, h, "nginx", cronOn(h))
	stop := polled(t, h, "/rocky/", "other.example.org")
	s := newSite(t, host{Host: h})
	s.write("main.hcl", onHost(h, foundBlocks+generatedBlock))
	s.apply().says(t, 0)
	old := formatOne(t, read(t, h, manifestFile))
	put(t, h, manifestFile, old, 0o600)
	s.run("plan", "--detailed-exitcode").says(t, 0)
	s.run("drift").says(t, 0)
	if now := read(t, h, manifestFile); now != old {
		t.Errorf("a plan or drift wrote the manifest:\n%s", now)
	}
	s.run("destroy", "--auto-approve").says(t, 0)
	stop()
	if after := inventory(t, h, "nginx", cronOn(h)); after != before {
		t.Errorf("the host is not as before:\n%s", differing(before, after))
	}
	record(t, 34, "the same with a manifest in the old format, which does not record what mirrorform created", strings.Count(foundBlocks, "resource "),
		"empty plan, manifest unchanged; destroy removes only generated files")
}

// formatOne returns a manifest in format 1.
func formatOne(t testing.TB, text string) string {
	t.Helper()
	m := new(engine.Manifest)
	if err := json.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	for i := range m.Resources {
		m.Resources[i].Made, m.Resources[i].Remembered = false, nil
	}
	m.Format, m.Checksum = 1, ""
	sealed, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	m.Checksum = fmt.Sprintf("%x", sha256.Sum256(sealed))
	if sealed, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return string(sealed)
}

// TestFault34Neighbour: a mirror next to another distribution's mirror is applied, its block
// removed, applied again and destroyed. Then a hand-made mirror is adopted, applied and destroyed.
// The other site answers throughout, by name and by address, and only the mirror's own tree changes
// on the host.
func TestFault34Neighbour(t *testing.T) {
	t.Parallel()
	h := boot(t)
	otherSite(t, h)
	install(t, h, "logrotate")
	sh(t, h, `mkdir -p /srv/pub/almalinux && chown mirror:mirror /srv/pub/almalinux
install -d -o mirror -g mirror /srv/ftp/.ssh
echo '5 5 * * * true' | crontab -u mirror -`)
	before := inventory(t, h, "nginx", cronOn(h))
	stop := polled(t, h, "/rocky/", "other.example.org")
	s := newSite(t, host{Host: h})
	mirror := `mirror "almalinux" {
  hosts = [host.h]
  storage {
    path        = "/srv/pub/almalinux"
    minimum     = "1MB"
    recommended = "1MB"
  }
  sync { every = "6h" }
  web { server_name = "mirror.example.org" }
}
`
	unchanged := func(what string) {
		t.Helper()
		if after := inventory(t, h, "nginx", cronOn(h)); after != before {
			t.Errorf("%s: the host is not as before:\n%s", what, differing(before, after))
		}
	}
	for _, way := range []string{"block removed", "destroy"} {
		s.write("main.hcl", mirror)
		s.apply().says(t, 0)
		if !succeeds(h, "test -s /etc/cron.d/mirrorform-almalinux && test -s /etc/nginx/conf.d/mirrorform-almalinux.conf") {
			t.Errorf("%s: not applied", way)
		}
		s.run("plan", "--detailed-exitcode").says(t, 0)
		if way == "destroy" {
			s.run("destroy", "--auto-approve").says(t, 0)
		} else {
			s.write("main.hcl", "")
			s.apply().says(t, 0)
		}
		unchanged(way)
	}
	s.write("main.hcl", "")
	sh(t, h, `echo '23 */3 * * * mirror /usr/bin/flock -n /srv/ftp/lock -c "/usr/bin/rsync -avSH --delete rsync://rsync.repo.almalinux.org/almalinux/ /srv/pub/almalinux/"' >/etc/cron.d/alma
printf 'server { listen 80; server_name alma.example.org; location /almalinux/ { root /srv/pub; autoindex on; } }\n' >/etc/nginx/conf.d/alma.conf
systemctl reload nginx`)
	before = inventory(t, h, "nginx", cronOn(h))
	s.run("adopt", "h", "--out", "adopted.hcl").says(t, 0)
	unchanged("adopted")
	s.apply().says(t, 0)
	if !succeeds(h, "test -s /etc/cron.d/mirrorform-almalinux && test -s /etc/cron.d/alma && test -s /etc/nginx/conf.d/alma.conf") {
		t.Error("adopted: not applied beside what was there")
	}
	s.run("destroy", "--auto-approve").says(t, 0)
	unchanged("adopted, applied and destroyed")
	stop()
	record(t, 34, "a mirror next to another distribution's: applied, removed, applied, destroyed; a hand-made mirror adopted, applied, destroyed", 3,
		"packages, accounts, services, cron jobs and files unchanged; the other site answers throughout, by name and by address")
}
