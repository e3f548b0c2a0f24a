package resources

import (
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
// nginx then answers with the new configuration. The site starts or reloads nginx by itself: a
// service for nginx comes after it, and its reload_on need not list the site's file.
type NginxSite struct {
	// Name is the name of the file in /etc/nginx/conf.d, without .conf: letters, digits, _ and -.
	Name       string   `hcl:"name" id:"true"`
	ServerName []string `hcl:"server_name"` // host names, *.NAME, and IP addresses
	// Listen has what nginx listens on: PORT, ADDRESS:PORT or [ADDRESS]:PORT; default: 80 and [::]:80.
	Listen []string `hcl:"listen,optional"`
	// Root is the absolute path of the directory at /. If not set, only Aliases are served.
	Root string `hcl:"root,optional"`
	// Address is the address of the host. If Default is true, it is another name of the site.
	Address string `hcl:"address,optional"`
	// Default is whether the site answers for Address. By default, a new site does if nothing else on
	// the host does; that is decided once, at the first apply.
	Default *bool `hcl:"default,optional" remember:"default"`
	// Aliases maps URL paths, which begin and end with /, to absolute paths of directories.
	Aliases   map[string]string `hcl:"aliases,optional"`
	Autoindex *bool             `hcl:"autoindex,optional"`  // whether to list directories; default: true
	AccessLog string            `hcl:"access_log,optional"` // absolute path of the access log; default: that of nginx

	generatedFile
	// Served is whether nginx answers requests for the site with this configuration, and serves a file
	// from each directory that is not empty.
	Served *bool `plan:"served"`

	decided bool // wanted: Default is not set, and the host's answers have decided it
	instead bool // wanted: it replaces the default site of nginx's package
	running bool // found: nginx runs
	// found: why a directory is not served although the site is.
	treeProblem string   `fingerprint:"-"`
	named       []string // wanted: the names without Address, if that is one of them
	digest      string   // wanted: see siteDigest
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
func (nginxSiteType) Complete(_ engine.Target, want *NginxSite) *NginxSite {
	full := *want
	yes := true
	if len(full.Listen) == 0 {
		full.Listen = []string{"80", "[::]:80"}
	}
	if full.Address != "" && !isFalse(full.Default) && !slices.Contains(full.ServerName, full.Address) {
		full.named, full.ServerName = full.ServerName, append(slices.Clip(full.ServerName), full.Address)
	}
	if full.Autoindex == nil {
		full.Autoindex = &yes
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

// Settle decides whether a new site answers for the host's address. An existing site keeps it.
func (nt nginxSiteType) Settle(t engine.Target, want *NginxSite, _ *engine.Record, got engine.Answers) *NginxSite {
	full := *want
	full.instead = nt.replacesPackaged(t, want, got)
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
	return ok && slices.Contains(o.ServerName, want.Address) && slices.ContainsFunc(o.Listen, func(l string) bool { return slices.Contains(want.Listen, l) })
}

// undecided reports whether the host has to be asked about the address.
func (nginxSiteType) undecided(t engine.Target, s *NginxSite) bool {
	return s.Address != "" && s.Default == nil && len(s.ServerName) > 0 && !slices.ContainsFunc(t.Records, func(r engine.Record) bool {
		known, ok := r.State.(*NginxSite)
		return ok && r.Own && known.Name == s.Name
	})
}

func (nginxSiteType) file(s *NginxSite) *managedFile { return s.at(nginxDir + "/" + s.Name + ".conf") }

// Generated implements engine.Generator.
func (nginxSiteType) Generated(*NginxSite) bool { return true }

func (nt nginxSiteType) Keys(_ engine.Target, want *NginxSite) (provides, needs []engine.Key) {
	needs = []engine.Key{engine.PackageKey("nginx"), engine.UnitKey(nginxUnit), engine.PathKey(nginxDir)}
	served := []string{want.Root}
	for _, dir := range want.Aliases {
		served = append(served, dir)
	}
	if want.AccessLog != "" {
		served = append(served, path.Dir(want.AccessLog))
	}
	for _, dir := range sorted(served) {
		if dir != "" {
			needs = append(needs, engine.PathKey(dir))
		}
	}
	return []engine.Key{engine.PathKey(nt.file(want).path)}, needs
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
	out = append(out, checkListens(full.Listen)...)
	out = append(out, checkAliases(full.Aliases, full.Root != "")...)
	if full.Root == "" && len(full.Aliases) == 0 {
		out = append(out, refusal("root", "the site has no files: neither root nor aliases is set",
			"set root, aliases, or both"))
	}
	if full.Root != "" {
		out = append(out, report("root", checkServed(full.Root))...)
	}
	if full.AccessLog != "" {
		out = append(out, report("access_log", checkServed(full.AccessLog))...)
	}
	return out
}

func (nt nginxSiteType) queries(s *NginxSite) (file, served, unit wire.Query) {
	probe := siteProbe(s)
	served = wire.Query{Verb: wire.AskHTTP, Arg: probe.Address, Args: append([]string{probe.Host, probe.Path}, probe.Trees...)}
	return nt.file(s).query(), served, wire.Query{Verb: wire.AskUnit, Arg: nginxUnit}
}

func (nt nginxSiteType) Ask(t engine.Target, want *NginxSite) []wire.Query {
	file, served, unit := nt.queries(want)
	list := []wire.Query{file, served, unit}
	if nt.undecided(t, want) {
		config, answer, pages := defaultQueries(want)
		list = append(append(list, config, answer), pages...)
	}
	if nt.withoutIPv6(t, want) {
		list = append(list, packagedLink, packagedFile)
	}
	return list
}

// Read compares the file and the answer of nginx. All other attributes are copied from want: their
// differences show in the file's content.
func (nt nginxSiteType) Read(t engine.Target, want *NginxSite, got engine.Answers) (*NginxSite, error) {
	fileQuery, servedQuery, unitQuery := nt.queries(want)
	want = nt.Complete(t, nt.Settle(t, want, nil, got))
	m, err := nt.file(want).readAs(fileQuery, got)
	if err != nil || m == nil {
		return nil, err
	}
	answer, err := got.HTTP(servedQuery)
	if err != nil {
		return nil, err
	}
	unit, err := got.Unit(unitQuery)
	if err != nil {
		return nil, err
	}
	have := *want
	probe := siteProbe(&have)
	loaded := answer.Status == probe.Status && answer.Body == probe.Body
	served := loaded && answer.Trees == ""
	if loaded {
		have.treeProblem = answer.Trees
	}
	have.took(m)
	have.Served, have.running = &served, !stopped(unit)
	return &have, nil
}

func (nt nginxSiteType) Diff(_ engine.Target, want, have *NginxSite) []engine.Step {
	if want == nil {
		return nt.remove(have)
	}
	file := nt.file(want)
	if have == nil {
		steps := append(file.steps(nil), siteSteps(want)...)
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
	return append(steps, siteSteps(want)...)
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
func siteSteps(want *NginxSite) []engine.Step {
	return []engine.Step{nginxTest(want), nginxLoad(), {
		Summary: "verify that nginx serves the site " + want.Name,
		Do:      wire.Op{Probe: siteProbe(want)},
		Final:   "a check changes nothing",
	}}
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
	if want == nil || have == nil {
		return out
	}
	out = append(out, nt.file(have).check(nt.file(want))...)
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

// siteProbe returns a request that only the current configuration of the site answers with its
// digest.
func siteProbe(s *NginxSite) *wire.ProbeOp {
	host := "localhost"
	if len(s.ServerName) > 0 {
		host = s.ServerName[0]
		for _, name := range s.ServerName {
			if !strings.HasPrefix(name, "*.") {
				host = name
				break
			}
		}
	}
	return &wire.ProbeOp{
		Address: probeAddress(s.Listen), Host: bracketed(strings.Replace(host, "*", "mirrorform", 1)), Path: siteMarker,
		Status: 200, Body: s.digest, Timeout: 10, Trees: siteTrees(s),
	}
}
