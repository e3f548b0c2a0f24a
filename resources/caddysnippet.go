package resources

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// CaddySnippet is a part of a site of Caddy that you keep: directories, in a file that your site
// block imports. The block needs a line with import and the path
// /etc/caddy/mirrorform.d/SERVER_NAME/*.caddyfile, which may stay without the file; where it is
// missing, the plan names the file and line of the block. An apply succeeds only if Caddy then
// serves the directories through the site.
type CaddySnippet = Snippet

func init() { register("caddy_snippet", snippetType{"caddy_snippet", caddy{}}) }

// snippetText implements snippetServer. Caddy puts handlers of a path before those without one, and
// before all other directives that answer.
func (caddy) snippetText(s *Snippet, digest string) string {
	w := newCaddyWriter()
	w.answer(snippetMarker(s), "text/plain", digest)
	trees := &Site{Aliases: s.Aliases, Autoindex: s.Autoindex}
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		w.redirect(strings.TrimSuffix(url, "/"), url)
		w.tree(trees, url)
	}
	return w.String()
}

func (caddy) askIncluded(engine.Target, *Snippet) []wire.Query {
	return []wire.Query{caddyConfigQuery, caddyMainQuery}
}

// included looks for the site block that imports the files.
func (caddy) included(
	t engine.Target, s *Snippet, dir string, got engine.Answers,
) (in joinedSite, problems []engine.Problem) {
	const own = "have a site made: with the type caddy_site, or in a mirror block without site"
	missing := notJoined(t)
	main, err := got.File(caddyMainQuery)
	if err != nil || main.Kind == wire.Absent {
		return missing("install Caddy and your site first, or "+own,
			"Caddy, whose site the mirror joins, is not installed, or has no Caddyfile")
	}
	config, err := readCaddy(got)
	if err != nil {
		return missing("repair it, and plan again", "Caddy's configuration cannot be read: %v", err)
	}
	problems = config.unloadable(t)
	files := dir + "/*" + caddyFacts.Suffix
	var found []*caddyFound
	for i := range config.sites {
		site := &config.sites[i]
		plain, https := site.serves(s.ServerName)
		if !plain && !https {
			continue
		}
		if slices.Contains(site.imports, files) {
			return joinedSite{secure: !plain, ipv6: true}, problems
		}
		found = append(found, site)
	}
	if len(found) == 0 {
		return missing("set the server_name of your site, or "+own,
			"no site block of Caddy has the name %s on port 80 or 443", s.ServerName)
	}
	var places []string
	for _, site := range found {
		places = append(places, fmt.Sprintf("%s:%d", site.file, site.line))
	}
	where := strings.Join(places, " or at ")
	return missing(fmt.Sprintf("add the line %q to the block at %s, and apply again", "import "+files, where),
		"the site block of %s does not import the mirror's file", s.ServerName)
}

// serves reports whether a site has a name on port 80 over HTTP, and on 443 over HTTPS.
func (f *caddyFound) serves(name string) (plain, secure bool) {
	for _, a := range f.addresses {
		if a.host == strings.ToLower(name) {
			plain = plain || !a.secure() && a.on("80")
			secure = secure || a.secure() && a.on("443")
		}
	}
	return plain, secure
}
