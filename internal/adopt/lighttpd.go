package adopt

import (
	"path"
	"regexp"
	"strings"
)

const lighttpdConf = "/etc/lighttpd/lighttpd.conf"

// lighttpdReader reads a configuration of lighttpd.
type lighttpdReader struct {
	*found
	dir  string
	vars map[string]string
	top  *site
	own  []*site // of conditions
}

// lighttpdToken matches a word, a string or a mark of the configuration.
var lighttpdToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'|=>|==|!=|=~|!~|\+=|:=|[{}()=,+]|[^\s{}()=,+"'#]+|\n`)

// lighttpd adds the sites of lighttpd, which no mirror block manages.
func (f *webReader) lighttpd() {
	text, _, missing, err := f.text(lighttpdConf)
	if missing || err != nil {
		return
	}
	x := &lighttpdReader{found: f.found, dir: path.Dir(lighttpdConf), vars: map[string]string{}}
	x.top = &site{at: Place{lighttpdConf, 1}, server: "lighttpd", real: f.resolve, also: f.otherPaths}
	x.read(lighttpdConf, text, 0)
	for _, s := range x.own {
		s.rules = append(s.rules, x.top.rules...)
	}
	f.sites = append(append(f.sites, x.top), x.own...)
}

// read reads the lines of a file.
func (x *lighttpdReader) read(file, text string, depth int) {
	if depth > maxLinks {
		return
	}
	stack := []*site{x.top}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines) && i < maxDirectives; i++ {
		number := i + 1
		words := lighttpdToken.FindAllString(uncommented(lines[i]), -1)
		for openParens(words) > 0 && i+1 < len(lines) {
			i++
			words = append(words, lighttpdToken.FindAllString(uncommented(lines[i]), -1)...)
		}
		in := stack[len(stack)-1]
		switch {
		case len(words) == 0:
		case words[0] == "}":
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			if len(words) > 1 && words[len(words)-1] == "{" { // } else $HTTP… {
				stack = append(stack, x.condition(in, Place{file, number}, words[1:]))
			}
		case words[len(words)-1] == "{":
			stack = append(stack, x.condition(in, Place{file, number}, words))
		case words[0] == "include" && len(words) > 1:
			for _, p := range x.matching(absolute(x.dir, x.text(words[1:]))) {
				if text, _, ok := x.file(p); ok {
					x.read(p, text, depth+1)
				}
			}
		case words[0] == "include_shell":
			if strings.Contains(lines[i], "conf-enabled") { // Debian's script prints these files
				for _, p := range x.matching("/etc/lighttpd/conf-enabled/*.conf") {
					if text, _, ok := x.file(p); ok {
						x.read(p, text, depth+1)
					}
				}
				continue
			}
			x.remark(Place{file, number}, "lighttpd reads the output of a program here, which mirrorform does not run")
		case len(words) > 2:
			x.set(in, Place{file, number}, words)
		}
	}
}

// uncommented returns a line without its comment.
func uncommented(line string) string {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '"' && (i == 0 || line[i-1] != '\\'):
			quoted = !quoted
		case line[i] == '#' && !quoted:
			return line[:i]
		}
	}
	return line
}

func openParens(words []string) int {
	n := 0
	for _, w := range words {
		switch w {
		case "(":
			n++
		case ")":
			n--
		}
	}
	return n
}

// condition returns the site of a block: one of its own for a host or a socket, else the outer one.
func (x *lighttpdReader) condition(in *site, at Place, words []string) *site {
	text := strings.Join(words, " ")
	if !strings.Contains(text, `"host"`) && !strings.Contains(text, `"socket"`) {
		return in
	}
	s := &site{at: at, server: "lighttpd", real: x.resolve, also: x.otherPaths}
	for _, w := range words {
		if w[0] == '"' && strings.Contains(text, `"host"`) && w != `"host"` {
			s.names = append(s.names, strings.Trim(w, `"`))
		}
	}
	x.own = append(x.own, s)
	return s
}

// text returns the value of an expression of strings and variables.
func (x *lighttpdReader) text(words []string) string {
	var out strings.Builder
	for _, w := range words {
		switch {
		case w == "+":
		case w[0] == '"' || w[0] == '\'':
			out.WriteString(w[1 : len(w)-1])
		default:
			out.WriteString(x.vars[strings.TrimPrefix(w, "var.")])
		}
	}
	return out.String()
}

// set reads a setting.
func (x *lighttpdReader) set(in *site, at Place, words []string) {
	name, value := words[0], words[2:]
	switch name {
	case "server.document-root":
		if dir := clean(x.text(value)); dir != "" {
			in.rules = append(in.rules, rule{prefix: "/", dir: dir})
		} else {
			in.unclear = append(in.unclear, Remark{at, "mirrorform cannot judge this document root"})
		}
		if in == x.top {
			in.at = at
		}
	case "server.name":
		in.names = append(in.names, x.text(value))
	case "server.port", "server.bind":
		in.listens = append(in.listens, x.text(value))
	case "ssl.engine":
		in.tls = in.tls || x.text(value) == "enable"
		x.top.tls = x.top.tls || in.tls
	case "alias.url":
		var aliases []rule
		for i := 1; i+1 < len(value); i++ {
			if value[i] == "=>" {
				aliases = append(aliases, rule{prefix: x.text(value[i-1 : i]), dir: clean(x.text(value[i+1 : i+2]))})
			}
		}
		in.rules = append(aliases, in.rules...)
	case "simple-vhost.server-root", "evhost.path-pattern":
		in.unclear = append(in.unclear, Remark{at, "the document root depends on the name that a client asks " +
			"for: what is served below it is not judged"})
	default:
		x.vars[strings.TrimPrefix(name, "var.")] = x.text(value)
	}
}
