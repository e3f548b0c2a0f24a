package mirror

import (
	"maps"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// acmeWebroot is the directory from which the site answers a CA.
const acmeWebroot = "/var/lib/letsencrypt"

// Certificate is the data of a part that gets a certificate from a CA.
type Certificate struct{ Name string }

// Exclusive returns what only one host of a configuration can have: a CA asks the address that DNS
// has for a name.
func (c *Certificate) Exclusive() (what, advice string) {
	return "the certificate of " + c.Name + " from a CA",
		"give each host a name of its own, such as ${target.name}.mirror.example.org, or set web.tls.certificate"
}

// certbot adds what gets and renews the certificate, except the certificate itself. EL has certbot
// in EPEL, with a timer that the package does not enable.
func (x *expansion) certbot() {
	timer := "certbot.timer"
	var after []string
	if x.family() == "el" {
		timer, after = "certbot-renew.timer", x.epel()
	}
	yes := true
	x.add(engine.Part{Name: "certbot", Type: "package", DependsOn: after, State: &resources.Package{Name: "certbot"}}, nil)
	x.add(engine.Part{
		Name: "acme_webroot", Type: "directory", DependsOn: []string{"certbot"},
		State: &resources.Directory{Path: acmeWebroot, Owner: "root", Group: "root", Mode: "0755"},
	}, nil)
	x.add(engine.Part{
		Name: "certificate_timer", Type: "service", Keep: "it renews other certificates of the host, too", DependsOn: []string{"certbot"},
		State: &resources.Service{Name: timer, Enabled: &yes, Running: &yes},
	}, nil)
}

// epel adds EL's repository for packages that EL itself does not have.
func (x *expansion) epel() []string {
	x.add(engine.Part{Name: "epel", Type: "package", State: &resources.Package{Name: "epel-release"}}, nil)
	return []string{"epel"}
}

// letsEncryptStaging is the directory of Let's Encrypt's CA for tests
// (https://letsencrypt.org/docs/staging-environment/).
const letsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"

// directory returns the URL of the CA's directory, or "" for Let's Encrypt's.
func (a *ACME) directory() string {
	if a.Staging != nil && *a.Staging {
		return letsEncryptStaging
	}
	return a.Directory
}

// ownACME has the server itself get the certificate for the site over HTTPS. That one comes after
// everything else, as with certbot.
func (x *expansion) ownACME(site *resources.Site, from map[string]string) {
	a, yes := x.web.TLS.ACME, true
	site.Certificate, site.CertificateKey = "", ""
	site.ACME, site.ACMEEmail, site.ACMEDirectory = &yes, a.Email, a.directory()
	if a.Directory != "" && a.directory() != a.Directory {
		x.errorf("web.tls.acme.staging", "remove one of them", "directory is set, too")
	}
	if a.KeyType != "" {
		x.errorf("web.tls.acme.key_type", "remove it", "%s chooses the type of the key", x.server().Name)
	}
	from = maps.Clone(from)
	from["acme"], from["acme_email"], from["acme_directory"] = "web.tls.acme", "web.tls.acme.email", "web.tls.acme.directory"
	later(site, x.web.ServerName)
	x.add(engine.Part{
		Name: "tls_site", Type: x.web.Server + "_site", Data: &Certificate{x.web.ServerName}, DependsOn: []string{"openssl", "site"}, State: site,
	}, from)
}

// later makes a site the one over HTTPS, which serves the trees of the one over HTTP.
func later(site *resources.Site, name string) {
	site.Name += "-tls"
	site.Address, site.Default, site.Listen, site.Aliases = "", nil, nil, nil
	site.HTTP, site.TreesOf = "off", name
}

// secureSite adds the certificate, and the site over HTTPS. Both come after everything else was
// committed: until the CA has issued the certificate, the site serves HTTP alone.
func (x *expansion) secureSite(site *resources.Site, from map[string]string) {
	a := x.web.TLS.ACME
	var domains []string
	for _, name := range x.serverNames() {
		if isHostName(name) {
			domains = append(domains, name)
		}
	}
	x.add(engine.Part{
		Name: "certificate", Type: "certificate", Data: &Certificate{x.web.ServerName}, DependsOn: []string{"certbot", "acme_webroot", "site"},
		State: &resources.Certificate{
			Name: x.web.ServerName, Domains: domains, Email: a.Email, Webroot: acmeWebroot, Directory: a.Directory, Staging: a.Staging, KeyType: a.KeyType,
		},
	}, map[string]string{
		"name": "web.server_name", "domains": "web.server_aliases", "email": "web.tls.acme.email", "directory": "web.tls.acme.directory",
		"staging": "web.tls.acme.staging", "key_type": "web.tls.acme.key_type",
	})
	later(site, x.web.ServerName)
	x.add(engine.Part{Name: "tls_site", Type: x.web.Server + "_site", DependsOn: []string{"openssl", "certificate", "site"}, State: site}, from)
	x.renewals("tls_site", site)
}
