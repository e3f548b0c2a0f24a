package adopt

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

// Limits for nginx's configuration.
const (
	maxDirectives = 20000
	maxBlocks     = 32 // nested blocks
)

// directive is a directive of nginx: a name, arguments, and the directives in its block.
type directive struct {
	line  int
	name  string
	args  []string
	block []*directive
	open  bool // it has a block
}

var errNginx = errors.New("it is not a valid configuration of nginx")

// parseNginx parses a configuration file of nginx. It keeps open blocks in a slice instead of
// recursing, so deep nesting cannot overflow the stack.
func parseNginx(text string) ([]*directive, error) {
	root := &directive{}
	stack := []*directive{root}
	var words []string
	line, begin, count := 1, 0, 0
	for i := 0; i < len(text); {
		c := text[i]
		switch c {
		case '\n':
			line++
			i++
		case ' ', '\t', '\r':
			i++
		case '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case ';', '{', '}':
			i++
			top := stack[len(stack)-1]
			if c == '}' {
				if len(words) > 0 || len(stack) == 1 {
					return nil, errNginx
				}
				stack = stack[:len(stack)-1]
				continue
			}
			if len(words) == 0 {
				return nil, errNginx
			}
			if count++; count > maxDirectives || len(stack) > maxBlocks {
				return nil, errors.New("it is too large")
			}
			d := &directive{line: begin, name: words[0], args: words[1:], open: c == '{'}
			top.block = append(top.block, d)
			words = nil
			if c == '{' {
				stack = append(stack, d)
			}
		default:
			if len(words) == 0 {
				begin = line
			}
			word, n, ok := nginxWord(text[i:])
			if !ok {
				return nil, errNginx
			}
			line += strings.Count(text[i:i+n], "\n")
			words = append(words, word)
			i += n
		}
	}
	if len(words) > 0 || len(stack) > 1 {
		return nil, errNginx
	}
	return root.block, nil
}

// nginxWord parses one word, with or without quotes, and returns its length in bytes.
func nginxWord(text string) (word string, n int, ok bool) {
	var out strings.Builder
	quote := byte(0)
	if text[0] == '"' || text[0] == '\'' {
		quote, n = text[0], 1
	}
	for n < len(text) {
		c := text[n]
		switch {
		case c == '\\' && n+1 < len(text):
			if next := text[n+1]; quote == 0 || next != quote && next != '\\' {
				out.WriteByte(c) // in quotes, a backslash escapes only the quote and itself
			}
			out.WriteByte(text[n+1])
			n += 2
		case quote != 0 && c == quote:
			return out.String(), n + 1, true
		case quote == 0 && c == '$' && n+1 < len(text) && text[n+1] == '{':
			out.WriteString("${")
			n += 2
			for n < len(text) && text[n] != '}' && text[n] != '\n' {
				out.WriteByte(text[n])
				n++
			}
			if n < len(text) && text[n] == '}' {
				out.WriteByte('}')
				n++
			}
		case quote == 0 && strings.IndexByte(" \t\r\n;{}", c) >= 0:
			return out.String(), n, true
		default:
			out.WriteByte(c)
			n++
		}
	}
	return out.String(), n, quote == 0
}

// site is a virtual host of a web server.
type site struct {
	at      Place
	server  string // "nginx" or "apache"
	names   []string
	listens []string // addresses and ports, without options
	tls     bool
	root    string
	aliases map[string]string // URL path to directory
	unclear []Place           // locations that cannot be parsed
}

// nginxSites returns the server blocks among the directives of a file. include returns the
// directives of the files that match a pattern.
func nginxSites(file string, list []*directive, include func(pattern string) []*directive) []*site {
	var sites []*site
	budget := maxDirectives
	var walk func(list []*directive, depth int)
	walk = func(list []*directive, depth int) {
		for _, d := range list {
			if budget--; budget < 0 || depth > maxBlocks {
				return
			}
			if d.name == "server" && d.open && len(d.args) == 0 {
				s := &site{at: Place{file, d.line}, server: "nginx", aliases: map[string]string{}}
				s.read(d.block, include, &budget, 0)
				sites = append(sites, s)
				continue
			}
			walk(d.block, depth+1)
		}
	}
	walk(list, 0)
	return sites
}

// read reads the directives of a server block.
func (s *site) read(list []*directive, include func(string) []*directive, budget *int, depth int) {
	for _, d := range list {
		if *budget--; *budget < 0 || depth > maxLinks {
			return
		}
		switch {
		case d.name == "server_name":
			s.names = append(s.names, d.args...)
		case d.name == "listen" && len(d.args) > 0:
			if slices.Contains(d.args[1:], "ssl") {
				s.tls = true
				continue
			}
			s.listens = append(s.listens, d.args[0])
		case d.name == "ssl_certificate":
			s.tls = true
		case d.name == "root" && len(d.args) == 1:
			s.root = clean(d.args[0])
		case d.name == "include" && len(d.args) == 1:
			s.read(include(d.args[0]), include, budget, depth+1)
		case d.name == "location" && d.open:
			s.location(d)
		}
	}
}

func (s *site) location(d *directive) {
	url := d.args
	if len(url) == 2 && url[0] == "^~" {
		url = url[1:]
	}
	if len(url) != 1 || url[0] == "" || url[0][0] != '/' {
		if slices.ContainsFunc(d.block, func(in *directive) bool { return in.name == "alias" || in.name == "root" }) {
			s.unclear = append(s.unclear, Place{s.at.File, d.line})
		}
		return
	}
	for _, in := range d.block {
		switch {
		case in.name == "alias" && len(in.args) == 1:
			s.aliases[url[0]] = clean(in.args[0])
		case in.name == "root" && len(in.args) == 1:
			s.aliases[url[0]] = path.Join(clean(in.args[0]), url[0])
		}
	}
}

// clean is path.Clean for absolute paths. For other paths, and those with variables, it returns "".
func clean(p string) string {
	if !path.IsAbs(p) || strings.ContainsAny(p, "$%\x00") {
		return ""
	}
	return path.Clean(p)
}

// serves returns the URL path under which the site serves a directory, with a slash at both ends,
// or "".
func (s *site) serves(tree string) string {
	best := ""
	consider := func(url, dir string) {
		if dir == "" || !engine.PathWithin(tree, dir) {
			return
		}
		found := path.Join("/", url, strings.TrimPrefix(tree, strings.TrimSuffix(dir, "/")))
		if found != "/" {
			found += "/"
		}
		if best == "" {
			best = found
		}
	}
	for _, url := range sortedKeys(s.aliases) {
		consider(url, s.aliases[url])
	}
	if best == "" {
		consider("/", s.root)
	}
	return best
}

// nginxIncludes returns the patterns of all includes. Relative patterns are relative to the
// directory of nginx.conf.
func nginxIncludes(list []*directive) []string {
	var patterns []string
	stack := slices.Clone(list)
	for len(stack) > 0 {
		d := stack[len(stack)-1]
		stack = append(stack[:len(stack)-1], d.block...)
		if d.name == "include" && len(d.args) == 1 {
			patterns = append(patterns, nginxPath(d.args[0]))
		}
	}
	slices.Sort(patterns)
	return slices.Compact(patterns)
}

func nginxPath(p string) string {
	if !path.IsAbs(p) {
		p = path.Join(path.Dir(nginxConf), p)
	}
	return path.Clean(p)
}

// nginx adds the sites of nginx. It follows includes.
func (f *found) nginx() {
	parsed := map[string][]*directive{}
	parse := func(p string) []*directive {
		text, realPath, ok := f.file(p)
		if !ok {
			return nil
		}
		if list, known := parsed[realPath]; known {
			return list
		}
		list, err := parseNginx(text)
		if err != nil {
			f.remark(Place{p, 0}, "mirrorform cannot parse this file: %v", err)
		}
		parsed[realPath] = list
		return list
	}
	var files []string
	queue := []string{nginxConf}
	for _, dir := range nginxDirs {
		queue = append(queue, f.entries(dir)...)
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if slices.Contains(files, p) {
			continue // included twice, or in a cycle
		}
		files = append(files, p)
		for _, pattern := range nginxIncludes(parse(p)) {
			queue = append(queue, f.matching(pattern)...)
		}
	}
	var seen []Place
	for _, p := range files {
		for _, s := range nginxSites(p, parsed[f.real(p)], func(pattern string) []*directive {
			var list []*directive
			for _, included := range f.matching(nginxPath(pattern)) {
				list = append(list, parsed[f.real(included)]...)
			}
			return list
		}) {
			if at := (Place{f.real(p), s.at.Line}); !slices.Contains(seen, at) {
				seen = append(seen, at)
				f.sites = append(f.sites, s)
			}
		}
	}
}

// real returns the path of a file with links resolved.
func (f *found) real(p string) string {
	_, realPath, _, _ := f.text(p)
	return realPath
}

// matching returns the files that an include matches. It requests what was not read yet, the
// directory of a pattern first.
func (f *found) matching(pattern string) []string {
	if strings.HasSuffix(pattern, "/mime.types") || strings.Contains(pattern, "/fastcgi") || strings.Contains(pattern, "/modules-enabled/") {
		return nil // these files come with packages and have no sites
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		f.want(pattern)
		if f.files[pattern].Kind == "" {
			return nil
		}
		return []string{pattern}
	}
	dir, name := path.Split(pattern)
	dir = path.Clean(dir)
	if strings.ContainsAny(dir, `*?[\`) {
		return nil
	}
	f.want(dir)
	var list []string
	for _, entry := range f.files[dir].Entries {
		if ok, err := path.Match(name, entry); ok && err == nil && entry[0] != '.' && !strings.Contains(entry, "/") {
			f.want(path.Join(dir, entry))
			list = append(list, path.Join(dir, entry))
		}
	}
	return list
}
