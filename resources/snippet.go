package resources

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Snippet is a part of a site that you keep: the state of the types for all web servers.
type Snippet struct {
	// Name is the name of the file in the directory for ServerName, without its suffix.
	Name       string            `hcl:"name" id:"true"`
	ServerName string            `hcl:"server_name" id:"true"` // a server name of the site
	Aliases    map[string]string `hcl:"aliases"`               // maps URL paths, which begin and end with /, to absolute paths of directories
	Autoindex  *bool             `hcl:"autoindex,optional"`    // whether to list directories; default: true

	generatedFile
	// Served is whether the site answers with this file, and serves a file from each directory that is
	// not empty.
	Served *bool `plan:"served"`

	is          serverState      // found, and after Settle wanted: that of the server
	treeProblem string           `fingerprint:"-"` // found
	problems    []engine.Problem `fingerprint:"-"` // wanted: what the site lacks
	digest      string           // wanted
	site        joinedSite       // wanted: the site that includes the file
}

// joinedSite is a site that includes a snippet.
type joinedSite struct {
	secure bool // it has HTTPS alone
	ipv6   bool // it is served over IPv6, too
}

// snippetServer is a web server whose sites can include a snippet.
type snippetServer interface {
	webServer
	// snippetText returns the text of a complete snippet, which answers at snippetMarker with digest.
	snippetText(s *Snippet, digest string) string
	// askIncluded returns what included has to know.
	askIncluded(t engine.Target, s *Snippet) []wire.Query
	// included looks for the site that includes the files of dir, the directory for ServerName. Its
	// ipv6 is whether the configuration allows that. The problems are what the operator has to do
	// first.
	included(t engine.Target, s *Snippet, dir string, got engine.Answers) (site joinedSite, problems []engine.Problem)
}

// notJoined returns a function for the results of included, if the operator has to do something.
func notJoined(t engine.Target) func(detail, format string, args ...any) (joinedSite, []engine.Problem) {
	return func(detail, format string, args ...any) (joinedSite, []engine.Problem) {
		return joinedSite{}, []engine.Problem{refusal("server_name", t.Name+": "+fmt.Sprintf(format, args...), detail)}
	}
}

// snippetType is the resource type of snippets in a web server's sites.
type snippetType struct {
	name   string // of the resource type
	server snippetServer
}

// Complete returns want with defaults and the content of its file.
func (st snippetType) Complete(_ engine.Target, want *Snippet) *Snippet {
	full := *want
	full.Autoindex, full.Served = orYes(full.Autoindex), orYes(full.Served)
	full.complete(func() (string, error) {
		full.digest = digestOf([]byte(st.server.snippetText(&full, "")))
		return header(st.name, full.Name) + st.server.snippetText(&full, full.digest), nil
	})
	return &full
}

// snippetMarker is the URL path at which the site answers with the digest of the file.
func snippetMarker(s *Snippet) string { return "/.well-known/mirrorform-snippet-" + s.Name }

// dir is the directory of all snippets of a site.
func (st snippetType) dir(t engine.Target, s *Snippet) string {
	return st.server.facts(t).Snippets + "/" + strings.ToLower(strings.Trim(s.ServerName, "[]"))
}

func (st snippetType) file(t engine.Target, s *Snippet) *managedFile {
	return s.at(st.dir(t, s) + "/" + s.Name + st.server.facts(t).Suffix)
}

// Generated implements engine.Generator.
func (snippetType) Generated(*Snippet) bool { return true }

func (st snippetType) Keys(t engine.Target, want *Snippet) (provides, needs []engine.Key) {
	for _, dir := range slices.Sorted(maps.Values(want.Aliases)) {
		needs = append(needs, engine.PathKey(dir))
	}
	return []engine.Key{engine.PathKey(st.file(t, want).path)}, append(needs, engine.PathKey(st.dir(t, want)))
}

// Reads has the other files that the server's check reads: they are written before.
func (st snippetType) Reads(t engine.Target, _ *Snippet) []engine.Key {
	return []engine.Key{engine.PathKey(st.server.facts(t).Config)}
}

func (st snippetType) Validate(want *Snippet) []engine.Problem {
	out := checkEntry(want.Name, st.server.facts(engine.Target{}).Snippets)
	if !IsHostName(want.ServerName) {
		out = append(out, refusal("server_name", fmt.Sprintf("%q is not a host name", want.ServerName), "use a server_name of your site"))
	}
	if len(want.Aliases) == 0 {
		out = append(out, refusal("aliases", "there are no directories to serve", "set aliases"))
	}
	for url := range want.Aliases {
		if url == "/" {
			out = append(out, refusal("aliases", "/ belongs to the site itself", "use a URL path below it, such as /almalinux/"))
		}
	}
	return append(out, checkAliases(st.server, want.Aliases, false)...)
}

// probes ask a site for the digest over IPv4 and, where the site has it, over IPv6.
func (st snippetType) probes(s *Snippet, site joinedSite) []*wire.ProbeOp {
	var trees []string
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		trees = append(trees, url, s.Aliases[url])
	}
	var probes []*wire.ProbeOp
	for _, loopback := range []string{"127.0.0.1", "[::1]"} {
		p := &wire.ProbeOp{
			Address: loopback + ":80", TLS: site.secure, Host: s.ServerName, Path: snippetMarker(s), Status: 200, Body: s.digest, Timeout: 10, Trees: trees,
		}
		if site.secure {
			p.Address = loopback + ":443"
		}
		if loopback == "127.0.0.1" || site.ipv6 {
			probes = append(probes, p)
		}
	}
	return probes
}

func (st snippetType) Ask(t engine.Target, want *Snippet) []wire.Query {
	list := append([]wire.Query{st.file(t, want).query(), st.server.facts(t).unitQuery()}, st.server.askIncluded(t, want)...)
	for _, secure := range []bool{false, true} { // it may have either
		for _, p := range st.probes(want, joinedSite{secure, hasIPv6(t)}) {
			list = append(list, p.Query())
		}
	}
	return list
}

// Settle looks for the site that includes the file.
func (st snippetType) Settle(t engine.Target, want *Snippet, _ *engine.Record, got engine.Answers) *Snippet {
	full := *want
	full.site, full.problems = st.server.included(t, want, st.dir(t, want), got)
	full.site.ipv6 = full.site.ipv6 && hasIPv6(t) && st.answers6(&full, got)
	unit, _ := got.Unit(st.server.facts(t).unitQuery())
	full.is = stateOf(unit)
	return &full
}

// answers6 reports whether the server answers over IPv6 at all: where it does not, that is how its
// operator keeps it.
func (st snippetType) answers6(s *Snippet, got engine.Answers) bool {
	probes := st.probes(s, joinedSite{s.site.secure, true})
	answer, err := got.HTTP(probes[1].Query())
	return err != nil || answer.Status != 0 // Read reports the error
}

func (st snippetType) Read(t engine.Target, want *Snippet, got engine.Answers) (*Snippet, error) {
	want = st.Settle(t, want, nil, got)
	m, err := st.file(t, want).readAs(st.file(t, want).query(), got)
	if err != nil || m == nil {
		return nil, err
	}
	unit, err := got.Unit(st.server.facts(t).unitQuery())
	if err != nil {
		return nil, err
	}
	have := *want
	served := true
	for _, probe := range st.probes(want, want.site) {
		answer, err := got.HTTP(probe.Query())
		if err != nil && want.is.running {
			return nil, noAnswer(st.server.facts(t), err)
		}
		loaded := answer.Status == probe.Status && answer.Body == probe.Body
		if loaded {
			have.treeProblem = cmp.Or(have.treeProblem, answer.Trees)
		}
		served = served && loaded && answer.Trees == ""
	}
	have.took(m)
	have.Served, have.is, have.problems = &served, stateOf(unit), nil
	return &have, nil
}

func (st snippetType) Diff(t engine.Target, want, have *Snippet) []engine.Step {
	if want == nil {
		steps := st.file(t, have).remove()
		if len(steps) > 0 && have.is.running {
			steps = append(append(steps, st.server.test(t, nil)), st.server.load(t, nil, have.is)...)
		}
		return steps
	}
	file := st.file(t, want)
	if have == nil {
		return append(file.steps(nil), st.activate(t, want)...)
	}
	found := st.file(t, have)
	if len(found.inTheWay()) > 0 {
		return nil // Check refuses it
	}
	steps := file.steps(found)
	if found.kind == file.kind && found.holds(file.content) && (isTrue(have.Served) || !isTrue(want.Served)) {
		return steps
	}
	return append(steps, st.activate(t, want)...)
}

// activate are the steps after the file is written.
func (st snippetType) activate(t engine.Target, want *Snippet) []engine.Step {
	steps := append([]engine.Step{st.server.test(t, nil)}, st.server.load(t, nil, want.is)...)
	for _, probe := range st.probes(want, want.site) {
		summary := "verify that " + st.server.facts(t).Name + " serves " + want.Name + " in the site " + want.ServerName
		if strings.HasPrefix(probe.Address, "[") {
			summary += " over IPv6"
		}
		steps = append(steps, engine.Step{Summary: summary, Do: wire.Op{Probe: probe}, Final: engine.ChangesNothing})
	}
	return steps
}

func (st snippetType) Check(t engine.Target, want, have *Snippet) (out []engine.Problem) {
	if want == nil {
		return nil
	}
	out = slices.Clone(want.problems)
	if have == nil {
		return out
	}
	out = append(out, st.file(t, have).check(st.file(t, want))...)
	if have.treeProblem != "" {
		out = append(out, engine.Problem{Severity: engine.Warning, Summary: st.server.facts(t).Name + " serves the site, but not its files: " + have.treeProblem})
	}
	return out
}
