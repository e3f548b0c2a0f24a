package faults

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

const (
	tlsName   = "www.lab.test"
	otherName = "also.lab.test" // a second name of the site
)

const (
	tlsPage = `
resource "file" "page" {
  hosts   = [host.h]
  path    = "/srv/www/index.html"
  content = "TEXT\n"
}
resource "service" "web" {
  hosts   = [host.h]
  name    = "UNIT"
  enabled = true
  running = true
}
resource "file" "note" {
  hosts      = [host.h]
  path       = "/etc/tls-is-there"
  content    = "yes\n"
  depends_on = [SERVER_site.tls]
}
`
	tlsByCertbot = `
resource "SERVER_site" "www" {
  hosts       = [host.h]
  name        = "www"
  server_name = NAMES
  root        = "/srv/www"
  webroot     = "/var/lib/letsencrypt"
}
resource "certificate" "www" {
  hosts     = [host.h]
  name      = "` + tlsName + `"
  domains   = NAMES
  directory = "DIRECTORY"
}
resource "SERVER_site" "tls" {
  hosts           = [host.h]
  name            = "www-tls"
  server_name     = NAMES
  root            = "/srv/www"
  http            = "off"
  certificate     = "/etc/letsencrypt/live/` + tlsName + `/fullchain.pem"
  certificate_key = "/etc/letsencrypt/live/` + tlsName + `/privkey.pem"
}
`
	// The server gets the certificate itself.
	tlsByServer = `
resource "SERVER_site" "www" {
  hosts         = [host.h]
  name          = "www"
  server_name   = NAMES
  root          = "/srv/www"
  tls_elsewhere = true
}
resource "SERVER_site" "tls" {
  hosts          = [host.h]
  name           = "www-tls"
  server_name    = NAMES
  root           = "/srv/www"
  trees_of       = "` + tlsName + `"
  http           = "off"
  acme           = true
  acme_directory = "DIRECTORY"
}
`
)

// issuance is a host with a site whose certificate a CA issues.
type issuance struct {
	*testing.T
	w     webServer
	ca    *lab.CA
	host  *lab.Host
	site  *site
	names []string
	// pending are the changes that need the certificate, in order.
	pending []string
}

func newIssuance(t *testing.T, w webServer) *issuance {
	t.Helper()
	ca := labtest.StartCA(t)
	h := boot(t)
	if err := h.TrustCA(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	packages := []string{"openssl"}
	pending := []string{"h/certificate.www", "h/" + w.server + "_site.tls", "h/file.note"}
	if w.acme {
		pending = pending[1:]
		inject(t, h, "hurry 10") // it would wait for the CA
	} else {
		packages = append(packages, "certbot")
	}
	w.install(t, h, packages...)
	sh(t, h, "systemctl disable --now "+w.unit+"; mkdir -p /srv/www /var/lib/letsencrypt")
	i := &issuance{t, w, ca, h, newSite(t, host{Host: h}), []string{tlsName}, pending}
	i.known()
	return i
}

func (i *issuance) must(err error) {
	i.Helper()
	if err != nil {
		i.Fatal(err)
	}
}

// known has the names lead to the host.
func (i *issuance) known() { i.lead(i.host.Address, i.host.Address6) }

// lead has the names lead to addresses, as the CA sees it.
func (i *issuance) lead(ipv4, ipv6 string) {
	for _, name := range i.names {
		i.must(i.ca.AddHost(i.Context(), name, ipv4, ipv6))
	}
}

// wants writes the configuration: a site over HTTP with a text, a certificate, and the same site
// over HTTPS.
func (i *issuance) wants(text string) {
	i.Helper()
	fleet := tlsByCertbot
	if i.w.acme {
		fleet = tlsByServer
	}
	names := `["` + strings.Join(i.names, `", "`) + `"]`
	i.site.write("main.hcl", strings.NewReplacer("NAMES", names, "DIRECTORY", i.ca.DirectoryURL, "TEXT", text).Replace(i.w.in(i.host, tlsPage+fleet)))
}

// serves fails the test unless the site serves a text over HTTP, by each of its names.
func (i *issuance) serves(text string) {
	i.Helper()
	for _, name := range i.names {
		req, err := http.NewRequestWithContext(i.Context(), http.MethodGet, "http://"+i.host.Address+"/", nil)
		i.must(err)
		req.Host = name
		resp, err := http.DefaultClient.Do(req)
		i.must(err)
		got, err := io.ReadAll(resp.Body)
		i.must(errors.Join(err, resp.Body.Close()))
		if string(got) != text+"\n" {
			i.Errorf("the site serves %q as %s, want %q", got, name, text)
		}
	}
}

// certificate returns what the host has over HTTPS by a name: the names and the serial number of
// the certificate.
func (i *issuance) certificate(name string) string {
	i.Helper()
	return sh(i.T, i.host, "openssl s_client -connect 127.0.0.1:443 -servername "+name+
		" </dev/null 2>/dev/null | openssl x509 -noout -serial -ext subjectAltName")
}

// unissued applies a configuration, of which all that needs no certificate has to be applied. The
// cause is in the error, or log, a regular expression, matches what the command of the error prints.
func (i *issuance) unissued(text, says, log string) {
	i.Helper()
	i.wants(text)
	r := i.site.apply()
	r.says(i, 1, "failed at "+i.pending[0], "The other changes on this host were applied, and stay")
	if i.w.acme {
		const command = "journalctl --unit caddy --since -5min --grep 'could not get certificate'"
		r.says(i, 1, command)
		if got := sh(i.T, i.host, command); !regexp.MustCompile(log).MatchString(got) {
			i.Errorf("%s prints nothing like %s: %s", command, log, got)
		}
	} else {
		r.says(i, 1, says)
	}
	i.serves(text)
	on(i.T, i.host, "systemctl", "is-enabled", i.w.unit)
	if i.Failed() {
		i.Fatalf("%s:\n%s", text, r.output)
	}
}

// left fails the test unless a plan has those changes alone.
func (i *issuance) left(summary string, changes ...string) {
	i.Helper()
	i.site.run("plan", "--detailed-exitcode").says(i, 2, append(changes, summary)...)
	clean(i.T, i.host)
}

// issued applies a saved plan, now that the CA issues the certificate, for all names.
func (i *issuance) issued() {
	i.Helper()
	i.site.run("plan", "--out", "saved.json").says(i, 0)
	r := i.site.run("apply", "saved.json")
	r.says(i, 0)
	oracle(i, i.site, i.host, r)
	for _, name := range i.names {
		if got := i.certificate(name); !strings.Contains(got, "DNS:"+name) {
			i.Errorf("over HTTPS, as %s: %s", name, got)
		}
	}
	on(i.T, i.host, "test", "-e", "/etc/tls-is-there")
}

// TestFault46CADown: the CA of a certificate is down, limits, does not find the host, or gets no
// answer from it; and the helper is killed at a step. Everything else is applied, and stays.
func TestFault46CADown(t *testing.T) { onServers(t, caDown) }

func caDown(t *testing.T, w webServer) {
	i := newIssuance(t, w)
	limit := lab.Problem{Type: lab.ProblemRateLimited, Detail: "too many certificates already issued", Status: http.StatusTooManyRequests, RetryAfter: time.Hour}
	unknown := func() { i.must(i.ca.RemoveHost(t.Context(), tlsName)) }
	cases := []struct {
		what     string
		set, end func()
		says     string // the error, with certbot
		log      string // Caddy's log, which depends on the challenge that Caddy chose
	}{
		{"down", func() { i.must(i.ca.Stop()) }, func() { i.must(i.ca.Start()) }, "the host cannot reach the CA", "connection refused"},
		{"with a rate limit", func() { i.must(i.ca.Refuse("newOrder", limit)) }, i.ca.Accept, "rate limit", limit.Detail},
		{"without the name", unknown, i.known, "the CA cannot resolve a name", "dns|Could not resolve"},
		{"sent to another host", func() { i.lead("127.0.0.1", "") }, i.known, "the CA cannot connect to port 80", "127.0.0.1"},
	}
	cases = cases[:w.size(1, size(2, len(cases)))]
	var injected []string
	for _, c := range cases {
		injected = append(injected, c.what)
		c.set()
		i.unissued(c.what, c.says, c.log)
		if succeeds(i.host, "test -e "+w.site("www-tls")+" || test -e /etc/tls-is-there") {
			t.Fatal("what needs the certificate is there")
		}
		i.left(fmt.Sprint(len(i.pending), " to create"), i.pending...)
		c.end()
		if c.what == "with a rate limit" && !w.acme { // the advice for versions of certbot that cannot print it
			if got := sh(t, i.host, "grep -A 1 acme:error /var/log/letsencrypt/letsencrypt.log | tail -n 2"); !strings.Contains(got, limit.Detail) {
				t.Errorf("the end of certbot's log: %s", got)
			}
		}
	}
	i.issued()
	record(t, 46, "the CA of a certificate "+strings.Join(injected, ", ")+", "+w.name, len(injected), w.caDown)
	if w.acme || w.size(0, 1) > 0 { // with certbot, it is the same for each server
		i.downWithCertificate()
	}
	if !w.acme && w.size(0, 1) > 0 {
		i.killed()
	}
}

// downWithCertificate adds a name to a site over HTTPS while the CA is down: it serves on with the
// certificate that it has.
func (i *issuance) downWithCertificate() {
	before := i.certificate(tlsName)
	i.must(i.ca.Stop())
	i.names = append(i.names, otherName)
	i.unissued("another name", "the host cannot reach the CA", otherName)
	if after := i.certificate(tlsName); after != before {
		i.Errorf("over HTTPS it has\n%s\ninstead of\n%s", after, before)
	}
	i.left(" to update", i.pending[:len(i.pending)-1]...)
	i.must(i.ca.Start())
	i.known()
	i.issued()
	record(i, 46, "the CA down when a name is added to a site over HTTPS, "+i.w.name, 1,
		"everything else applied; HTTPS as before; exit status 1 with the cause; the next plan has only what needs the certificate")
}

// killed kills the helper at steps of an apply that requests a certificate.
func (i *issuance) killed() {
	again := func(text string) {
		i.Helper()
		i.wants(text)
		sh(i.T, i.host, "certbot delete --non-interactive --cert-name "+tlsName+
			"; rm /etc/tls-is-there "+i.w.site("www-tls")+" && systemctl reload "+i.w.unit)
	}
	points := enumerate(i, i.host, func() {
		again("points")
		i.site.apply().says(i, 0)
	})
	killed := spread(len(points), size(3, len(points)))
	for _, n := range killed {
		again(fmt.Sprint("killed at ", n))
		inject(i, i.host, fmt.Sprint("kill ", n))
		r := i.site.apply()
		disarm(i, i.host)
		oracle(i, i.site, i.host, r)
		if i.Failed() {
			i.Fatalf("killed at %s:\n%s", points[n-1], r.output)
		}
	}
	record(i, 46, "helper killed at a step of an apply with a certificate, "+i.w.name, len(killed),
		"rolled back or finished by the next apply")
}
