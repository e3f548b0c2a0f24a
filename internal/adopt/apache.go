package adopt

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// apacheConfs are the main files of Apache httpd: of Debian, Red Hat, SUSE and Alpine, and of its
// own build. Relative includes belong to the directory beside each.
var apacheConfs = [][2]string{
	{"/etc/apache2/apache2.conf", "/etc/apache2"}, {"/etc/httpd/conf/httpd.conf", "/etc/httpd"},
	{"/etc/apache2/httpd.conf", "/etc/apache2"},
	{"/usr/local/apache2/conf/httpd.conf", "/usr/local/apache2"},
}

// apacheMains returns the main files.
func apacheMains() []string {
	var list []string
	for _, c := range apacheConfs {
		list = append(list, c[0])
	}
	return list
}

// apacheLine is a directive of httpd, or a section with its directives.
type apacheLine struct {
	file  string
	line  int
	name  string // in lower case; of a section without the bracket
	args  []string
	inner []*apacheLine
	open  bool
}

// parseApache parses a configuration file of httpd.
func parseApache(file, text string) []*apacheLine {
	root := &apacheLine{}
	stack := []*apacheLine{root}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines) && i < maxDirectives; i++ {
		number := i + 1
		line := strings.TrimSpace(lines[i])
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[i])
		}
		if line == "" || line[0] == '#' {
			continue
		}
		section := line[0] == '<'
		if strings.HasPrefix(line, "</") {
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			continue
		}
		if section {
			line = strings.TrimSuffix(strings.TrimPrefix(line, "<"), ">")
		}
		words := apacheWords(line)
		if len(words) == 0 {
			continue
		}
		top := stack[len(stack)-1]
		d := &apacheLine{file: file, line: number, name: strings.ToLower(words[0]), args: words[1:], open: section}
		top.inner = append(top.inner, d)
		if section && len(stack) <= maxBlocks {
			stack = append(stack, d)
		}
	}
	return root.inner
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

// apacheReader reads a configuration of httpd.
type apacheReader struct {
	*found
	root    string // ServerRoot
	defines map[string]string
	macros  map[string]*apacheLine
	budget  int
	global  *site
	own     []*site // virtual hosts
}

// apache adds the sites of Apache httpd. It follows includes from the main file; without one, it
// reads the directories for sites.
func (f *webReader) apache() {
	read := false
	for _, conf := range apacheConfs {
		if _, _, missing, err := f.text(conf[0]); missing || err != nil {
			continue
		}
		read = true
		x := f.apacheReader(conf[1])
		x.read(x.parse(conf[0]), 0, nil)
		x.finish()
	}
	if read {
		return
	}
	x := f.apacheReader("/etc/apache2")
	for _, dir := range apacheDirs {
		for _, p := range f.entries(dir) {
			x.read(x.parse(p), 0, nil)
		}
	}
	x.finish()
}

func (f *webReader) apacheReader(root string) *apacheReader {
	x := &apacheReader{found: f.found, root: root, defines: map[string]string{},
		macros: map[string]*apacheLine{}, budget: maxDirectives}
	if text, _, missing, err := f.text(root + "/envvars"); !missing && err == nil {
		for _, m := range exported.FindAllStringSubmatch(text, -1) {
			x.defines[m[1]] = strings.Trim(m[2], `"'`)
		}
	}
	x.global = x.site(Place{})
	return x
}

var exported = regexp.MustCompile(`(?m)^\s*(?:export\s+)?(\w+)=([^$\s;]+)\s*$`)

func (x *apacheReader) site(at Place) *site {
	return &site{at: at, server: "apache", real: x.resolve, also: x.otherPaths}
}

func (x *apacheReader) parse(p string) []*apacheLine {
	text, _, ok := x.file(p)
	if !ok {
		return nil
	}
	return parseApache(p, text)
}

// read reads directives. in is the virtual host, or nil.
func (x *apacheReader) read(list []*apacheLine, depth int, in *apacheHost) {
	for _, d := range list {
		if x.budget--; x.budget < 0 || depth > maxBlocks {
			return
		}
		args := make([]string, len(d.args))
		unknown := ""
		for i, a := range d.args {
			var u string
			args[i], u = x.expand(a)
			if u != "" {
				unknown = u
			}
		}
		if unknown != "" && slices.Contains([]string{"documentroot", "alias", "aliasmatch", "include",
			"includeoptional"}, d.name) {
			at := x.global
			if in != nil {
				at = in.site
			}
			at.unclear = append(at.unclear, Remark{Place{d.file, d.line}, "the path here has the variable " +
				printable(unknown) +
				", whose value mirrorform does not know: what is served below it is not judged"})
			continue
		}
		x.directive(d, args, depth, in)
	}
}

// apacheHost is a virtual host that is being read.
type apacheHost struct {
	*site
	root  string
	rules []rule
}

// directive reads one directive or section.
func (x *apacheReader) directive(d *apacheLine, args []string, depth int, in *apacheHost) {
	switch d.name {
	case "virtualhost":
		host := &apacheHost{site: x.site(Place{d.file, d.line})}
		for _, a := range args {
			host.listens = append(host.listens, strings.TrimPrefix(a, "*:"))
			host.tls = host.tls || strings.HasSuffix(a, ":443")
		}
		x.read(d.inner, depth+1, host)
		host.site.rules = append(host.rules, rule{prefix: "/", dir: host.root})
		x.own = append(x.own, host.site)
	case "ifmodule", "ifversion", "ifdefine", "iffile":
		if !x.skipped(d.name, args) {
			x.read(d.inner, depth+1, in)
		}
	case "macro":
		if len(args) > 0 {
			x.macros[strings.ToLower(args[0])] = d
		}
	case "use":
		if len(args) > 0 && x.macros[strings.ToLower(args[0])] != nil && depth < maxLinks {
			x.read(substituted(x.macros[strings.ToLower(args[0])], args), depth+1, in)
		}
	case "include", "includeoptional":
		if len(args) == 1 && depth < maxLinks {
			for _, p := range x.included(args[0]) {
				x.read(x.parse(p), depth+1, in)
			}
		}
	case "location":
		if len(args) == 1 {
			for _, c := range d.inner {
				if c.name == "alias" && len(c.args) == 1 {
					x.served(d, "alias", []string{args[0], c.args[0]}, in)
				}
			}
		}
	case "serverroot":
		if len(args) == 1 && clean(args[0]) != "" {
			x.root = clean(args[0])
		}
	case "define":
		if len(args) > 0 {
			x.defines[args[0]] = strings.Join(args[1:min(2, len(args))], "")
		}
	default:
		if len(args) > 0 {
			x.served(d, d.name, args, in)
		}
	}
}

// served reads a directive about what a virtual host serves; without one, what all of them do.
func (x *apacheReader) served(d *apacheLine, name string, args []string, in *apacheHost) {
	if in == nil {
		in = &apacheHost{site: x.global}
		if x.global.at.File == "" && slices.Contains([]string{"documentroot", "alias", "aliasmatch"}, name) {
			x.global.at = Place{d.file, d.line}
		}
		defer func() {
			x.global.rules = append(x.global.rules, in.rules...)
			if in.root != "" {
				x.global.rules = append(x.global.rules, rule{prefix: "/", dir: in.root, at: Place{d.file, d.line}})
			}
		}()
	}
	switch {
	case name == "servername" || name == "serveralias":
		for _, a := range args {
			a = strings.TrimPrefix(strings.TrimPrefix(a, "http://"), "https://")
			host, _, _ := strings.Cut(a, ":")
			in.names = append(in.names, host)
		}
	case name == "documentroot":
		in.root = clean(args[0])
	case name == "virtualdocumentroot":
		root := args[0]
		if len(in.names) > 0 {
			root = strings.ReplaceAll(root, "%0", in.names[0])
		}
		if in.root = clean(root); in.root == "" {
			in.unclear = append(in.unclear, Remark{Place{d.file, d.line},
				"the document root depends on the name that a client asks for: what is served below it is not judged"})
		}
	case name == "alias" && len(args) == 2 && strings.HasPrefix(args[0], "/"):
		in.rules = append(in.rules, rule{prefix: args[0], dir: clean(args[1]), at: Place{d.file, d.line}})
	case name == "aliasmatch" && len(args) == 2:
		in.match(d, args[0], args[1])
	case name == "rewriterule" && len(args) >= 2 && strings.HasPrefix(args[1], "/") && strings.Count(args[1], "/") > 2:
		in.match(d, args[0], args[1])
	case name == "redirectmatch" || name == "rewriterule":
		if slices.Contains([]string{"^", "^/", "^(.*)", "^(.*)$", "^/(.*)", "^/(.*)$", ".*", "(.*)", "^/?(.*)"},
			args[min(len(args)-1, whichPattern(args))]) && strings.Contains(strings.Join(args, " "), "://") {
			in.rules = append(in.rules, rule{prefix: "/"})
		}
	case strings.HasPrefix(name, "redirect") && len(args) >= 2, name == "proxypass" && len(args) >= 2 && args[1] != "!":
		if url := args[len(args)-2]; strings.HasPrefix(url, "/") {
			in.rules = append(in.rules, rule{prefix: url})
		} else if strings.HasPrefix(args[0], "/") {
			in.rules = append(in.rules, rule{prefix: args[0]})
		}
	case name == "sslengine":
		in.tls = in.tls || strings.EqualFold(args[0], "on")
	}
}

// whichPattern returns the index of the pattern: redirects may have a status before it.
func whichPattern(args []string) int {
	if len(args) == 3 && !strings.HasPrefix(args[0], "^") && args[0] != "(.*)" && args[0] != ".*" {
		return 1
	}
	return 0
}

// match adds a rule with a regular expression.
func (h *apacheHost) match(d *apacheLine, pattern, target string) {
	re := compile(pattern, false)
	if re == nil {
		h.unclear = append(h.unclear, Remark{Place{d.file, d.line},
			"mirrorform cannot parse this pattern; it stays in the file unchanged"})
		return
	}
	h.rules = append(h.rules, rule{re: re, dir: target, at: Place{d.file, d.line}})
}

// skipped reports whether a condition does not hold. What is unknown counts as held, except modules
// that must be absent.
func (x *apacheReader) skipped(name string, args []string) bool {
	if len(args) == 0 {
		return false
	}
	what, not := strings.CutPrefix(args[0], "!")
	switch name {
	case "ifmodule":
		return not
	case "ifdefine":
		_, defined := x.defines[what]
		return defined == not
	}
	return false
}

// substituted returns the directives of a macro with its parameters replaced.
func substituted(macro *apacheLine, args []string) []*apacheLine {
	var pairs []string
	for i, name := range macro.args[1:] {
		if i+1 < len(args) {
			pairs = append(pairs, name, args[i+1])
		}
	}
	replace := strings.NewReplacer(pairs...)
	var copied func(list []*apacheLine, depth int) []*apacheLine
	copied = func(list []*apacheLine, depth int) []*apacheLine {
		var out []*apacheLine
		for _, d := range list {
			own := *d
			own.args = nil
			for _, a := range d.args {
				own.args = append(own.args, replace.Replace(a))
			}
			own.inner = nil
			if depth < maxBlocks {
				own.inner = copied(d.inner, depth+1)
			}
			out = append(out, &own)
		}
		return out
	}
	return copied(macro.inner, 0)
}

// included returns the files of an include. A directory stands for all files in it.
func (x *apacheReader) included(pattern string) []string {
	var files []string
	for _, p := range x.matching(absolute(x.root, pattern)) {
		if x.files[p].Kind == "directory" {
			files = append(files, x.matching(path.Join(p, "*"))...)
			continue
		}
		files = append(files, p)
	}
	return files
}

var define = regexp.MustCompile(`\$\{(\w+)\}`)

// expand returns text with the variables that are defined. unknown is the first that is not.
func (x *apacheReader) expand(text string) (out, unknown string) {
	out = define.ReplaceAllStringFunc(text, func(ref string) string {
		name := ref[2 : len(ref)-1]
		value, known := x.defines[name]
		if !known {
			unknown = ref
		}
		return value
	})
	return out, unknown
}

// finish adds the sites. Virtual hosts have the aliases of the server, too, and its document root
// if they have none.
func (x *apacheReader) finish() {
	for _, s := range x.own {
		own := s.rules[len(s.rules)-1]
		s.rules = append(s.rules[:len(s.rules)-1:len(s.rules)-1], x.global.aliases()...)
		if own.dir != "" {
			s.rules = append(s.rules, own)
		} else {
			s.rules = append(s.rules, x.global.rules...)
		}
		s.unclear = append(s.unclear, x.global.unclear...)
	}
	x.sites = append(x.sites, x.own...)
	if x.global.at.File != "" || len(x.global.unclear) > 0 {
		all := x.global.aliases()
		x.global.rules = append(all, slices.DeleteFunc(x.global.rules, func(r rule) bool {
			return r.re != nil ||
				r.prefix != "/"
		})...)
		x.sites = append(x.sites, x.global)
	}
}

// aliases returns the rules besides the document root.
func (s *site) aliases() []rule {
	return slices.DeleteFunc(slices.Clone(s.rules), func(r rule) bool { return r.re == nil && r.prefix == "/" })
}
