package resources

import (
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
	secure      bool             // wanted: the site that includes the file has HTTPS alone
}

// snippetServer is a web server whose sites can include a snippet.
type snippetServer interface {
	webServer
	// snippetText returns the text of a complete snippet, which answers at snippetMarker with digest.
	snippetText(s *Snippet, digest string) string
	// askIncluded returns what included has to know.
	askIncluded(t engine.Target, s *Snippet) []wire.Query
	// included looks for the site that includes the files of dir, the directory for ServerName. secure
	// is whether it has HTTPS alone. The problems are what the operator has to do first.
	included(t engine.Target, s *Snippet, dir string, got engine.Answers) (secure bool, problems []engine.Problem)
}

// notJoined returns a function for the results of included, if the operator has to do something.
func notJoined(t engine.Target) func(detail, format string, args ...any) (bool, []engine.Problem) {
	return func(detail, format string, args ...any) (bool, []engine.Problem) {
		return false, []engine.Problem{refusal("server_name", t.Name+": "+fmt.Sprintf(format, args...), detail)}
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

// probes ask the site for the digest: over HTTP and over HTTPS, since it may have either.
func (st snippetType) probes(s *Snippet) []*wire.ProbeOp {
	var trees []string
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		trees = append(trees, url, s.Aliases[url])
	}
	probe := func(address string, tls bool) *wire.ProbeOp {
		return &wire.ProbeOp{Address: address, TLS: tls, Host: s.ServerName, Path: snippetMarker(s), Status: 200, Body: s.digest, Timeout: 10, Trees: trees}
	}
	return []*wire.ProbeOp{probe("127.0.0.1:80", false), probe("127.0.0.1:443", true)}
}

// probe is the one of probes that the site answers.
func (st snippetType) probe(s *Snippet) *wire.ProbeOp {
	probes := st.probes(s)
	if s.secure {
		return probes[1]
	}
	return probes[0]
}

func (st snippetType) Ask(t engine.Target, want *Snippet) []wire.Query {
	list := append([]wire.Query{st.file(t, want).query(), st.server.facts(t).unitQuery()}, st.server.askIncluded(t, want)...)
	for _, p := range st.probes(want) {
		list = append(list, p.Query())
	}
	return list
}

// Settle looks for the site that includes the file.
func (st snippetType) Settle(t engine.Target, want *Snippet, _ *engine.Record, got engine.Answers) *Snippet {
	full := *want
	full.secure, full.problems = st.server.included(t, want, st.dir(t, want), got)
	unit, _ := got.Unit(st.server.facts(t).unitQuery())
	full.is = stateOf(unit)
	return &full
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
	probe := st.probe(want)
	answer, err := got.HTTP(probe.Query())
	if err != nil {
		return nil, err
	}
	served := answer.Status == probe.Status && answer.Body == probe.Body
	if served {
		have.treeProblem = answer.Trees
		served = answer.Trees == ""
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
	return append(steps, engine.Step{
		Summary: "verify that " + st.server.facts(t).Name + " serves " + want.Name + " in the site " + want.ServerName,
		Do:      wire.Op{Probe: st.probe(want)},
		Final:   engine.ChangesNothing,
	})
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
