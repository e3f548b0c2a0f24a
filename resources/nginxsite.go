package resources

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// NginxSite is a site of static files that nginx serves: a file with one server in
// /etc/nginx/conf.d. An apply succeeds only if "nginx -t" accepts the file without a warning and
// nginx then answers with the new configuration. The plan refuses a port that another program
// holds. The site starts or reloads nginx by itself: a service for nginx comes after it, and its
// reload_on need not list the site's file.
type NginxSite struct {
	// Name is the name of the file in /etc/nginx/conf.d, without .conf: letters, digits, _ and -.
	// Sites with a server name in common on one port are one site, with the file of the first.
	Name       string   `hcl:"name" id:"true" join:"first"`
	ServerName []string `hcl:"server_name" join:"merge"` // host names, *.NAME, and IP addresses
	// Listen has what nginx listens on: PORT, ADDRESS:PORT or [ADDRESS]:PORT; default: 80, and [::]:80
	// on hosts with IPv6.
	Listen []string `hcl:"listen,optional"`
	// Root is the absolute path of the directory at /. If not set, only Aliases are served.
	Root string `hcl:"root,optional"`
	// Address is the address of the host. If Default is true, it is another name of the site.
	Address string `hcl:"address,optional"`
	// Default is whether the site answers for Address. By default, a new site does if nothing else on
	// the host does; that is decided once, at the first apply.
	Default *bool `hcl:"default,optional" remember:"default"`
	// Aliases maps URL paths, which begin and end with /, to absolute paths of directories.
	Aliases map[string]string `hcl:"aliases,optional" join:"merge"`
	// TreesOf is a server name of other sites on the host. Their aliases are served as well.
	TreesOf   string `hcl:"trees_of,optional"`
	Autoindex *bool  `hcl:"autoindex,optional"` // whether to list directories; default: true
	// Header and Footer are absolute paths of HTML files that nginx puts before and after each listing
	// and each other page of HTML.
	Header string `hcl:"header,optional"`
	Footer string `hcl:"footer,optional"`
	// Page is the absolute path of the HTML file at /; default: trees, which is a list of the aliases,
	// unless a directory is there. "" disables it.
	Page *string `hcl:"page,optional"`

	// Certificate is the absolute path of a PEM file with a certificate and its chain. With it, the
	// site serves HTTPS.
	Certificate    string `hcl:"certificate,optional"`
	CertificateKey string `hcl:"certificate_key,optional"` // absolute path of the certificate's private key
	// TLSListen is as Listen, for HTTPS; default: 443, and [::]:443 on hosts with IPv6.
	TLSListen []string `hcl:"tls_listen,optional"`
	// HTTP is what the site does on Listen if it has a certificate: serve (default), redirect to
	// HTTPS, or off.
	HTTP  string `hcl:"http,optional"`
	HTTP2 *bool  `hcl:"http2,optional"` // whether HTTPS offers HTTP/2; default: true
	HTTP3 *bool  `hcl:"http3,optional"` // whether HTTPS offers HTTP/3, which needs nginx 1.25; default: false

	Headers map[string]string `hcl:"headers,optional" join:"merge"` // headers of every response
	// Cache is whether responses say how long they may be cached: packages for a year, files that
	// list what is new only with a check; default: true.
	Cache    *bool `hcl:"cache,optional"`
	Compress *bool `hcl:"compress,optional"` // whether text is compressed with gzip; default: true
	// AccessLog is the absolute path of the access log, or "off"; default: that of nginx.
	AccessLog string `hcl:"access_log,optional"`
	LogFormat string `hcl:"log_format,optional"` // the line of a request, with nginx's variables; default: combined
	// AnonymizeLog is whether the access log has only the network of a client: a /24 of IPv4, a /48 of
	// IPv6.
	AnonymizeLog *bool `hcl:"anonymize_log,optional"`
	// MaxConnections is how many requests of one address are served at a time.
	MaxConnections *int   `hcl:"max_connections,optional"`
	Rate           string `hcl:"rate,optional"`   // bytes per second of a connection, such as 500k or 20m
	Robots         string `hcl:"robots,optional"` // the text of /robots.txt
	Health         string `hcl:"health,optional"` // URL path that answers "ok", for monitoring
	// Redirects maps URL paths to the URLs or URL paths that they redirect to.
	Redirects map[string]string `hcl:"redirects,optional" join:"merge"`
	// Webroot is the absolute path of a directory in which an ACME client answers challenges, below
	// .well-known/acme-challenge.
	Webroot string `hcl:"webroot,optional"`
	Extra   string `hcl:"extra,optional"` // further directives of nginx, for the server block

	// File is the name of the file, of several joined sites that of the first. It stays when that one
	// is removed.
	File string `remember:"file"`
	generatedFile
	// Served is whether nginx answers requests for the site with this configuration, and serves a file
	// from each directory that is not empty.
	Served *bool `plan:"served"`

	decided bool             // wanted: Default is not set, and the host's answers have decided it
	instead bool             // wanted: it replaces the default site of nginx's package
	taken   []engine.Problem `fingerprint:"-"` // wanted: ports that other programs hold
	running bool             // found: nginx runs
	// found: why a directory is not served although the site is.
	treeProblem string   `fingerprint:"-"`
	unverified  string   `fingerprint:"-"` // found: why clients do not trust the certificate
	named       []string // wanted: the names without Address, if that is one of them
	digest      string   // wanted: see siteDigest
	nginx       nginxVersion
}

const (
	nginxDir  = "/etc/nginx/conf.d"
	nginxUnit = "nginx.service"
	// siteMarker is the URL path at which each site answers with the digest of its configuration. That
	// proves that nginx has loaded it: a reload that cannot bind a port reports success and keeps the
	// old configuration.
	siteMarker = "/.well-known/mirrorform-site"
)

type nginxSiteType struct{}

func init() { register("nginx_site", nginxSiteType{}) }

// Complete returns want with defaults and the content of its file.
func (nginxSiteType) Complete(t engine.Target, want *NginxSite) *NginxSite {
	full := *want
	yes := true
	full.File = cmp.Or(full.File, full.Name)
	if len(full.Listen) == 0 && full.HTTP != httpOff {
		full.Listen = everywhere(t, "80")
	}
	if full.Certificate != "" && len(full.TLSListen) == 0 {
		full.TLSListen = everywhere(t, "443")
	}
	if full.nginx == (nginxVersion{}) {
		full.nginx = nginxOf(t.Facts.OS)
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
		full.digest = siteDigest(&full)
		return siteContent(&full), nil
	})
	return &full
}

func orYes(b *bool) *bool {
	if b != nil {
		return b
	}
	return new(true)
}

// Settle decides whether a new site answers for the host's address. An existing site keeps it. It
// also finds ports that other programs hold.
func (nt nginxSiteType) Settle(t engine.Target, want *NginxSite, _ *engine.Record, got engine.Answers) *NginxSite {
	full := *want
	full.instead, full.taken = nt.replacesPackaged(t, want, got), takenPorts(siteListensOn(want), "nginx", got)
	if v, ok := installedNginx(want, got); ok && v != full.nginx {
		full.nginx, full.Content = v, nil
	}
	if !nt.undecided(t, want) {
		return &full
	}
	yes := false
	if unit, err := got.Unit(wire.Query{Verb: wire.AskUnit, Arg: nginxUnit}); err == nil {
		yes = nt.free(want, unit, got) && !slices.ContainsFunc(t.Settled, func(o any) bool { return takesAddress(o, want) })
	}
	full.Default, full.decided = &yes, true
	if !yes && full.named != nil {
		full.ServerName, full.Content = full.named, nil
	}
	return &full
}

// takesAddress reports whether another new site of the same plan answers for want's address.
func takesAddress(other any, want *NginxSite) bool {
	o, ok := other.(*NginxSite)
	return ok && slices.Contains(o.ServerName, want.Address) && slices.ContainsFunc(siteListensOn(o), func(l string) bool { return slices.Contains(siteListensOn(want), l) })
}

// undecided reports whether the host has to be asked about the address.
func (nginxSiteType) undecided(t engine.Target, s *NginxSite) bool {
	return s.Address != "" && s.Default == nil && len(s.ServerName) > 0 && !slices.ContainsFunc(t.Records, func(r engine.Record) bool {
		known, ok := r.State.(*NginxSite)
		return ok && r.Own && cmp.Or(known.File, known.Name) == cmp.Or(s.File, s.Name)
	})
}

func (nginxSiteType) file(s *NginxSite) *managedFile {
	return s.at(nginxDir + "/" + cmp.Or(s.File, s.Name) + ".conf")
}

// Shares implements engine.Sharer: sites with one name on one port are one site.
func (nginxSiteType) Shares() bool { return true }

// Generated implements engine.Generator.
func (nginxSiteType) Generated(*NginxSite) bool { return true }

func (nt nginxSiteType) Keys(_ engine.Target, want *NginxSite) (provides, needs []engine.Key) {
	needs = []engine.Key{engine.PackageKey("nginx"), engine.UnitKey(nginxUnit), engine.PathKey(nginxDir)}
	if want.Certificate != "" {
		needs = append(needs, engine.PackageKey("openssl")) // the helper asks over TLS with it
	}
	paths := []string{want.Root, want.Header, want.Footer, want.Certificate, want.CertificateKey, want.Webroot}
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
	return append([]engine.Key{engine.PathKey(nt.file(want).path)}, siteKeys(want)...), needs
}

// Gathers implements engine.Gatherer.
func (nginxSiteType) Gathers(want *NginxSite) string { return strings.ToLower(want.TreesOf) }

// Named implements engine.Gatherer. A site that gathers itself has no trees of its own to give.
func (nginxSiteType) Named(want *NginxSite) (names []string) {
	if want.TreesOf != "" {
		return nil
	}
	return lower(want.ServerName)
}

// Gather implements engine.Gatherer.
func (nginxSiteType) Gather(want, from *NginxSite) *NginxSite {
	full := *want
	full.Aliases = maps.Clone(from.Aliases)
	if full.Aliases == nil {
		full.Aliases = map[string]string{}
	}
	maps.Copy(full.Aliases, want.Aliases)
	return &full
}

// siteKeys are the names of a site with what it listens on.
func siteKeys(s *NginxSite) (keys []engine.Key) {
	listens := slices.Clip(s.Listen)
	if len(listens) == 0 && s.HTTP != httpOff {
		listens = []string{"80"}
	}
	if s.Certificate != "" {
		tls := s.TLSListen
		if len(tls) == 0 {
			tls = []string{"443"}
		}
		listens = append(listens, tls...)
	}
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

// Loads makes the service come after the site: the file must be valid before nginx starts.
func (nginxSiteType) Loads(engine.Target, *NginxSite) []engine.Key {
	return []engine.Key{engine.UnitKey(nginxUnit)}
}

// Reads has the other files that "nginx -t" reads: they are written before.
func (nginxSiteType) Reads(engine.Target, *NginxSite) []engine.Key {
	return []engine.Key{engine.PathKey("/etc/nginx")}
}

func (nt nginxSiteType) Validate(want *NginxSite) []engine.Problem {
	full := nt.Complete(engine.Target{}, want)
	out := checkEntry(full.Name, nginxDir)
	out = append(out, checkServerNames(full.ServerName)...)
	out = append(out, checkListens("listen", full.Listen)...)
	out = append(out, checkAliases(full.Aliases, full.Root != "")...)
	out = append(out, checkTLS(want)...)
	out = append(out, checkSiteOptions(full)...)
	if full.TreesOf != "" {
		out = append(out, report("trees_of", checkServerName(full.TreesOf))...)
	}
	if full.Root == "" && len(full.Aliases) == 0 && full.TreesOf == "" {
		out = append(out, refusal("root", "the site has no files: neither root nor aliases is set",
			"set root, aliases, or both"))
	}
	if full.Root != "" {
		out = append(out, report("root", checkServed(full.Root))...)
	}
	return out
}

func (nt nginxSiteType) Ask(t engine.Target, want *NginxSite) []wire.Query {
	list := []wire.Query{nt.file(want).query(), {Verb: wire.AskUnit, Arg: nginxUnit}, listenersQuery(siteListensOn(want)...)}
	for _, p := range siteProbes(t, want) {
		list = append(list, p.Query())
	}
	if want.Certificate != "" {
		list = append(list, nginxVersionQuery)
	}
	if nt.undecided(t, want) {
		config, answer, pages := defaultQueries(want)
		list = append(append(list, config, answer), pages...)
	}
	if nt.withoutIPv6(t, want) {
		list = append(list, packagedLink, packagedFile)
	}
	return list
}

// Read compares the file and the answers of nginx. All other attributes are copied from want: their
// differences show in the file's content.
func (nt nginxSiteType) Read(t engine.Target, want *NginxSite, got engine.Answers) (*NginxSite, error) {
	fileQuery := nt.file(want).query()
	want = nt.Complete(t, nt.Settle(t, want, nil, got))
	m, err := nt.file(want).readAs(fileQuery, got)
	if err != nil || m == nil {
		return nil, err
	}
	unit, err := got.Unit(wire.Query{Verb: wire.AskUnit, Arg: nginxUnit})
	if err != nil {
		return nil, err
	}
	have := *want
	served := true
	for _, probe := range siteProbes(t, &have) {
		answer, err := got.HTTP(probe.Query())
		if err != nil {
			return nil, err
		}
		loaded := answer.Status == probe.Status && answer.Body == probe.Body
		if loaded {
			have.treeProblem = cmp.Or(have.treeProblem, answer.Trees)
			have.unverified = cmp.Or(have.unverified, answer.Unverified)
		}
		served = served && loaded && answer.Trees == ""
	}
	have.took(m)
	have.Served, have.running = &served, !stopped(unit)
	return &have, nil
}

func (nt nginxSiteType) Diff(t engine.Target, want, have *NginxSite) []engine.Step {
	if want == nil {
		return nt.remove(have)
	}
	file := nt.file(want)
	if have == nil {
		steps := append(file.steps(nil), siteSteps(t, want)...)
		if want.instead {
			steps = append([]engine.Step{removePackagedSite()}, steps...)
		}
		return steps
	}
	found := nt.file(have)
	if len(found.inTheWay()) > 0 {
		return nil // Check refuses it
	}
	steps := file.steps(found)
	same := found.kind == file.kind && found.holds(file.content)
	if same && (isTrue(have.Served) || !isTrue(want.Served)) {
		return steps // owner, group or mode of the file at most: nginx need not load it again
	}
	return append(steps, siteSteps(t, want)...)
}

// nginxTest checks the whole configuration. A warning about the file or a name of the site is an
// error: nginx only warns of a server name that another site has. Warnings about other sites are
// not.
func nginxTest(want *NginxSite) engine.Step {
	run := &wire.RunOp{Argv: []string{"/usr/sbin/nginx", "-t"}}
	if want != nil {
		run.Refuse, run.About = "[warn]", []string{nginxSiteType{}.file(want).path}
		for _, name := range want.ServerName {
			run.About = append(run.About, `"`+bracketed(name)+`"`)
		}
	}
	return engine.Step{Summary: "check the configuration of nginx", Do: wire.Op{Run: run}, Final: "a check changes nothing"}
}

// nginxLoad makes nginx load the configuration. Its undo runs after the file is restored
// (wire.Do), and so loads the old one.
func nginxLoad() engine.Step {
	return unitStep("reload", nginxUnit, wire.UnitLoad, wire.UnitRestore)
}

// siteSteps are the steps after the file is written.
func siteSteps(t engine.Target, want *NginxSite) []engine.Step {
	steps := []engine.Step{nginxTest(want), nginxLoad()}
	for _, probe := range siteProbes(t, want) {
		steps = append(steps, engine.Step{
			Summary: "verify that nginx serves the site " + want.File + probedBy(probe),
			Do:      wire.Op{Probe: probe},
			Final:   "a check changes nothing",
		})
	}
	return steps
}

// remove removes the file, and reloads nginx if it runs.
func (nt nginxSiteType) remove(have *NginxSite) []engine.Step {
	steps := nt.file(have).remove()
	if len(steps) == 0 || !have.running {
		return steps
	}
	return append(steps, nginxTest(nil), nginxLoad())
}

func (nt nginxSiteType) Check(t engine.Target, want, have *NginxSite) (out []engine.Problem) {
	if want != nil && want.decided && isFalse(want.Default) {
		out = append(out, caution("default",
			fmt.Sprintf("%s: another site or server may answer for %s, so this site answers only for its names", t.Name,
				want.Address),
			"to answer for the address, too, set default = true; to keep it so without this warning, set default = false"))
	}
	if want != nil && isTrue(want.HTTP3) && want.nginx.Installed && !want.nginx.HTTP3 {
		out = append(out, refusal("http3", fmt.Sprintf("%s: nginx %d.%d.%d of this host has no HTTP/3", t.Name, want.nginx.Major, want.nginx.Minor, want.nginx.Patch),
			"remove http3, or install nginx 1.25 or later with ngx_http_v3_module"))
	}
	if want != nil {
		out = append(out, want.taken...)
	}
	if want == nil || have == nil {
		return out
	}
	out = append(out, nt.file(have).check(nt.file(want))...)
	if have.unverified != "" && want.Certificate == have.Certificate {
		out = append(out, caution("certificate", fmt.Sprintf("%s: clients do not trust the certificate of %s: %s", t.Name, probeHost(want), have.unverified),
			"use a certificate of a public CA for this name, with its whole chain"))
	}
	if have.treeProblem != "" {
		out = append(out, engine.Problem{Severity: engine.Warning,
			Summary: "nginx serves the site, but not its files: " + have.treeProblem})
	}
	return out
}

// siteTrees returns what the site serves: URL path, directory, URL path, directory, …
func siteTrees(s *NginxSite) []string {
	var trees []string
	if s.Root != "" {
		trees = append(trees, "/", s.Root)
	}
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		trees = append(trees, url, s.Aliases[url])
	}
	return trees
}
