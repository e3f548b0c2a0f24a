package resources

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// NginxSnippet is a part of a site of nginx that you keep: directories, in a file that your server
// block includes. The block needs a line with include and the path
// /etc/nginx/mirrorform.d/SERVER_NAME/*.conf, which may stay without the file; where it is missing,
// the plan names the file and line of the block. An apply succeeds only if nginx then serves the
// directories through the site.
type NginxSnippet struct {
	// Name is the name of the file in /etc/nginx/mirrorform.d/SERVER_NAME, without .conf.
	Name       string            `hcl:"name" id:"true"`
	ServerName string            `hcl:"server_name" id:"true"` // a server name of the site
	Aliases    map[string]string `hcl:"aliases"`               // maps URL paths, which begin and end with /, to absolute paths of directories
	Autoindex  *bool             `hcl:"autoindex,optional"`    // whether to list directories; default: true

	generatedFile
	// Served is whether the site answers with this file, and serves a file from each directory that is
	// not empty.
	Served *bool `plan:"served"`

	running     bool             // found: nginx runs
	treeProblem string           `fingerprint:"-"` // found
	problems    []engine.Problem `fingerprint:"-"` // wanted: what the site lacks
	digest      string           // wanted
	secure      bool             // wanted: the server block that includes the file listens for HTTPS alone
}

const snippetsDir = "/etc/nginx/mirrorform.d"

type nginxSnippetType struct{}

func init() { register("nginx_snippet", nginxSnippetType{}) }

// Complete returns want with defaults and the content of its file.
func (nginxSnippetType) Complete(_ engine.Target, want *NginxSnippet) *NginxSnippet {
	full := *want
	full.Autoindex, full.Served = orYes(full.Autoindex), orYes(full.Served)
	full.complete(func() (string, error) {
		full.digest = digestOf([]byte(snippetText(&full, "")))
		return header("nginx_snippet", full.Name) + snippetText(&full, full.digest), nil
	})
	return &full
}

func snippetText(s *NginxSnippet, digest string) string {
	var w nginxWriter
	w.unlogged(snippetMarker(s), digest)
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		// ^~ keeps regular expressions of the site, such as those for PHP, from taking files of a tree.
		w.tree(url, s.Aliases[url], "^~")
		if isTrue(s.Autoindex) {
			w.listing()
		}
		w.blank()
		w.unfinished()
		w.close()
	}
	return w.String()
}

// snippetMarker is the URL path at which the site answers with the digest of the file.
func snippetMarker(s *NginxSnippet) string { return "/.well-known/mirrorform-snippet-" + s.Name }

func (nginxSnippetType) dir(s *NginxSnippet) string {
	return snippetsDir + "/" + strings.ToLower(strings.Trim(s.ServerName, "[]"))
}

func (nt nginxSnippetType) file(s *NginxSnippet) *managedFile {
	return s.at(nt.dir(s) + "/" + s.Name + ".conf")
}

// Generated implements engine.Generator.
func (nginxSnippetType) Generated(*NginxSnippet) bool { return true }

func (nt nginxSnippetType) Keys(_ engine.Target, want *NginxSnippet) (provides, needs []engine.Key) {
	for _, dir := range slices.Sorted(maps.Values(want.Aliases)) {
		needs = append(needs, engine.PathKey(dir))
	}
	return []engine.Key{engine.PathKey(nt.file(want).path)}, append(needs, engine.PathKey(nt.dir(want)))
}

// Reads has the other files that "nginx -t" reads: they are written before.
func (nginxSnippetType) Reads(engine.Target, *NginxSnippet) []engine.Key {
	return []engine.Key{engine.PathKey("/etc/nginx")}
}

func (nt nginxSnippetType) Validate(want *NginxSnippet) []engine.Problem {
	out := checkEntry(want.Name, snippetsDir)
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
	return append(out, checkAliases(nginx{}, want.Aliases, false)...)
}

// probes ask the site for the digest: over HTTP and over HTTPS, since it may have either.
func (nt nginxSnippetType) probes(s *NginxSnippet) []*wire.ProbeOp {
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
func (nt nginxSnippetType) probe(s *NginxSnippet) *wire.ProbeOp {
	probes := nt.probes(s)
	if s.secure {
		return probes[1]
	}
	return probes[0]
}

func (nt nginxSnippetType) Ask(_ engine.Target, want *NginxSnippet) []wire.Query {
	list := []wire.Query{nt.file(want).query(), {Verb: wire.AskUnit, Arg: nginxUnit}, nginxConfigQuery}
	for _, p := range nt.probes(want) {
		list = append(list, p.Query())
	}
	return list
}

// Settle looks for the server block that includes the file.
func (nt nginxSnippetType) Settle(t engine.Target, want *NginxSnippet, _ *engine.Record, got engine.Answers) *NginxSnippet {
	full := *want
	full.problems = nil
	config, err := got.Run(nginxConfigQuery)
	switch {
	case err != nil || config.Exit < 0:
		full.problems = []engine.Problem{refusal("server_name", t.Name+": nginx, whose site the mirror joins, is not installed or did not run",
			"install nginx and your site first, or have a site made: with the type nginx_site, or in a mirror block without site")}
		return &full
	case config.Exit > 0:
		full.problems = []engine.Problem{refusal("server_name", t.Name+": nginx refuses its configuration: "+firstLine(config.Stderr), "repair it: nginx -t")}
		return &full
	}
	line := "include " + nt.dir(want) + "/*.conf;"
	found := findServers(config.Stdout, want.ServerName)
	if len(found) == 0 {
		full.problems = []engine.Problem{refusal("server_name", fmt.Sprintf("%s: no server block of nginx has the name %s", t.Name, want.ServerName),
			"set the server_name of your site, or have a site made: with the type nginx_site, or in a mirror block without site")}
		return &full
	}
	i := slices.IndexFunc(found, func(s foundServer) bool { return slices.Contains(s.includes, nt.dir(want)+"/*.conf") })
	if i >= 0 {
		full.secure = !found[i].plain
		if !found[i].plain && !found[i].secure {
			full.problems = []engine.Problem{refusal("server_name", fmt.Sprintf("%s: the server block at %s:%d listens neither on port 80 nor, for HTTPS, on 443",
				t.Name, found[i].file, found[i].line), "include the mirror's file in a block that does")}
		}
		return &full
	}
	var places []string
	for _, s := range found {
		if !s.returns {
			places = append(places, fmt.Sprintf("%s:%d", s.file, s.line))
		}
	}
	if len(places) == 0 {
		places = []string{fmt.Sprintf("%s:%d", found[0].file, found[0].line)}
	}
	full.problems = []engine.Problem{refusal("server_name", fmt.Sprintf("%s: the server block of %s does not include the mirror's file", t.Name, want.ServerName),
		fmt.Sprintf("add the line %q to the block at %s, and apply again", line, strings.Join(places, " or at ")))}
	return &full
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return fmt.Sprintf("%.300q", line)
}

// foundServer is a server block in nginx's configuration.
type foundServer struct {
	file     string
	line     int
	includes []string // files that it includes
	returns  bool     // it only redirects
	listens  bool     // it says where it listens
	plain    bool     // it listens on port 80
	secure   bool     // it listens on port 443, for HTTPS
}

// findServers returns the server blocks with a name in the output of "nginx -T".
func findServers(config, name string) (found []foundServer) {
	for file, text := range configFiles(config) {
		tokens, err := nginxTokensAt(text)
		if err != nil {
			continue // it cannot be read
		}
		for j := 0; j+1 < len(tokens); j++ {
			if tokens[j].word != "server" || tokens[j+1].word != "{" || j > 0 && !slices.Contains([]string{";", "{", "}"}, tokens[j-1].word) {
				continue
			}
			s := foundServer{file: file, line: tokens[j].line}
			named := s.read(tokens[j+2:], name)
			if !s.plain && !s.secure && !s.listens {
				s.plain = true // without a listen, nginx uses port 80
			}
			if named {
				found = append(found, s)
			}
		}
	}
	return found
}

// read reads a server block, and reports whether it has the name.
func (s *foundServer) read(tokens []nginxToken, name string) (named bool) {
	depth := 0
	var words []string
	for _, t := range tokens {
		switch t.word {
		case "{":
			depth++
			words = nil
		case "}":
			if depth--; depth < 0 {
				return named
			}
			words = nil
		case ";":
			if depth == 0 && len(words) > 1 {
				switch words[0] {
				case "server_name":
					named = named || slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, name) })
				case "return":
					s.returns = true
				case "listen":
					s.listens = true
					_, port, err := parseListen(words[1])
					s.plain = s.plain || err == nil && port == "80" || err != nil && !strings.Contains(words[1], ":")
					s.secure = s.secure || port == "443" && slices.Contains(words[2:], "ssl")
				case "include":
					s.includes = append(s.includes, words[1])
				}
			}
			words = nil
		default:
			words = append(words, strings.TrimPrefix(t.word, "'"))
		}
	}
	return named
}

func (nt nginxSnippetType) Read(t engine.Target, want *NginxSnippet, got engine.Answers) (*NginxSnippet, error) {
	want = nt.Settle(t, want, nil, got)
	m, err := nt.file(want).readAs(nt.file(want).query(), got)
	if err != nil || m == nil {
		return nil, err
	}
	unit, err := got.Unit(wire.Query{Verb: wire.AskUnit, Arg: nginxUnit})
	if err != nil {
		return nil, err
	}
	have := *want
	probe := nt.probe(want)
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
	have.Served, have.running, have.problems = &served, !stopped(unit), nil
	return &have, nil
}

func (nt nginxSnippetType) Diff(t engine.Target, want, have *NginxSnippet) []engine.Step {
	if want == nil {
		steps := nt.file(have).remove()
		if len(steps) > 0 && have.running {
			steps = append(steps, nginx{}.test(t, nil), nginx{}.load(t))
		}
		return steps
	}
	file := nt.file(want)
	if have == nil {
		return append(file.steps(nil), nt.activate(t, want)...)
	}
	found := nt.file(have)
	if len(found.inTheWay()) > 0 {
		return nil // Check refuses it
	}
	steps := file.steps(found)
	if found.kind == file.kind && found.holds(file.content) && (isTrue(have.Served) || !isTrue(want.Served)) {
		return steps
	}
	return append(steps, nt.activate(t, want)...)
}

// activate are the steps after the file is written.
func (nt nginxSnippetType) activate(t engine.Target, want *NginxSnippet) []engine.Step {
	return []engine.Step{nginx{}.test(t, nil), nginx{}.load(t), {
		Summary: "verify that nginx serves " + want.Name + " in the site " + want.ServerName,
		Do:      wire.Op{Probe: nt.probe(want)},
		Final:   "a check changes nothing",
	}}
}

func (nt nginxSnippetType) Check(_ engine.Target, want, have *NginxSnippet) (out []engine.Problem) {
	if want == nil {
		return nil
	}
	out = slices.Clone(want.problems)
	if have == nil {
		return out
	}
	out = append(out, nt.file(have).check(nt.file(want))...)
	if have.treeProblem != "" {
		out = append(out, engine.Problem{Severity: engine.Warning, Summary: "nginx serves the site, but not its files: " + have.treeProblem})
	}
	return out
}
