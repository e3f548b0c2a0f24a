package lab_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

const (
	caValidity = 10 * time.Minute
	siteName   = "www.lab.test"
)

const tlsSite = `server {
	listen 443 ssl;
	listen [::]:443 ssl;
	server_name ` + siteName + `;
	ssl_certificate /etc/letsencrypt/live/` + siteName + `/fullchain.pem;
	ssl_certificate_key /etc/letsencrypt/live/` + siteName + `/privkey.pem;
	return 200;
}
`

// TestCA: a host's certbot gets a certificate from the lab's CA, clients verify it over IPv4 and
// IPv6, and the CA fails as a test wants.
func TestCA(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	ca := labtest.StartCA(t, lab.CAOptions{Validity: caValidity})
	h := labtest.Host(t)
	if err := errors.Join(h.TrustCA(ctx, ca), ca.AddHost(ctx, siteName, h.Address, h.Address6)); err != nil {
		t.Fatal(err)
	}
	on(t, h, "apt-get", "install", "-y", "--no-install-recommends", "nginx-light", "certbot")
	certbot := func() (string, error) {
		out, err := h.Run(ctx, "certbot", "certonly", "--non-interactive", "--agree-tos", "--register-unsafely-without-email",
			"--server", ca.DirectoryURL, "--webroot", "--webroot-path", "/var/www/html", "--force-renewal", "--domain", siteName)
		if err == nil {
			return string(out), nil
		}
		// certbot 2.1 with Python 3.11 prints only "can't set attribute" for errors such as a rate limit.
		logged, readErr := h.Read("/var/log/letsencrypt/letsencrypt.log")
		return string(out) + err.Error() + string(logged), errors.Join(err, readErr)
	}
	if out, err := certbot(); err != nil {
		t.Fatal(out)
	}
	if err := h.Write("/etc/nginx/conf.d/tls.conf", []byte(tlsSite), 0o644); err != nil {
		t.Fatal(err)
	}
	on(t, h, "systemctl", "restart", "nginx") // a reload ends before nginx listens
	for _, address := range []string{h.Address, h.Address6} {
		if address == "" {
			continue
		}
		first := verify(t, ca.Root, address)
		if got := first.NotAfter.Sub(first.NotBefore).Round(2 * time.Second); got != caValidity {
			t.Errorf("the certificate is valid for %s", got)
		}
	}
	fails := func(words ...string) {
		t.Helper()
		out, err := certbot()
		if err == nil {
			t.Fatal("certbot got a certificate")
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				t.Errorf("no %q in\n%s", word, out)
			}
		}
	}
	t.Run("down", func(t *testing.T) {
		if err := ca.Stop(); err != nil {
			t.Fatal(err)
		}
		fails("Connection refused")
		if err := ca.Start(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("rate limited", func(t *testing.T) {
		limit := lab.Problem{Type: lab.ProblemRateLimited, Detail: "too many certificates already issued", Status: http.StatusTooManyRequests,
			RetryAfter: time.Hour}
		if err := ca.Refuse("newOrder", limit); err != nil {
			t.Fatal(err)
		}
		fails(lab.ProblemRateLimited, limit.Detail)
		ca.Accept()
		if err := ca.Refuse("newThing", limit); err == nil {
			t.Error("a resource that ACME does not have was taken")
		}
	})
	t.Run("unknown name", func(t *testing.T) {
		if err := ca.RemoveHost(ctx, siteName); err != nil {
			t.Fatal(err)
		}
		fails("Domain: "+siteName, "could not resolve")
		if err := ca.AddHost(ctx, siteName, "", h.Address6); err != nil {
			t.Fatal(err)
		}
	})
	if h.Address6 == "" {
		return
	}
	if out, err := certbot(); err != nil { // validated over IPv6 alone
		t.Fatal(out)
	}
}

// verify requests the host's site over HTTPS at an address, and returns its certificate, which has
// to lead to root.
func verify(t *testing.T, root []byte, address string) *x509.Certificate {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(address, "443"))
		},
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + siteName + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s answers %s, %v", address, resp.Status, err)
	}
	return resp.TLS.PeerCertificates[0]
}

// TestCAs: CAs of a lab run side by side, and leave nothing behind.
func TestCAs(t *testing.T) {
	t.Parallel()
	l := labtest.Lab(t)
	var cas [2]*lab.CA
	t.Run("run", func(t *testing.T) {
		for i := range cas {
			cas[i] = labtest.StartCA(t)
		}
		if cas[0].DirectoryURL == cas[1].DirectoryURL || string(cas[0].Root) == string(cas[1].Root) {
			t.Errorf("two CAs at %s", cas[0].DirectoryURL)
		}
	})
	for _, ca := range cas {
		directory, err := url.Parse(ca.DirectoryURL)
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := net.Dial("tcp", net.JoinHostPort(l.Gateway, directory.Port())); err == nil {
			_ = conn.Close()
			t.Errorf("%s still answers", ca.DirectoryURL)
		}
		if strings.Contains(ca.Log(), "Starting") {
			t.Errorf("%s left its files", ca.DirectoryURL)
		}
	}
	if _, err := l.StartCA(t.Context(), lab.CAOptions{Validity: time.Millisecond}); err == nil {
		t.Error("a CA with certificates of no validity was started")
	}
}
