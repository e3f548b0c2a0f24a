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
type NginxSnippet = Snippet

func init() { register("nginx_snippet", snippetType{"nginx_snippet", nginx{}}) }

func (nginx) snippetText(s *Snippet, digest string) string {
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

func (nginx) askIncluded(engine.Target, *Snippet) []wire.Query { return []wire.Query{nginxConfigQuery} }

// included looks for the server block that includes the files.
func (nginx) included(t engine.Target, s *Snippet, dir string, got engine.Answers) (site joinedSite, problems []engine.Problem) {
	const own = "have a site made: with the type nginx_site, or in a mirror block without site"
	missing := notJoined(t)
	config, err := got.Run(nginxConfigQuery)
	switch {
	case err != nil || config.Exit < 0:
		return missing("install nginx and your site first, or "+own, "nginx, whose site the mirror joins, is not installed or did not run")
	case config.Exit > 0:
		return missing("repair it: nginx -t", "nginx refuses its configuration: %s", firstLine(config.Stderr))
	}
	files := dir + "/*.conf"
	found := findServers(config.Stdout, s.ServerName)
	if len(found) == 0 {
		return missing("set the server_name of your site, or "+own, "no server block of nginx has the name %s", s.ServerName)
	}
	if i := slices.IndexFunc(found, func(f foundServer) bool { return slices.Contains(f.includes, files) }); i >= 0 {
		if f := found[i]; !f.plain && !f.secure {
			return missing("include the mirror's file in a block that does",
				"the server block at %s:%d listens neither on port 80 nor, for HTTPS, on 443", f.file, f.line)
		}
		if f := found[i]; f.plain {
			return joinedSite{ipv6: f.plain6}, nil
		}
		return joinedSite{secure: true, ipv6: found[i].secure6}, nil
	}
	var places []string
	for _, f := range found {
		if !f.returns {
			places = append(places, fmt.Sprintf("%s:%d", f.file, f.line))
		}
	}
	if len(places) == 0 {
		places = []string{fmt.Sprintf("%s:%d", found[0].file, found[0].line)}
	}
	return missing(fmt.Sprintf("add the line %q to the block at %s, and apply again", "include "+files+";", strings.Join(places, " or at ")),
		"the server block of %s does not include the mirror's file", s.ServerName)
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
	// plain6 and secure6 are whether it does so over IPv6, on all addresses.
	plain6, secure6 bool
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

// listen notes where the block listens.
func (s *foundServer) listen(on string, ssl bool) {
	address, port, err := parseListen(on)
	all6 := strings.HasPrefix(on, "[") && err == nil && isWild(address)
	s.plain = s.plain || err == nil && port == "80" || err != nil && !strings.Contains(on, ":")
	s.plain6 = s.plain6 || all6 && port == "80"
	s.secure = s.secure || port == "443" && ssl
	s.secure6 = s.secure6 || all6 && port == "443" && ssl
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
					s.listen(words[1], slices.Contains(words[2:], "ssl"))
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
