package faults

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

const tlsName = "www.lab.test"

// tlsFleet is a site over HTTP, a certificate, and the same site over HTTPS.
func tlsFleet(directory, text string) string {
	return `
resource "file" "page" {
  hosts   = [host.h]
  path    = "/srv/www/index.html"
  content = "` + text + `\n"
}
resource "nginx_site" "www" {
  hosts       = [host.h]
  name        = "www"
  server_name = ["` + tlsName + `"]
  root        = "/srv/www"
  webroot     = "/var/lib/letsencrypt"
}
resource "service" "nginx" {
  hosts   = [host.h]
  name    = "nginx"
  enabled = true
  running = true
}
resource "certificate" "www" {
  hosts     = [host.h]
  name      = "` + tlsName + `"
  directory = "` + directory + `"
}
resource "nginx_site" "tls" {
  hosts           = [host.h]
  name            = "www-tls"
  server_name     = ["` + tlsName + `"]
  root            = "/srv/www"
  http            = "off"
  certificate     = "/etc/letsencrypt/live/` + tlsName + `/fullchain.pem"
  certificate_key = "/etc/letsencrypt/live/` + tlsName + `/privkey.pem"
}
resource "file" "note" {
  hosts      = [host.h]
  path       = "/etc/tls-is-there"
  content    = "yes\n"
  depends_on = [nginx_site.tls]
}
`
}

// TestFault46CADown: the CA of a certificate is down, limits, does not find the host, or gets no
// answer from it; and the helper is killed at a step. Everything else is applied, and stays.
func TestFault46CADown(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	ca := labtest.StartCA(t)
	h := boot(t)
	if err := h.TrustCA(ctx, ca); err != nil {
		t.Fatal(err)
	}
	sh(t, h, `apt-get install -y -q --no-install-recommends nginx-light certbot openssl
rm -f /etc/nginx/sites-enabled/default && systemctl disable --now nginx; mkdir -p /srv/www /var/lib/letsencrypt`)
	s := newSite(t, host{Host: h})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	up := func(text string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Address+"/", nil)
		must(err)
		req.Host = tlsName
		resp, err := http.DefaultClient.Do(req)
		must(err)
		got, err := io.ReadAll(resp.Body)
		must(errors.Join(err, resp.Body.Close()))
		if string(got) != text+"\n" {
			t.Errorf("the site serves %q, want %q", got, text)
		}
		on(t, h, "systemctl", "is-enabled", "nginx")
		if succeeds(h, "test -e /etc/nginx/conf.d/www-tls.conf || test -e /etc/tls-is-there") {
			t.Error("what needs the certificate is there")
		}
		r := s.run("plan", "--detailed-exitcode")
		r.says(t, 2, "h/certificate.www", "h/nginx_site.tls", "h/file.note", "3 to create")
		clean(t, h)
	}
	limit := lab.Problem{Type: lab.ProblemRateLimited, Detail: "too many certificates already issued", Status: http.StatusTooManyRequests, RetryAfter: time.Hour}
	injected := 0
	for _, c := range []struct {
		what     string
		set, end func()
		says     string
	}{
		{"down", func() { must(ca.Stop()) }, func() { must(ca.Start()) }, "the host cannot reach the CA"},
		{"unknown name", func() {}, func() { must(ca.AddHost(ctx, tlsName, h.Address, h.Address6)) }, "the CA cannot resolve a name"},
		{"rate limit", func() { must(ca.Refuse("newOrder", limit)) }, ca.Accept, "rate limit"},
		{"another host", func() { must(ca.AddHost(ctx, tlsName, "127.0.0.1", "")) }, func() { must(ca.AddHost(ctx, tlsName, h.Address, h.Address6)) },
			"the CA cannot connect to port 80"},
	} {
		c.set()
		s.write("main.hcl", tlsFleet(ca.DirectoryURL, c.what))
		r := s.apply()
		r.says(t, 1, "failed at h/certificate.www", "The other changes on this host were applied, and stay", c.says)
		up(c.what)
		c.end()
		if c.what == "rate limit" { // the advice for versions of certbot that cannot print it
			if got := sh(t, h, "grep -A 1 acme:error /var/log/letsencrypt/letsencrypt.log | tail -n 2"); !strings.Contains(got, limit.Detail) {
				t.Errorf("the end of certbot's log: %s", got)
			}
		}
		if t.Failed() {
			t.Fatalf("%s:\n%s", c.what, r.output)
		}
		injected++
	}
	s.run("plan", "--out", "saved.json").says(t, 0)
	r := s.run("apply", "saved.json")
	r.says(t, 0)
	oracle(t, s, h, r)
	if got := sh(t, h, "cat /etc/tls-is-there; openssl s_client -connect 127.0.0.1:443 -servername "+tlsName+" </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"); !strings.Contains(got, "yes") || !strings.Contains(got, "DNS:"+tlsName) {
		t.Errorf("over HTTPS: %s", got)
	}
	again := func(text string) {
		t.Helper()
		s.write("main.hcl", tlsFleet(ca.DirectoryURL, text))
		sh(t, h, "certbot delete --non-interactive --cert-name "+tlsName+"; rm /etc/tls-is-there /etc/nginx/conf.d/www-tls.conf && systemctl reload nginx")
	}
	points := enumerate(t, h, func() {
		again("points")
		s.apply().says(t, 0)
	})
	killed := spread(len(points), size(8, len(points)))
	for _, n := range killed {
		again(fmt.Sprint("killed at ", n))
		inject(t, h, fmt.Sprint("kill ", n))
		r := s.apply()
		disarm(t, h)
		oracle(t, s, h, r)
		if t.Failed() {
			t.Fatalf("killed at %s:\n%s", points[n-1], r.output)
		}
	}
	record(t, 46, "the CA of a certificate down, with a rate limit, without the name, and sent to another host", injected,
		"everything else applied; exit status 1 with the cause; the next plan has only the certificate and what needs it")
	record(t, 46, "helper killed at a step of an apply with a certificate", len(killed), "rolled back or finished by the next apply")
}
