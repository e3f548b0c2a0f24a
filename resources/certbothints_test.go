package resources

import (
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// TestCertbotHints: the cause of each failure, by what certbot prints.
func TestCertbotHints(t *testing.T) {
	t.Parallel()
	want := &Certificate{
		Name: "a.example.org", Domains: []string{"a.example.org", "b.example.org"}, Webroot: acmeRoot, Directory: acmeCA,
	}
	advice := func(want *Certificate, output string) string {
		hints := certbotHints(want)
		i := slices.IndexFunc(hints, func(h engine.Hint) bool { return strings.Contains(output, h.Text) })
		if i < 0 {
			return ""
		}
		return hints[i].Advice
	}
	challenge := func(kind, detail string) string {
		return "Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported " +
			"these problems:\n  Domain: a.example.org\n  Type:   " + kind + "\n  Detail: " + detail +
			"\n\nSome challenges have failed.\n"
	}
	for _, c := range []struct{ output, says string }{
		{"There were too many requests of a given type :: too many new orders recently", "wait as long as it says"},
		{"ConnectionError: HTTPSConnectionPool(host='acme.lab', port=443): Max retries exceeded with url: /", acmeCA},
		{"ValueError: Requesting acme.lab/dir: Connection refused", "the host cannot reach the CA"},
		{"The request specified an account that does not exist :: Account not found",
			"mv /etc/letsencrypt/accounts/acme-v02.api.letsencrypt.org/directory /root/"},
		{"The server requires external account binding :: The request must include a value", "--eab-kid ID"},
		{challenge("caa", "CAA record for a.example.org prevents issuance"), "dig +short CAA a.example.org b.example.org"},
		{challenge("dns", "DNS problem: NXDOMAIN looking up A for a.example.org"), "dig +short A a.example.org b.example.org"},
		{challenge("connection", "203.0.113.7: Invalid response from http://a.example.org/x: 404"), "another server or site"},
		{challenge("connection", "203.0.113.7: Timeout during connect (likely firewall problem)"), "cannot connect to port 80"},
		{"AttributeError: can't set attribute", "grep -A 1 acme:error"},
	} {
		if got := advice(want, c.output); !strings.Contains(got, c.says) {
			t.Errorf("%s\nadvice: %s", c.output, got)
		}
	}
	many := *want
	many.Domains = []string{"a.example.org", "b.example.org", "c.example.org", "d.example.org"}
	if got := advice(&many, "DNS problem"); !strings.HasSuffix(got, "dig +short A NAME") {
		t.Error(got)
	}
}
