package adopt

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// nginxConfs are the main files of nginx and of what is made of it.
var nginxConfs = []string{
	"/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "/usr/local/openresty/nginx/conf/nginx.conf",
	"/etc/openresty/nginx.conf",
	"/opt/nginx/conf/nginx.conf", "/etc/angie/angie.conf", "/usr/local/etc/nginx/nginx.conf", "/etc/tengine/nginx.conf",
}

// nginx adds the sites of nginx. It follows includes from the main file; without one, it reads the
// directories for sites.
func (f *webReader) nginx() {
	x := &nginxReader{found: f.found, parsed: map[string][]*directive{}, budget: maxDirectives}
	read := false
	for _, conf := range nginxConfs {
		if _, _, missing, err := f.text(conf); missing || err != nil {
			continue
		}
		read = true
		x.dir = path.Dir(conf)
		x.http(x.expand(x.parse(conf), 0), scope{})
	}
	if read {
		x.unread()
		return
	}
	x.dir = path.Dir(nginxConfs[0])
	for _, dir := range nginxDirs {
		for _, p := range f.entries(dir) {
			x.http(x.expand(x.parse(p), 0), scope{})
		}
	}
}

// nginxReader reads a configuration of nginx.
type nginxReader struct {
	*found
	dir    string // of the main file, for relative paths
	parsed map[string][]*directive
	budget int // directives that may still be read
}

// unread adds remarks about files in the directories for sites that the main file does not include.
func (x *nginxReader) unread() {
	for _, dir := range nginxDirs {
		for _, p := range x.entries(dir) {
			if _, realPath, missing, err := x.text(p); err == nil && !missing && x.parsed[realPath] == nil &&
				x.asked[contentOf(p).Key()] {
				x.remark(Place{p, 0}, "nginx does not read this file, since its main file does not include it; "+
					"it is not judged")
			}
		}
	}
}

// parse returns the directives of a file.
func (x *nginxReader) parse(p string) []*directive {
	text, realPath, ok := x.file(p)
	if !ok {
		return nil
	}
	if list, known := x.parsed[realPath]; known {
		return list
	}
	list, err := parseNginx(text)
	if err != nil {
		x.remark(Place{p, 0}, "mirrorform cannot parse this file: %v", err)
	}
	var mark func(list []*directive)
	mark = func(list []*directive) {
		for _, d := range list {
			d.file = p
			mark(d.block)
		}
	}
	mark(list)
	x.parsed[realPath] = list
	return list
}

// expand returns directives with the content of the files that they include.
func (x *nginxReader) expand(list []*directive, depth int) []*directive {
	var out []*directive
	for _, d := range list {
		if x.budget--; x.budget < 0 || depth > maxBlocks {
			return out
		}
		switch {
		case d.name == "include" && len(d.args) == 1:
			if depth >= maxLinks {
				continue
			}
			for _, p := range x.matching(absolute(x.dir, d.args[0])) {
				out = append(out, x.expand(x.parse(p), depth+1)...)
			}
		case d.open:
			own := *d
			own.block = x.expand(d.block, depth)
			out = append(out, &own)
		default:
			out = append(out, d)
		}
	}
	return out
}

func absolute(dir, p string) string {
	if !path.IsAbs(p) {
		p = path.Join(dir, p)
	}
	return path.Clean(p)
}

// scope is what blocks inherit.
type scope struct {
	root string // as written
	vars map[string]string
	maps map[string]*directive // of variables that a map block sets

	groups []string // names of groups in the location's regular expression
}

func (s scope) with(name, value string) scope {
	vars := map[string]string{}
	for k, v := range s.vars {
		vars[k] = v
	}
	vars[name] = value
	s.vars = vars
	return s
}

// http adds the servers of an http block, or of a file that is included in one.
func (x *nginxReader) http(list []*directive, in scope) {
	in.maps = map[string]*directive{}
	for _, d := range list {
		switch {
		case d.name == "root" && len(d.args) == 1:
			in.root = d.args[0]
		case d.name == "map" && d.open && len(d.args) == 2:
			in.maps[strings.TrimPrefix(d.args[1], "$")] = d
		}
	}
	for _, d := range list {
		switch {
		case d.name == "http" && d.open:
			x.http(d.block, in)
		case d.name == "server" && d.open && len(d.args) == 0:
			at := Place{d.file, d.line}
			known := func(s *site) bool { return s.at.Line == at.Line && x.realFile(s.at.File) == x.realFile(at.File) }
			if !slices.ContainsFunc(x.sites, known) {
				x.sites = append(x.sites, x.server(d, in))
			}
		}
	}
}

// nginxLocation is a location of nginx, or a server as a whole.
type nginxLocation struct {
	modifier, url string
	re            *regexp.Regexp
	dir           string // "" if nothing is read from disk
	alias         bool
	inner         []*nginxLocation
}

// server reads a server block.
func (x *nginxReader) server(d *directive, in scope) *site {
	s := &site{at: Place{d.file, d.line}, server: "nginx", real: x.resolve, also: x.otherPaths}
	for _, child := range d.block {
		switch {
		case child.name == "server_name":
			s.names = append(s.names, child.args...)
		case child.name == "listen" && len(child.args) > 0:
			if slices.Contains(child.args[1:], "ssl") || slices.Contains(child.args[1:], "quic") {
				s.tls = true
				continue
			}
			s.listens = append(s.listens, child.args[0])
		case child.name == "ssl_certificate", child.name == "ssl" && slices.Equal(child.args, []string{"on"}):
			s.tls = true
		}
	}
	for _, n := range s.names {
		if engineName(n) {
			for _, v := range []string{"host", "http_host", "server_name", "hostname"} {
				in = in.with(v, n)
			}
			break
		}
	}
	top := x.location(s, &directive{block: d.block, line: d.line, file: d.file}, in, nginxLocation{url: "/"})
	if gone(d.block) {
		top.dir, top.inner = "", nil
	}
	s.lookup = func(url string) string { return top.file(url) }
	top.bases(s)
	return s
}

// gone reports whether a server or location answers without a file: it redirects, or passes on.
func gone(list []*directive) bool {
	return slices.ContainsFunc(list, func(d *directive) bool {
		switch d.name {
		case "return", "proxy_pass", "fastcgi_pass", "uwsgi_pass", "grpc_pass", "stub_status", "empty_gif":
			return true
		case "rewrite":
			return len(d.args) > 1 && slices.Contains([]string{"^", "^/", "^(.*)", "^(.*)$", "^/(.*)",
				"^/(.*)$", ".*", "(.*)"}, d.args[0]) && strings.HasPrefix(d.args[1], "http")
		}
		return false
	})
}

// location reads the directives of a location.
func (x *nginxReader) location(s *site, d *directive, in scope, l nginxLocation) *nginxLocation {
	for _, child := range d.block {
		if child.name == "set" && len(child.args) == 2 {
			if text, unknown := x.value(child.args[1], in); unknown == "" {
				in = in.with(strings.TrimPrefix(child.args[0], "$"), text)
			}
		}
	}
	if l.re != nil {
		in.groups = l.re.SubexpNames()[1:]
	}
	set, line := in.root, d.line
	for _, child := range d.block {
		if (child.name == "root" || child.name == "alias") && len(child.args) == 1 {
			set, line, l.alias = child.args[0], child.line, child.name == "alias"
			if child.name == "root" {
				in.root = set
			}
		}
	}
	text, unknown := x.value(set, in)
	switch {
	case unknown != "":
		s.unclear = append(s.unclear, Remark{Place{d.file, line}, "the directory here has the variable " +
			printable(unknown) +
			", whose value mirrorform does not know: what is served below it is not judged"})
	case gone(d.block) && l.url != "/", text == "":
	case l.re != nil && l.alias && strings.Contains(text, "$"):
		l.dir = text
	default:
		l.dir = clean(text)
	}
	for _, child := range d.block {
		if child.name != "location" || !child.open || len(child.args) == 0 {
			continue
		}
		inner := nginxLocation{url: child.args[len(child.args)-1]}
		if len(child.args) == 2 {
			inner.modifier = child.args[0]
		}
		if strings.HasPrefix(inner.modifier, "~") {
			if inner.re = compile(inner.url, inner.modifier == "~*"); inner.re == nil {
				s.unclear = append(s.unclear, Remark{Place{child.file, child.line},
					"mirrorform cannot parse this location; it stays in the file unchanged"})
				continue
			}
		}
		l.inner = append(l.inner, x.location(s, child, in, inner))
	}
	return &l
}

// value returns text with the variables that are known. unknown is the first that is not; captures
// of a regular expression stay.
func (x *nginxReader) value(text string, in scope) (out, unknown string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			b.WriteByte(text[i])
			continue
		}
		m := variable.FindStringSubmatch(text[i:])
		if m == nil {
			return "", "$"
		}
		name := m[1] + m[2]
		i += len(m[0]) - 1
		v, known := in.vars[name]
		switch {
		case known:
			b.WriteString(v)
		case in.maps[name] != nil:
			v, known = mapped(in.maps[name], in)
			if !known {
				return "", "$" + name
			}
			b.WriteString(v)
		case len(name) == 1 && name[0] >= '0' && name[0] <= '9':
			b.WriteString("$" + name)
		case slices.Contains(in.groups, name):
			b.WriteString("$" + name)
		default:
			return "", "$" + name
		}
	}
	return b.String(), ""
}

var variable = regexp.MustCompile(`^\$(?:(\w+)|\{(\w+)\})`)

// mapped returns the value of a map for the server's name, or its default.
func mapped(d *directive, in scope) (string, bool) {
	key, known := in.vars[strings.TrimPrefix(d.args[0], "$")]
	for _, entry := range d.block {
		if known && entry.name == key && len(entry.args) == 1 && !strings.Contains(entry.args[0], "$") {
			return entry.args[0], true
		}
	}
	for _, entry := range d.block {
		if entry.name == "default" && len(entry.args) == 1 && !strings.Contains(entry.args[0], "$") {
			return entry.args[0], known || len(d.block) == 1
		}
	}
	return "", false
}

// find returns the location that nginx chooses for a URL (ngx_http_core_module).
func (l *nginxLocation) find(url string) *nginxLocation {
	var best *nginxLocation
	for _, in := range l.inner {
		switch {
		case in.re != nil, in.modifier == "@" || strings.HasPrefix(in.url, "@"):
		case in.modifier == "=":
			if in.url == url {
				return in
			}
		case strings.HasPrefix(url, in.url) && (best == nil || len(in.url) > len(best.url)):
			best = in
		}
	}
	if best != nil {
		if inner := best.find(url); inner != best {
			return inner
		}
		if best.modifier == "^~" {
			return best
		}
	}
	for _, in := range l.inner {
		if in.re != nil && in.re.MatchString(url) {
			return in.find(url)
		}
	}
	if best != nil {
		return best
	}
	return l
}

// file returns the path of a URL's file, or "".
func (l *nginxLocation) file(url string) string {
	at := l.find(url)
	switch {
	case at.dir == "":
		return ""
	case !at.alias:
		return path.Join(at.dir, url)
	case at.re != nil:
		p, _ := (&rule{re: at.re, dir: at.dir}).file(url)
		return p
	}
	return path.Join(at.dir, strings.TrimPrefix(url, at.url))
}

// bases adds the rules of a server, from which its URLs are found.
func (l *nginxLocation) bases(s *site) {
	s.rules = append(s.rules, rule{prefix: l.url, re: l.re, dir: l.dir, root: !l.alias})
	for _, in := range l.inner {
		in.bases(s)
	}
}

// realFile returns the path of a file with links resolved.
func (f *found) realFile(p string) string {
	_, realPath, _, _ := f.text(p)
	return realPath
}

// matching returns the files that a pattern matches. It requests what was not read yet, the
// directories of a pattern first.
func (f *found) matching(pattern string) []string {
	if strings.HasSuffix(pattern, "/mime.types") || strings.Contains(pattern, "/fastcgi") ||
		strings.Contains(pattern, "/modules-enabled/") {
		return nil // these files come with packages and have no sites
	}
	list := []string{"/"}
	parts := strings.Split(strings.Trim(pattern, "/"), "/")
	for i, part := range parts {
		var next []string
		for _, dir := range list {
			if !strings.ContainsAny(part, `*?[\`) {
				next = append(next, path.Join(dir, part))
				continue
			}
			f.want(dir)
			for _, entry := range f.files[f.resolve(dir)].Entries {
				if ok, err := path.Match(part, entry); ok && err == nil && entry != "" && entry[0] != '.' &&
					!strings.Contains(entry, "/") {
					next = append(next, path.Join(dir, entry))
				}
			}
		}
		list = next[:min(len(next), maxFiles)]
		if i == len(parts)-1 {
			break
		}
	}
	var files []string
	for _, p := range list {
		f.want(p)
		if f.files[p].Kind != "" && f.files[p].Kind != "absent" {
			files = append(files, p)
		}
	}
	return files
}
