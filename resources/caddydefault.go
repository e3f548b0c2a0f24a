package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// The Caddyfile of Debian's package imports no other file. mirrorform adds that line if nobody has
// changed the file, and removes it with the last site. Any other Caddyfile is the operator's.

var (
	caddyMainQuery  = wire.Query{Verb: wire.AskFile, Arg: caddyMain, Option: "content"}
	caddySitesQuery = wire.Query{Verb: wire.AskFile, Arg: caddyFacts.Sites}
	caddyPagesQuery = wire.Query{Verb: wire.AskFile, Arg: "/usr/share/caddy"}
)

// packagedCaddyfiles are the Caddyfiles of packages, as words: of Debian, Ubuntu and Caddy's own
// repository; and of Fedora and EPEL.
var packagedCaddyfiles = []string{
	":80 { root * /usr/share/caddy file_server }",
	"http:// { root * /usr/share/caddy file_server } import Caddyfile.d/*.caddyfile",
}

// caddyImport is what mirrorform adds to the package's Caddyfile.
const caddyImport = "\n# Sites of mirrorform. The line may stay without any.\nimport Caddyfile.d/*.caddyfile\n"

// caddyHost is what a site needs of Caddy's configuration on its host.
type caddyHost struct {
	importing []byte           // the Caddyfile with the import, if it needs that
	restored  []byte           // the Caddyfile of the package, if that is to be restored with this site
	problems  []engine.Problem `fingerprint:"-"`
}

// settleCaddy finds what a site needs. Before Caddy is installed, that is not known yet.
func settleCaddy(t engine.Target, s *Site, installed bool, got engine.Answers) (h caddyHost) {
	fail := func(detail, format string, args ...any) {
		h.problems = append(h.problems, refusal("", t.Name+": "+fmt.Sprintf(format, args...), detail))
	}
	main, err := got.File(caddyMainQuery)
	if err != nil || main.Kind == wire.Absent && !installed {
		return h // readCaddy reports an error once Caddy is installed
	}
	h.problems = checkCaddyAccount(t, s, got)
	config, err := readCaddy(got)
	if err != nil {
		fail("repair it, and plan again", "Caddy's configuration cannot be read: %v", err)
		return h
	}
	h.problems = append(h.problems, config.checkCovered(t, s, got)...)
	text := string(main.Content)
	original, added := strings.CutSuffix(text, caddyImport)
	switch {
	case config.imports(caddyFacts.Sites + "/" + s.File + caddyFacts.Suffix):
		if added && packagedCaddyfile(original) && lastCaddySite(t, s, got) {
			h.restored = []byte(original)
		}
	case main.Kind == wire.Absent || main.HasContent && packagedCaddyfile(text):
		h.importing = []byte(text + caddyImport)
	default:
		line := "import " + caddyFacts.Sites + "/*" + caddyFacts.Suffix
		fail(fmt.Sprintf("add the line %q at the end of %s:%d, outside of blocks, and apply again", line, caddyMain,
			strings.Count(text, "\n")+1), "the Caddyfile does not import the sites in %s", caddyFacts.Sites)
	}
	h.problems = append(h.problems, config.unloadable(t)...)
	return h
}

// unloadable returns why mirrorform cannot have Caddy load this configuration.
func (c *caddyConfig) unloadable(t engine.Target) (out []engine.Problem) {
	if c.admin != "" {
		out = append(out, refusal("",
			fmt.Sprintf("%s: Caddy's admin API is off (%s), so it cannot load a changed configuration", t.Name, c.admin),
			"remove that line, and restart Caddy"))
	}
	if c.env != "" {
		out = append(out, refusal("",
			fmt.Sprintf("%s: Caddy's configuration has an environment variable at %s, which only its unit sets: "+
				"mirrorform would load another configuration", t.Name, c.env),
			"write the value there"))
	}
	return out
}

func packagedCaddyfile(text string) bool {
	var words []string
	for line := range strings.Lines(text) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "#") {
				break
			}
			words = append(words, word)
		}
	}
	return slices.Contains(packagedCaddyfiles, strings.Join(words, " "))
}

// lastCaddySite reports whether the plan empties the directory of sites, and removes s as the last.
func lastCaddySite(t engine.Target, s *Site, got engine.Answers) bool {
	dir, err := got.File(caddySitesQuery)
	if err != nil || dir.Kind != wire.Directory || wantsSites(t, "caddy_site") {
		return false
	}
	last, rest := s.File, slices.Clone(dir.Entries)
	for _, o := range append(sitesIn(t.Removed, "caddy_site"), s) {
		at := slices.Index(rest, o.File+caddyFacts.Suffix)
		if at >= 0 {
			last, rest = o.File, slices.Delete(rest, at, at+1)
		}
	}
	return len(rest) == 0 && last == s.File
}

// caddyAnswerQuery asks what answers for the site's address.
func caddyAnswerQuery(s *Site) wire.Query {
	host := bracketed(strings.Trim(s.Address, "[]"))
	return wire.Query{Verb: wire.AskHTTP, Arg: probeAddress(siteListensOn(s)), Args: []string{host, "/"}}
}

// free implements webServer. A site for any address counts, except that of the package without
// pages of others.
func (caddy) free(_ engine.Target, s *Site, unit wire.Unit, got engine.Answers) bool {
	main, err := got.File(caddyMainQuery)
	if err != nil {
		return false
	}
	if stopped(unit) {
		if answer, err := got.HTTP(caddyAnswerQuery(s)); err != nil || answer.Status != 0 {
			return false // another server
		}
		if main.Kind == wire.Absent && unit.LoadState == "not-found" {
			return true // Caddy is not installed
		}
	}
	config, err := readCaddy(got)
	if err != nil {
		return false
	}
	pages, err := got.File(caddyPagesQuery)
	original, _ := strings.CutSuffix(string(main.Content), caddyImport)
	packaged := packagedCaddyfile(original) && err == nil &&
		(pages.Kind == wire.Absent || pages.Empty || slices.Equal(pages.Entries, []string{"index.html"}))
	_, port, _ := parseListen(siteListensOn(s)[0])
	return !slices.ContainsFunc(config.sites, func(f caddyFound) bool {
		if config.ours(f.file) || packaged && f.file == caddyMain {
			return false
		}
		return slices.ContainsFunc(f.addresses, func(a caddyAddress) bool {
			return a.on(port) && (a.host == "" || a.host == strings.Trim(s.Address, "[]"))
		})
	})
}
