package resources

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Site is a site of static files: the state of the types for all web servers.
type Site struct {
	// Name is the name of the site's file, without its suffix: letters, digits, _ and -.
	// Sites with a server name in common on one port are one site, with the file of the first.
	Name       string   `hcl:"name" id:"true" join:"first"`
	ServerName []string `hcl:"server_name" join:"merge"` // host names, *.NAME, and IP addresses
	// Listen has what the server listens on: PORT, ADDRESS:PORT or [ADDRESS]:PORT; default: 80, and
	// [::]:80 on hosts with IPv6.
	Listen []string `hcl:"listen,optional"`
	// Root is the absolute path of the directory at /. If not set, only Aliases are served.
	Root string `hcl:"root,optional"`
	// Address is the address of the host. If Default is true, it is another name of the site.
	Address string `hcl:"address,optional"`
	// Default is whether the site answers for Address. By default, a new site does if nothing else
	// on the host does; that is decided once, at the first apply.
	Default *bool `hcl:"default,optional" remember:"default"`
	// Aliases maps URL paths, which begin and end with /, to absolute paths of directories.
	Aliases map[string]string `hcl:"aliases,optional" join:"merge"`
	// TreesOf is a server name of other sites on the host. Their aliases are served as well.
	TreesOf   string `hcl:"trees_of,optional"`
	Autoindex *bool  `hcl:"autoindex,optional"` // whether to list directories; default: true
	// Header and Footer are absolute paths of HTML files before and after each listing; nginx puts
	// them around each other page of HTML, too.
	Header string `hcl:"header,optional"`
	Footer string `hcl:"footer,optional"`
	// Listing is the absolute path of a template for listings: an XSLT stylesheet for nginx, a
	// template of file_server for Caddy. Apache has none.
	Listing string `hcl:"listing,optional"`
	// Page is the absolute path of the HTML file at /; default: trees, which is a list of the
	// aliases, unless a directory is there. "" disables it.
	Page *string `hcl:"page,optional"`

	// Certificate is the absolute path of a PEM file with a certificate and its chain. With it, the
	// site serves HTTPS.
	Certificate    string `hcl:"certificate,optional"`
	CertificateKey string `hcl:"certificate_key,optional"` // absolute path of the certificate's private key
	// ACME is whether the server itself gets the certificate from a CA with ACME, and serves HTTPS.
	// Only Caddy does.
	ACME          *bool  `hcl:"acme,optional"`
	ACMEEmail     string `hcl:"acme_email,optional"`     // address for the CA's messages
	ACMEDirectory string `hcl:"acme_directory,optional"` // URL of the CA's directory; default: Let's Encrypt
	// ACMERoot is the absolute path of a PEM file with the CA that signs the directory's own
	// certificate.
	ACMERoot string `hcl:"acme_root,optional"`
	// TLSListen is as Listen, for HTTPS; default: 443, and [::]:443 on hosts with IPv6.
	TLSListen []string `hcl:"tls_listen,optional"`
	// TLSElsewhere is whether another site of the host serves HTTPS for these names on TLSListen, so
	// that this one needs no certificate.
	TLSElsewhere *bool `hcl:"tls_elsewhere,optional"`
	// HTTP is what the site does on Listen if HTTPS is served: serve (default), redirect to HTTPS, or
	// off. With TLSElsewhere, the site serves until the other one is there, and off is only for files:
	// the webroot is served, and other connections are closed without an answer.
	HTTP  string `hcl:"http,optional"`
	HTTP2 *bool  `hcl:"http2,optional"` // whether HTTPS offers HTTP/2; default: true
	HTTP3 *bool  `hcl:"http3,optional"` // whether HTTPS offers HTTP/3; default: false

	Headers map[string]string `hcl:"headers,optional" join:"merge"` // headers of every response
	// Cache is whether responses say how long they may be cached: packages for a year, files that
	// list what is new only with a check; default: true.
	Cache    *bool `hcl:"cache,optional"`
	Compress *bool `hcl:"compress,optional"` // whether text is compressed with gzip; default: true
	// AccessLog is the absolute path of the access log, or "off"; default: that of the server.
	AccessLog string `hcl:"access_log,optional"`
	LogFormat string `hcl:"log_format,optional"` // the line of a request, in the server's syntax; default: combined
	// AnonymizeLog is whether the access log has only the network of a client: a /24 of IPv4, a /48
	// of IPv6.
	AnonymizeLog *bool `hcl:"anonymize_log,optional"`
	// MaxConnections is how many requests of one address are served at a time.
	MaxConnections *int   `hcl:"max_connections,optional"`
	Rate           string `hcl:"rate,optional"`   // bytes per second of a connection, such as 500k or 20m
	Robots         string `hcl:"robots,optional"` // the text of /robots.txt
	Health         string `hcl:"health,optional"` // URL path that answers "ok", for monitoring
	// Redirects maps URL paths to the URLs or URL paths that they redirect to. A path that ends with
	// /* stands for all below it; what follows it is added to the URL.
	Redirects map[string]string `hcl:"redirects,optional" join:"merge"`
	// Webroot is the absolute path of a directory in which an ACME client answers challenges, below
	// .well-known/acme-challenge.
	Webroot string `hcl:"webroot,optional"`
	Extra   string `hcl:"extra,optional"` // further directives of the server, for the site's block

	// File is the name of the file, of several joined sites that of the first. It stays when that
	// one is removed.
	File string `remember:"file"`
	generatedFile
	// Served is whether the server answers requests for the site with this configuration, and
	// serves a file from each directory that is not empty.
	Served *bool `plan:"served"`

	decided bool             // wanted: Default is not set, and the host's answers have decided it
	instead string           // wanted: the file of the package's default site, which it replaces
	shared  []string         // wanted: of TLSListen, those that another site opens for HTTP/3
	opens   []string         // wanted: of what it listens on, what nothing else has the server listen on
	bare    []string         // wanted: ports on which the server answers without any site, see apacheText
	restart bool             // wanted: the server has to restart, see webServer.load
	keyless bool             // wanted: the server's own site has no certificate yet, see apacheOwnKey
	alone   bool             // found: without it, the server listens on nothing and cannot run
	taken   []engine.Problem `fingerprint:"-"` // wanted: ports that other programs hold, and what else the host lacks
	is      serverState      // found, and after Settle wanted
	// found: why a directory is not served although the site is.
	treeProblem string        `fingerprint:"-"`
	unverified  string        `fingerprint:"-"` // found: why clients do not trust the certificate
	named       []string      // wanted: the names without Address, if that is one of them
	digest      string        // wanted: what the site answers at siteMarker
	caddy       caddyHost     // found, and after Settle wanted: what the site needs of Caddy's configuration
	version     serverVersion // wanted: that of the host, see webServer.settle
}

// siteMarker is the URL path at which each site answers with the digest of its configuration. That
// proves that the server has loaded it: a reload that cannot bind a port reports success and keeps
// the old configuration.
const siteMarker = "/.well-known/mirrorform-site"

// siteType is the resource type of a web server's sites.
type siteType struct {
	name   string // of the resource type
	server webServer
}

// Complete returns want with defaults and the content of its file.
func (st siteType) Complete(t engine.Target, want *Site) *Site {
	full := *want
	yes := true
	full.File = cmp.Or(full.File, full.Name)
	if len(full.Listen) == 0 && full.overHTTP() {
		full.Listen = everywhere(t, "80")
	}
	if (full.secure() || isTrue(full.TLSElsewhere)) && len(full.TLSListen) == 0 {
		full.TLSListen = everywhere(t, "443")
	}
	if full.version == (serverVersion{}) {
		full.version = st.server.packaged(t.Facts.OS)
	}
	if full.Address != "" && !isFalse(full.Default) && !slices.Contains(full.ServerName, full.Address) {
		full.named, full.ServerName = full.ServerName, append(slices.Clip(full.ServerName), full.Address)
	}
	full.Autoindex, full.Cache, full.Compress = orYes(full.Autoindex), orYes(full.Cache), orYes(full.Compress)
	if full.Page == nil && full.Root == "" && full.Aliases["/"] == "" {
		page := pageOfTrees
		full.Page = &page
	}
	if full.Served == nil {
		full.Served = &yes
	}
	full.complete(func() (string, error) {
		full.digest = digestOf([]byte(st.server.text(t, &full, "")))
		return header(st.name, full.File) + st.server.text(t, &full, full.digest), nil
	})
	return &full
}

func orYes(b *bool) *bool {
	if b != nil {
		return b
	}
	return new(true)
}

// sitesIn returns those of states that are complete sites of a resource type.
func sitesIn(states []any, kind string) (sites []*Site) {
	for _, o := range states {
		if s, ok := o.(*Site); ok && s.Content != nil && strings.HasPrefix(*s.Content, header(kind, s.File)) {
			sites = append(sites, s)
		}
	}
	return sites
}

// wantsSites reports whether the plan wants sites of a resource type.
func wantsSites(t engine.Target, kind string) bool {
	return len(sitesIn(t.Settled, kind))+len(sitesIn(t.Unsettled, kind)) > 0
}

// Settle decides whether a new site answers for the host's address. An existing site keeps it. It
// also finds ports that other programs hold.
func (st siteType) Settle(t engine.Target, want *Site, _ *engine.Record, got engine.Answers) *Site {
	full := *want
	facts := st.server.facts(t)
	full.taken = takenPorts(t, "", siteListensOn(want), facts, got)
	if isTrue(want.HTTP3) {
		full.taken = append(full.taken, takenPorts(t, wire.UDP, want.TLSListen, facts, got)...)
	}
	unit, err := got.Unit(facts.unitQuery())
	full.is = stateOf(unit)
	st.server.settle(t, &full, got)
	if full.version != want.version || !slices.Equal(full.shared, want.shared) {
		full.Content = nil
	}
	if st.undecided(t, want) {
		promised := st.promised(t, want)
		yes := err == nil && !promised && st.server.free(t, want, unit, got)
		full.Default, full.decided = &yes, !promised
	} else {
		full.Default = st.inherited(t, want)
	}
	if isFalse(full.Default) && full.named != nil {
		full.ServerName, full.named, full.Content = full.named, nil, nil
	}
	return &full
}

// promised reports whether another site of the same plan answers for want's address: one that was
// decided before, or one that comes later and needs no decision, since it has the address already,
// or its configuration or one of its names says so.
func (st siteType) promised(t engine.Target, want *Site) bool {
	return slices.ContainsFunc(t.Settled, func(o any) bool { return takesAddress(o, want) }) ||
		slices.ContainsFunc(t.Unsettled, func(o any) bool {
			later, ok := o.(*Site)
			return ok && (later.named == nil || !st.undecided(t, later)) && takesAddress(later, want)
		})
}

// takesAddress reports whether another site answers for want's address.
func takesAddress(other any, want *Site) bool {
	o, ok := other.(*Site)
	return ok && slices.Contains(o.ServerName, want.Address) && slices.ContainsFunc(siteListensOn(o), func(l string) bool { return slices.Contains(siteListensOn(want), l) })
}

// undecided reports whether the host has to be asked about the address.
func (st siteType) undecided(t engine.Target, s *Site) bool {
	known, former := st.recorded(t, s)
	return s.Address != "" && s.Default == nil && len(s.ServerName) > 0 && known == nil && (former == nil || former.Default == nil)
}

// inherited returns what decides about the address if the host is not asked: the site's own
// attribute, or what was decided for the same site of another web server, which this one replaces.
func (st siteType) inherited(t engine.Target, s *Site) *bool {
	known, former := st.recorded(t, s)
	if s.Default != nil || s.Address == "" || known != nil || former == nil {
		return s.Default
	}
	return former.Default
}

// recorded returns the site as the manifest has it, and the same site of another web server.
func (st siteType) recorded(t engine.Target, s *Site) (known, former *Site) {
	for _, r := range t.Records {
		site, ok := r.State.(*Site)
		switch {
		case !ok || !r.Own || cmp.Or(site.File, site.Name) != cmp.Or(s.File, s.Name):
		case r.Type == st.name:
			known = site
		default:
			former = site
		}
	}
	return known, former
}

func (st siteType) file(t engine.Target, s *Site) *managedFile {
	facts := st.server.facts(t)
	m := s.at(facts.siteFile(cmp.Or(s.File, s.Name)))
	m.parents = facts.Makes
	return m
}

// Later implements engine.Later: a CA may be down.
func (siteType) Later(want *Site) bool { return isTrue(want.ACME) }

// Shares implements engine.Sharer: sites with one name on one port are one site.
func (siteType) Shares() bool { return true }

// Generated implements engine.Generator.
func (siteType) Generated(*Site) bool { return true }

func (st siteType) Keys(t engine.Target, want *Site) (provides, needs []engine.Key) {
	facts := st.server.facts(t)
	needs = []engine.Key{engine.PackageKey(facts.Package), engine.UnitKey(facts.Unit), engine.PathKey(facts.Sites)}
	if want.secure() {
		needs = append(needs, engine.PackageKey("openssl")) // the helper asks over TLS with it
	}
	paths := []string{want.Root, want.Header, want.Footer, want.Listing, want.Certificate, want.CertificateKey, want.Webroot}
	for _, dir := range want.Aliases {
		paths = append(paths, dir)
	}
	if path.IsAbs(want.AccessLog) {
		paths = append(paths, path.Dir(want.AccessLog))
	}
	if want.Page != nil && path.IsAbs(*want.Page) {
		paths = append(paths, *want.Page)
	}
	for _, p := range sorted(paths) {
		if p != "" {
			needs = append(needs, engine.PathKey(p))
		}
	}
	return append([]engine.Key{engine.PathKey(st.file(t, want).path)}, siteKeys(want)...), needs
}

// Gathers implements engine.Gatherer.
func (siteType) Gathers(want *Site) string { return strings.ToLower(want.TreesOf) }

// Named implements engine.Gatherer. A site that gathers itself has no trees of its own to give.
func (siteType) Named(want *Site) (names []string) {
	if want.TreesOf != "" {
		return nil
	}
	return lower(want.ServerName)
}

// Gather implements engine.Gatherer.
func (siteType) Gather(want, from *Site) *Site {
	full := *want
	full.Aliases = maps.Clone(from.Aliases)
	if full.Aliases == nil {
		full.Aliases = map[string]string{}
	}
	maps.Copy(full.Aliases, want.Aliases)
	return &full
}

// secure reports whether the site serves HTTPS.
func (s *Site) secure() bool { return s.Certificate != "" || isTrue(s.ACME) }

// keyListens returns what the server listens on for a site that is not completed.
func keyListens(s *Site) []string {
	listens := slices.Clip(s.Listen)
	if len(listens) == 0 && s.overHTTP() {
		listens = []string{"80"}
	}
	if s.secure() {
		listens = append(listens, s.overTLS()...)
	}
	return listens
}

// Occupies implements engine.Occupier: two servers cannot listen on one port.
func (siteType) Occupies(_ engine.Target, want *Site) (keys []engine.Key) {
	for _, l := range keyListens(want) {
		if _, port, err := parseListen(l); err == nil { // Validate reports it otherwise
			keys = append(keys, engine.Key("port:"+port))
		}
	}
	return keys
}

// Claims implements engine.Claimer: of the sites that answer for the host's address on a port, one
// can be the default. Two that have a name in common are one site.
func (siteType) Claims(want *Site) (what []string, advice string) {
	if !isTrue(want.Default) || want.Address == "" {
		return nil, ""
	}
	for _, l := range keyListens(want) {
		_, port, err := parseListen(l)
		claim := "the default site for " + want.Address + " on port " + port
		if err == nil && !slices.Contains(what, claim) {
			what = append(what, claim)
		}
	}
	return what, "Remove default = true from one of them."
}

// siteKeys are the names of a site with what it listens on.
func siteKeys(s *Site) []engine.Key { return siteKeysOn(s, keyListens(s)) }

// siteKeysOn are the names of a site with each of the listens.
func siteKeysOn(s *Site, listens []string) (keys []engine.Key) {
	for _, l := range listens {
		address, port, err := parseListen(l)
		if err != nil {
			continue // Validate reports it
		}
		if isWild(address) {
			address = ""
		} else {
			address += ":"
		}
		names := s.ServerName
		if len(names) == 0 {
			names = []string{s.Address}
		}
		for _, name := range names {
			key := engine.Key("site:" + strings.ToLower(bracketed(strings.Trim(name, "[]"))) + " on " + address + port)
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// Loads makes the service come after the site: the file must be valid before the server starts.
func (st siteType) Loads(t engine.Target, _ *Site) []engine.Key {
	return []engine.Key{engine.UnitKey(st.server.facts(t).Unit)}
}

// Reads has the other files that the server's check reads: they are written before.
func (st siteType) Reads(t engine.Target, _ *Site) []engine.Key {
	return []engine.Key{engine.PathKey(st.server.facts(t).Config)}
}
