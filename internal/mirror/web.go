package mirror

import (
	"cmp"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// webAddress returns the address of a host as browsers send it (RFC 3986, section 3.2.2), or "" if
// it is neither a host name nor an IP address.
func webAddress(address string) string {
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	switch {
	case err == nil && ip.Zone() != "":
		return ""
	case err == nil && ip.Is6() && !ip.Is4In6():
		return "[" + ip.String() + "]"
	case err == nil:
		return ip.Unmap().String()
	case isHostName(address):
		return strings.ToLower(address)
	}
	return ""
}

// noServer is the value of web.server for a mirror without one.
const noServer = "none"

// server returns where the web server is on the host.
func (m *mirror) server() resources.ServerFacts {
	return resources.WebServer(m.web.Server, m.host.Target)
}

// ofServer returns the name of a part that belongs to one web server, so that it goes with that
// one. Those of nginx had their names before there were others.
func (m *mirror) ofServer(part string) string {
	if m.web.Server == "nginx" {
		return part
	}
	return m.web.Server + "_" + part
}

// site adds the web server, and the site that serves all trees.
func (x *expansion) site() {
	for i, alias := range x.web.ServerAliases {
		if alias == "" {
			x.errorf("web.server_aliases", "remove it", "alias %d is empty", i+1)
		}
	}
	if x.web.Server == noServer {
		return
	}
	if x.web.Site == "join" {
		x.joined()
		return
	}
	names, address := x.serverNames(), webAddress(x.host.Address)
	if slices.ContainsFunc(names, func(name string) bool { return cmp.Or(webAddress(name), name) == address }) {
		address = ""
	}
	if len(names) == 0 && address == "" {
		x.errorf("web.server_name", "set web.server_name",
			"the site has no name: the address of the host, %q, is neither a host name nor an IP address", x.host.Address)
		return
	}
	x.webServer()
	x.openings()
	aliases, directories, served := x.trees()
	depends := append([]string{x.web.Server}, directories...)
	named := "web.server_name"
	if w := strings.TrimPrefix(x.web.ServerName, "*."); w == "" || isHostName(w) {
		named = "web.server_aliases" // server_name is valid, so an error is about an alias
	}
	advice := map[string]string{}
	if strings.Contains(x.web.ServerName, `["`) {
		advice["server_name"] = "names of hosts in a group have brackets and quotes: use target.key, which is only the key"
	}
	site := x.siteState(names, aliases)
	site.Address = address
	from := maps.Clone(siteAttributes)
	from["server_name"], from["aliases"] = named, served
	if x.web.TLS != nil {
		x.add(engine.Part{Name: "openssl", Type: "package", State: &resources.Package{Name: "openssl"}}, nil)
		depends = append(depends, "openssl")
	}
	acme := x.web.TLS != nil && x.web.TLS.ACME != nil
	if acme {
		secure := *site
		site.TLSElsewhere = new(true)
		if x.server().ACME {
			defer func() { x.ownACME(&secure, from) }()
		} else {
			x.certbot()
			depends = append(depends, "acme_webroot")
			site.Webroot = acmeWebroot
			defer func() { x.secureSite(&secure, from) }()
		}
		depends = append(depends, x.modules(&secure)...)
		site.Certificate, site.CertificateKey, site.HTTP2, site.HTTP3 = "", "", nil, nil
	}
	depends = append(depends, x.modules(site)...)
	x.add(engine.Part{Name: "site", Type: x.web.Server + "_site", DependsOn: append(depends, x.existing("mount")...), State: site}, from)
	x.parts[len(x.parts)-1].advice = advice
	if x.web.TLS != nil && !acme {
		x.renewals("site", site)
	}
}

// webServer adds the web server.
func (x *expansion) webServer() {
	server, yes := x.server(), true
	var after []string
	if server.EPEL && x.family() == "el" {
		after = x.epel()
	}
	x.add(engine.Part{Name: x.web.Server, Type: "package", DependsOn: after, State: &resources.Package{Name: server.Package}}, nil)
	x.add(engine.Part{
		Name: x.web.Server + "_service", Type: "service", DependsOn: []string{x.web.Server},
		State: &resources.Service{Name: strings.TrimSuffix(server.Unit, ".service"), Enabled: &yes, Running: &yes},
	}, nil)
}

// trees returns what the site serves, by URL path, the parts of the directories, and the attribute
// of the block that a problem of a directory is about.
func (x *expansion) trees() (aliases map[string]string, directories []string, attribute string) {
	aliases, attribute = map[string]string{}, "storage.path"
	for _, j := range x.jobs {
		if strings.Contains(j.dir, "$") { // a server would read a variable: the error belongs to this path
			attribute = j.dirAttribute
		}
		aliases[j.location] = j.dir
		directories = append(directories, x.existing(j.part("directory"), j.part("selinux"))...)
	}
	return aliases, directories, attribute
}

// siteAttributes are the attributes of the block that set those of a site, besides its names and
// trees.
var siteAttributes = map[string]string{
	"listen": "web.port", "default": "web.default", "http": "web.http", "headers": "web.headers", "cache": "web.cache", "compress": "web.compress",
	"page": "web.page", "header": "web.header", "footer": "web.footer", "listing": "web.listing", "robots": "web.robots", "health": "web.health",
	"redirects": "web.redirects", "extra": "web.extra", "certificate": "web.tls.certificate", "certificate_key": "web.tls.key",
	"tls_listen": "web.tls.port", "http2": "web.tls.http2", "http3": "web.tls.http3", "access_log": "web.log.path",
	"log_format": "web.log.format", "anonymize_log": "web.log.anonymize", "max_connections": "web.limits.connections", "rate": "web.limits.rate",
}

// joined adds the trees to a site that the operator keeps.
func (x *expansion) joined() {
	aliases, directories, served := x.trees()
	depends := append(x.existing("mount"), directories...)
	depends = append(depends, x.modules(&resources.Site{Compress: new(false)})...)
	dir, snippets, ofSite := x.server().Snippets, x.ofServer("snippets"), x.ofServer("site_snippets")
	root := func(path string) *resources.Directory {
		return &resources.Directory{Path: path, Owner: "root", Group: "root", Mode: "0755"}
	}
	x.add(engine.Part{Name: "openssl", Type: "package", State: &resources.Package{Name: "openssl"}}, nil)
	x.add(engine.Part{Name: snippets, Type: "directory", State: root(dir)}, nil)
	x.add(engine.Part{
		Name: ofSite, Type: "directory", DependsOn: []string{snippets}, State: root(dir + "/" + strings.ToLower(x.web.ServerName)),
	}, nil)
	x.add(engine.Part{
		Name: "snippet", Type: x.web.Server + "_snippet", DependsOn: append(depends, "openssl", ofSite),
		State: &resources.Snippet{Name: x.jobs[0].file, ServerName: x.web.ServerName, Aliases: aliases},
	}, map[string]string{"server_name": "web.server_name", "aliases": served})
}

// siteState returns the site with what the block sets. What it does not set stays unset, so that
// another block of the same site can.
func (m *mirror) siteState(names []string, aliases map[string]string) *resources.Site {
	w := m.web
	s := &resources.Site{
		Name: m.jobs[0].file, ServerName: names, Aliases: aliases, Default: w.Default, HTTP: w.HTTP, Headers: w.Headers, Cache: w.Cache, Compress: w.Compress,
		Page: w.Page, Header: w.Header, Footer: w.Footer, Listing: w.Listing, Robots: w.Robots, Health: w.Health, Redirects: w.Redirects, Extra: w.Extra,
	}
	if m.spec.Web != nil && (w.HTTP != "off" || w.TLS != nil && w.TLS.ACME != nil) {
		s.Listen = m.listens(m.spec.Web.Port, "80")
	}
	if t := w.TLS; t != nil {
		s.Certificate, s.CertificateKey, s.HTTP2, s.HTTP3 = m.certificateFile(), t.Key, t.HTTP2, t.HTTP3
		if t.ACME != nil {
			s.CertificateKey = "/etc/letsencrypt/live/" + w.ServerName + "/privkey.pem"
		}
		s.TLSListen = m.listens(t.Port, "443")
	}
	if l := w.Log; l != nil {
		s.AccessLog, s.LogFormat, s.AnonymizeLog = l.Path, l.Format, l.Anonymize
		if l.Off != nil && *l.Off {
			s.AccessLog = "off"
		}
	}
	if l := w.Limits; l != nil {
		s.MaxConnections, s.Rate = l.Connections, l.Rate
	}
	return s
}

// certificateFile returns the path of the site's certificate and its chain, or "" without HTTPS.
func (m *mirror) certificateFile() string {
	switch t := m.web.TLS; {
	case t == nil || m.web.Server == noServer:
		return ""
	case t.ACME != nil && m.server().ACME:
		return resources.CaddyCertificate(t.ACME.directory(), m.web.ServerName)
	case t.ACME != nil:
		return "/etc/letsencrypt/live/" + m.web.ServerName + "/fullchain.pem"
	default:
		return t.Certificate
	}
}

// listens returns what the site listens on, or nil if the block sets neither port nor ipv6.
func (m *mirror) listens(port *int, usual string) []string {
	if port == nil && m.web.IPv6 == nil {
		return nil
	}
	listen := []string{usual}
	if port != nil {
		listen[0] = strconv.Itoa(*port)
	}
	facts := m.host.Target.Facts
	if m.web.IPv6 == nil && (facts.IPv6 || facts.Kernel == "") || m.web.IPv6 != nil && *m.web.IPv6 {
		listen = append(listen, "[::]:"+listen[0])
	}
	return listen
}

// renewals adds the units that make the web server load a certificate that something else has
// renewed. A client replaces certificate and key one after the other, and systemd sees no change
// while the service runs: so that waits until both are there.
func (x *expansion) renewals(part string, site *resources.Site) {
	server := x.server()
	reload := "mirrorform-" + x.web.Server + "-reload.service"
	unit := "mirrorform-certificate-" + x.name + ".path"
	load := x.ofServer("certificate_reload")
	x.add(engine.Part{Name: load, Type: "file", State: systemdUnit(reload, `[Unit]
Description=Load a renewed certificate into `+server.Name+`

[Service]
Type=oneshot
ExecStartPre=/bin/sleep 5
ExecStart=`+server.Test+`
ExecStart=`+server.Reload+`
`)}, nil)
	x.add(engine.Part{Name: "certificate_watch", Type: "file", State: systemdUnit(unit, `[Unit]
Description=Watch the certificate of the mirror `+x.name+`

[Path]
`+watched(site.Certificate, site.CertificateKey)+`Unit=`+reload+`

[Install]
WantedBy=multi-user.target
`)}, nil)
	yes := true
	x.add(engine.Part{
		Name: "certificate_watch_service", Type: "service", DependsOn: []string{load, "certificate_watch", part},
		State: &resources.Service{Name: unit, Enabled: &yes, Running: &yes, RestartOn: []string{"/etc/systemd/system/" + unit}},
	}, nil)
}

// watched returns lines for systemd.path(5). Of a file, systemd misses that a link was replaced, as
// certbot does, so the directories are watched as well.
func watched(files ...string) string {
	lines := map[string]bool{}
	for _, f := range files {
		lines["PathChanged="+f+"\n"], lines["PathChanged="+path.Dir(f)+"\n"] = true, true
	}
	return strings.Join(slices.Sorted(maps.Keys(lines)), "")
}

func systemdUnit(name, text string) *resources.File {
	return &resources.File{
		Path: "/etc/systemd/system/" + name, Content: &text, Owner: "root", Group: "root", Mode: "0644",
	}
}
