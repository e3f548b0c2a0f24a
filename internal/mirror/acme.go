package mirror

import (
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
		timer = "certbot-renew.timer"
		x.add(engine.Part{Name: "epel", Type: "package", State: &resources.Package{Name: "epel-release"}}, nil)
		after = []string{"epel"}
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
	site.Name += "-tls"
	site.Address, site.Default, site.Listen, site.Aliases = "", nil, nil, nil
	site.HTTP, site.TreesOf = "off", x.web.ServerName
	x.add(engine.Part{Name: "tls_site", Type: x.web.Server + "_site", DependsOn: []string{"openssl", "certificate", "site"}, State: site}, from)
	x.renewals("tls_site", site)
}
