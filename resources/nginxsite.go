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

// NginxSite is a site of static files that nginx serves: a file of /etc/nginx/conf.d with one
// server. It is applied only when "nginx -t" takes it without a warning and nginx then really
// answers with it. It reloads nginx itself, or starts it: a service nginx comes after it, as it may
// not start before the file is written, and does not follow its file.
type NginxSite struct {
	Name       string   `hcl:"name" id:"true"`  // the file in /etc/nginx/conf.d, without .conf: letters, digits, _ and -
	ServerName []string `hcl:"server_name"`     // host names, *.NAME, and IP addresses
	Listen     []string `hcl:"listen,optional"` // PORT, ADDRESS:PORT or [ADDRESS]:PORT; 80 and [::]:80 by default
	Root       string   `hcl:"root,optional"`   // absolute path of the directory at /; without it, only Aliases are served
	// Address is the host's address. It is a further name of the site where Default is true.
	Address string `hcl:"address,optional"`
	// Default tells whether the site answers for Address. By default a new site does where nothing
	// else on the host does; that is decided once.
	Default *bool `hcl:"default,optional" remember:"default"`
	// Aliases maps URL paths, which begin and end with /, to absolute paths of directories.
	Aliases   map[string]string `hcl:"aliases,optional"`
	Autoindex *bool             `hcl:"autoindex,optional"`  // lists directories: true by default
	AccessLog string            `hcl:"access_log,optional"` // absolute path; nginx's own by default

	generatedFile
	// Served tells whether nginx answers requests for the site with this configuration, and with a
	// file of each directory that has any.
	Served *bool `plan:"served"`

	decided bool // wanted: what the host answers has decided about Default
	instead bool // wanted: it comes instead of the site of nginx's package
	running bool // found: nginx runs
	// found: why a tree is not served, where the site is.
	treeProblem string   `fingerprint:"-"`
	named       []string // wanted: the names without Address, where that is one
	digest      string   // wanted: see siteDigest
}

const (
	nginxDir  = "/etc/nginx/conf.d"
	nginxUnit = "nginx.service"
	// siteMarker is a URL path at which each site answers with the digest of its own configuration: the only sign that
	// nginx has loaded it, since a reload that fails to bind a port reports success and keeps the old one.
	siteMarker = "/.well-known/mirrorform-site"
)

type nginxSiteType struct{}

func init() { register("nginx_site", nginxSiteType{}) }

// Complete returns want with its defaults and the file that comes of it.
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

// Settle decides whether the site answers for the host's address. One that an earlier version made
// goes on doing so.
func (nt nginxSiteType) Settle(t engine.Target, want *NginxSite, _ *engine.Record, got engine.Answers) *NginxSite {
	full := *want
	full.instead = nt.replacesPackaged(t, want, got)
	if !nt.undecided(t, want) {
		return &full
	}
	yes := false
	if unit, err := got.Unit(wire.Query{Verb: wire.AskUnit, Arg: nginxUnit}); err == nil {
		yes = nt.free(want, unit, got)
	}
	full.Default, full.decided = &yes, true
	if !yes && full.named != nil {
		full.ServerName, full.Content = full.named, nil
	}
	return &full
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

// Loads makes the service come after the site: what the file says must be right before nginx
// starts.
func (nginxSiteType) Loads(engine.Target, *NginxSite) []engine.Key {
	return []engine.Key{engine.UnitKey(nginxUnit)}
}

// Reads is what the check of the configuration reads besides the site.
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
		out = append(out, refusal("root", "nothing is served", "set root, aliases, or both"))
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

// Read takes what is neither the file nor the answer of nginx as wanted: the difference shows in the file's content.
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
		return steps // at most the file's attributes, which nginx does not mind
	}
	return append(steps, siteSteps(want)...)
}

// nginxTest checks the whole configuration. nginx only warns of a server name that is taken
// already. Warnings that are about neither the file nor the names of the site are about other
// sites, and no reason to refuse this one.
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

// nginxLoad lets nginx take the configuration. Its undo comes when the file was put back (wire.Do), and takes the old one.
func nginxLoad() engine.Step {
	return unitStep("reload", nginxUnit, wire.UnitLoad, wire.UnitRestore)
}

// siteSteps are those after the file is in place.
func siteSteps(want *NginxSite) []engine.Step {
	return []engine.Step{nginxTest(want), nginxLoad(), {
		Summary: "see that nginx serves the site " + want.Name,
		Do:      wire.Op{Probe: siteProbe(want)},
		Final:   "a check changes nothing",
	}}
}

// remove takes the file away, and the site out of a nginx that runs.
func (nt nginxSiteType) remove(have *NginxSite) []engine.Step {
	steps := nt.file(have).remove()
	if len(steps) == 0 || !have.running {
		return steps
	}
	return append(steps, nginxTest(nil), nginxLoad())
}

func (nt nginxSiteType) Check(t engine.Target, want, have *NginxSite) (out []engine.Problem) {
	if want != nil && want.decided && isFalse(want.Default) {
		out = append(out, caution("default", fmt.Sprintf("%s: something else may answer for %s, so the site does not", t.Name, want.Address),
			"it is reached by its names; default = true takes the address, default = false says that it is right so"))
	}
	if want == nil || have == nil {
		return out
	}
	out = append(out, nt.file(have).check(nt.file(want))...)
	if have.treeProblem != "" {
		out = append(out, engine.Problem{Severity: engine.Warning, Summary: "nginx answers, but not with the files: " + have.treeProblem})
	}
	return out
}

// siteTrees has what the site serves: URL paths and directories in turn.
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

// siteProbe asks nginx which configuration of the site it serves.
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
