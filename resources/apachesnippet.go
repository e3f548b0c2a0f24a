package resources

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// ApacheSnippet is a part of a site of Apache that you keep: directories, in a file that your
// virtual host includes. The virtual host needs a line with IncludeOptional and the path
// /etc/apache2/mirrorform.d/SERVER_NAME/*.conf (on EL below /etc/httpd), which may stay without
// the file; where it is missing, the plan names the file and line of the virtual host. An apply
// succeeds only if Apache then serves the directories through the site. Apache needs its module
// headers.
type ApacheSnippet = Snippet

func init() { register("apache_snippet", snippetType{"apache_snippet", apache{}}) }

func (apache) snippetText(s *Snippet, digest string) string {
	var w apacheWriter
	apacheAnswer(&w, snippetMarker(s), "text/plain", digest)
	for _, url := range slices.SortedFunc(maps.Keys(s.Aliases), longestFirst) {
		w.blank()
		w.line("RedirectMatch", "404", "^"+regexp.QuoteMeta(url)+`(.*/)?\.~tmp~(/|$)`)
		w.tree(url, s.Aliases[url])
		w.directory(s.Aliases[url], isTrue(s.Autoindex))
		w.close("Directory")
	}
	return strings.TrimPrefix(w.String(), "\n")
}

func (a apache) askIncluded(t engine.Target, _ *Snippet) []wire.Query {
	return []wire.Query{a.dumpQuery(t), a.includeLinesQuery(t)}
}

// includeLinesQuery asks for the lines that include snippets.
func (a apache) includeLinesQuery(t engine.Target) wire.Query {
	return a.linesQuery(t, `^[[:space:]]*Include(Optional)?[[:space:]].*/mirrorform\.d/`)
}

// included looks for the virtual host that includes the files.
func (a apache) included(t engine.Target, s *Snippet, dir string, got engine.Answers) (site joinedSite, problems []engine.Problem) {
	const own = "have a site made: with the type apache_site, or in a mirror block without site"
	missing := notJoined(t)
	dump, err := got.Run(a.dumpQuery(t))
	lines, err2 := got.Run(a.includeLinesQuery(t))
	switch {
	case err != nil || err2 != nil || dump.Exit < 0:
		return missing("install Apache and your site first, or "+own, "Apache, whose site the mirror joins, is not installed or did not run")
	case dump.Exit > 0:
		return missing("repair it: "+strings.Join(a.control(t, "-t"), " "), "Apache refuses its configuration: %s", firstLine(dump.Stderr))
	}
	if m := apacheModule(t.Facts.OS, "headers"); !loadedModules(dump.Stdout)["headers"] && !enabledHere(t, m) {
		return missing(m.advice(), "Apache does not load the module headers, which the mirror's file needs")
	}
	hosts := apacheHosts(dump.Stdout)
	including := hostsIncluding(hosts, lines.Stdout, dir+"/*.conf")
	has := func(port string) bool {
		return slices.ContainsFunc(including, func(h apacheHost) bool { return h.port == port })
	}
	ipv6 := func(port string) bool {
		return slices.ContainsFunc(including, func(h apacheHost) bool { return h.port == port && (h.address == "*" || h.address == "[::]") })
	}
	switch {
	case has("80"):
		return joinedSite{ipv6: ipv6("80")}, nil
	case has("443"):
		return joinedSite{secure: true, ipv6: ipv6("443")}, nil
	case len(including) > 0:
		return missing("include the mirror's file in a virtual host that does",
			"the virtual host at %s:%d answers neither on port 80 nor, for HTTPS, on 443", including[0].file, including[0].line)
	}
	var places []string
	for _, h := range hosts {
		if slices.Contains(h.names, strings.ToLower(s.ServerName)) {
			places = append(places, fmt.Sprintf("%s:%d", h.file, h.line))
		}
	}
	if len(places) == 0 {
		return missing("set the server_name of your site, or "+own, "no virtual host of Apache has the name %s", s.ServerName)
	}
	return missing(fmt.Sprintf("add the line %q to the virtual host at %s, and apply again", "IncludeOptional "+dir+"/*.conf", strings.Join(places, " or at ")),
		"the virtual host of %s does not include the mirror's file", s.ServerName)
}

// hostsIncluding returns the virtual hosts that include files. Each line of grep's output
// belongs to the last virtual host that begins above it in its file.
func hostsIncluding(hosts []apacheHost, lines, files string) (including []apacheHost) {
	for l := range strings.Lines(lines) {
		m := grepLine.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil {
			continue
		}
		at, _ := strconv.Atoi(m[2])
		_, rest, err := apacheWord(strings.TrimSpace(m[3]))
		if err != nil || rest == "" {
			continue
		}
		if word, _, err := apacheWord(rest); err != nil || word != files {
			continue
		}
		above := 0
		for _, h := range hosts {
			if h.file == m[1] && h.line < at {
				above = max(above, h.line)
			}
		}
		for _, h := range hosts { // one that has several addresses is listed for each
			if above > 0 && h.file == m[1] && h.line == above {
				including = append(including, h)
			}
		}
	}
	return including
}
