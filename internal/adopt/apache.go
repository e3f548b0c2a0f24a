package adopt

import (
	"strings"
)

// apacheSites returns the virtual hosts in a configuration file of Apache httpd: those of
// <VirtualHost>, and one for the directives outside of them, which apply to all. It does not
// evaluate conditions, macros and variables.
func apacheSites(file, text string) []*site {
	global := &site{at: Place{file, 1}, server: "apache", aliases: map[string]string{}}
	sites := []*site{}
	current := global
	number := 0
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines) && i < maxDirectives; i++ {
		number = i + 1
		line := strings.TrimSpace(lines[i])
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[i])
		}
		words := apacheWords(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		args := words[1:]
		switch name := strings.ToLower(words[0]); {
		case name == "<virtualhost":
			current = &site{at: Place{file, number}, server: "apache", aliases: map[string]string{}}
			for _, a := range args {
				if a = strings.Trim(a, "<>"); a != "" {
					current.listens = append(current.listens, strings.TrimPrefix(a, "*:"))
					current.tls = current.tls || strings.HasSuffix(a, ":443")
				}
			}
			sites = append(sites, current)
		case name == "</virtualhost>":
			current = global
		case len(args) == 0:
		case name == "servername" || name == "serveralias":
			for _, a := range args {
				a = strings.TrimPrefix(strings.TrimPrefix(a, "http://"), "https://")
				host, _, _ := strings.Cut(a, ":")
				current.names = append(current.names, host)
			}
		case name == "documentroot":
			current.root = clean(args[0])
		case name == "alias" && len(args) == 2 && strings.HasPrefix(args[0], "/"):
			if dir := clean(args[1]); dir != "" {
				current.aliases[args[0]] = dir
			}
		case name == "sslengine":
			current.tls = current.tls || strings.EqualFold(args[0], "on")
		}
	}
	if global.root != "" || len(global.aliases) > 0 {
		sites = append(sites, global)
	}
	return sites
}

// apacheWords splits a line of httpd's configuration into words, which may be in quotes.
func apacheWords(line string) []string {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return words
		}
		end, skip := strings.IndexAny(line, " \t"), 0
		if line[0] == '"' || line[0] == '\'' {
			if n := strings.IndexByte(line[1:], line[0]); n >= 0 {
				line, end, skip = line[1:], n, 1
			}
		}
		if end < 0 {
			return append(words, line)
		}
		if end > 0 {
			words = append(words, line[:end])
		}
		line = line[end+skip:]
	}
}
