package resources

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// webServer is a web server: how it takes a Site. All else about sites is in siteType.
type webServer interface {
	// facts returns where the server is on a host's operating system.
	facts(t engine.Target) ServerFacts
	// lacks returns the attributes of a complete site that the server cannot have, as far as the
	// configuration shows; check by what the host has.
	lacks(s *Site) []engine.Problem
	check(t engine.Target, s *Site) []engine.Problem
	// checkText refuses a text that the server's configuration would read differently.
	checkText(text string) error
	// checkPath does the same for the path of a file or directory that has passed checkText.
	checkPath(p string) error
	// checkExtra requires whole directives of the server.
	checkExtra(text string) error
	// packaged returns the version that an operating system's own package has, for a host on which
	// the server is not installed yet.
	packaged(os wire.OSFacts) serverVersion
	// text returns the configuration of a complete site, which answers at siteMarker with digest.
	text(t engine.Target, s *Site, digest string) string
	// readTLS sets the certificate, its key, TLSListen and HTTP2 of s to those of a configuration that
	// text returned for another site. It leaves out what that does not have.
	readTLS(s *Site, text string)
	// written returns listens as text writes them.
	written(listens []string) []string
	// ask returns what settle and free have to know. undecided is whether free will be called.
	ask(t engine.Target, s *Site, undecided bool) []wire.Query
	// settle sets version, instead, opens, bare and restart by what the host has, and adds to
	// taken. Another version makes another text; for any other reason settle unsets Content.
	settle(t engine.Target, s *Site, got engine.Answers)
	// free reports whether nothing else on the host answers for the site's address. If that is not
	// known, it is not free.
	free(t engine.Target, s *Site, unit wire.Unit, got engine.Answers) bool
	// before returns the steps before the file of a site is written; have is nil if the site is new.
	before(t engine.Target, s, have *Site) []engine.Step
	// after returns the steps after the file of a site is removed.
	after(have *Site) []engine.Step
	// test returns the step that checks the server's whole configuration: for a site, or with nil
	// after a removal.
	test(t engine.Target, s *Site) engine.Step
	// load returns the steps that make the server load its configuration: for a site, or with nil
	// after a removal. Their undo runs after the files are restored (wire.Do), and so loads the old
	// one.
	load(t engine.Target, s *Site, is serverState) []engine.Step
}

// serverState is whether a web server runs, and whether systemd considers it to be reloading.
type serverState struct{ running, reloading bool }

func stateOf(unit wire.Unit) serverState {
	return serverState{!stopped(unit), unit.ActiveState == "reloading"}
}

// webServers are the web servers by their names in the language.
var webServers = map[string]webServer{"apache": apache{}, "caddy": caddy{}, "nginx": nginx{}}

// WebServerNames returns the names of the web servers, sorted.
func WebServerNames() []string { return slices.Sorted(maps.Keys(webServers)) }

// WebServer returns where a web server is on a host's operating system. The name must be one of
// WebServerNames.
func WebServer(name string, t engine.Target) ServerFacts { return webServers[name].facts(t) }

// ServerFacts are where a web server is on an operating system.
type ServerFacts struct {
	Name    string // in messages
	Program string // of its processes, as /proc shows it
	Package string
	Unit    string
	Config  string // directory of all its configuration
	Sites   string // directory of sites
	Prefix  string // of the file of a site
	Makes   bool   // whether the package lacks that directory, and a site creates it
	Suffix  string // of the file of a site or a snippet
	// Snippets is the directory of what sites of an operator include: one directory for each site.
	Snippets string
	Log      string // its access log
	// Hints are about answers of the server that are not as expected.
	Hints        []engine.Hint
	ACME         bool // whether it gets certificates itself
	EPEL         bool // whether EL has it in EPEL alone
	FollowsLinks bool // whether it serves what links in a tree lead to
	// BothFamilies is whether it listens on all addresses of IPv4 and IPv6 with one socket.
	BothFamilies bool
	// Test and Reload are command lines for a unit of systemd, which loads a renewed certificate.
	Test, Reload string
}

// siteFile returns the path of a site's file.
func (f ServerFacts) siteFile(name string) string { return f.Sites + "/" + f.Prefix + name + f.Suffix }

// unitQuery asks for the server's unit.
func (f ServerFacts) unitQuery() wire.Query { return wire.Query{Verb: wire.AskUnit, Arg: f.Unit} }

// serverVersion is a version of a web server, and what it was built with.
type serverVersion struct {
	Major, Minor, Patch int
	Installed, HTTP3    bool // whether the host has it, and whether that can HTTP/3
}

// atLeast reports whether the version is that one, or later.
func (v serverVersion) atLeast(major, minor, patch int) bool {
	return cmp.Or(cmp.Compare(v.Major, major), cmp.Compare(v.Minor, minor), cmp.Compare(v.Patch, patch)) >= 0
}

// versionIn returns the version that line matches in a program's output, as its first three groups.
func versionIn(output string, line *regexp.Regexp) (v serverVersion, ok bool) {
	m := line.FindStringSubmatch(output)
	if m == nil {
		return v, false
	}
	for i, n := range []*int{&v.Major, &v.Minor, &v.Patch} {
		*n, _ = strconv.Atoi(m[i+1])
	}
	v.Installed = true
	return v, true
}
