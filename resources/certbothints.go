package resources

import (
	"net/url"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

// certbotHints are the usual causes of a failed request, by what certbot prints: of an error of the
// CA its description in the ACME protocol, and the CA's own words. The first one that is found
// counts: a challenge that fails has the CA's reasons in its text.
func certbotHints(want *Certificate) []engine.Hint {
	names := "NAME"
	if len(want.Domains) <= 3 {
		names = strings.Join(want.Domains, " ")
	}
	var list []engine.Hint
	add := func(advice string, texts ...string) {
		for _, text := range texts {
			list = append(list, engine.Hint{Text: text, Advice: advice})
		}
	}
	add("the CA's rate limit is reached: wait as long as it says (Let's Encrypt: https://letsencrypt.org/docs/rate-limits/), "+
		"and try with staging = true first",
		"too many requests of a given type", "too many certificates", "too many failed")
	add("certbot is renewing certificates: apply again in a few minutes", "Another instance of Certbot is already running")
	add("the host cannot reach the CA: its DNS resolver or a firewall for outgoing connections is in the way, or the "+
		"CA is down (see its status page). Try on the host: curl -sS "+want.Directory,
		"ValueError: Requesting ", "Max retries exceeded with url", "Failed to establish a new connection")
	add("the CA does not know the account that certbot has on this host. To register a new one, move the old one "+
		"away, and apply again: mv "+certbotDir+"/accounts/"+accountDir(want.Directory)+" /root/",
		"an account that does not exist", "No registration exists")
	add("this CA wants an account of its own website. Register with what it shows you there, and apply again: "+
		"certbot register --server "+want.Directory+" --eab-kid ID --eab-hmac-key KEY",
		"requires external account binding")
	add("a CAA record in DNS does not allow this CA: add it there. Try on any machine: dig +short CAA "+names, "CAA record")
	add("the CA cannot resolve a name: each one needs an A or AAAA record that leads to this host, and a new record "+
		"takes a while. Try on any machine: dig +short A "+names,
		"DNS problem", "could not resolve URL", "Type:   dns")
	try := ". Try from outside: curl -v http://" + want.Domains[0] + "/.well-known/acme-challenge/"
	add("another server or site answered the CA: every address that DNS has for the names (also AAAA) must lead to "+
		"this host, and its site must serve the files below "+want.Webroot+try,
		"Invalid response from", "Non-200 status code")
	add("the CA cannot connect to port 80: it must be open to the internet, on every address that DNS has for the "+
		"names (also AAAA)"+try,
		"Detail: ", "Some challenges have failed")
	add("this version of certbot cannot print the CA's answer, often a rate limit. To see it, run on the host: "+
		"grep -A 1 acme:error /var/log/letsencrypt/letsencrypt.log | tail -n 2",
		"can't set attribute")
	return list
}

// accountDir is where certbot keeps its account with a CA, below its directory accounts.
func accountDir(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return "" // Validate reports it
	}
	return u.Host + u.Path
}
