package adopt

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// site is a virtual host of a web server, or what else answers to requests: a container.
type site struct {
	at      Place
	server  string // "nginx", "apache", "caddy", "lighttpd", or what it is
	names   []string
	listens []string // addresses and ports, without options
	tls     bool
	rules   []rule
	unclear []Remark // what cannot be judged about where files come from

	lookup func(url string) string    // the path of a URL's file, or ""; nil is the first rule that matches
	real   func(path string) string   // resolves links
	also   func(path string) []string // other paths of a directory, through links
}

// rule says where the files of some URLs come from.
type rule struct {
	prefix string         // of the URL
	re     *regexp.Regexp // instead of prefix
	dir    string         // what replaces the prefix; with re, a path with $1; "" if nothing is read from disk
	root   bool           // the whole URL is appended to dir
	at     Place          // if it is elsewhere than the site
}

// clean is path.Clean for absolute paths. For other paths, and those with variables, it returns "".
func clean(p string) string {
	if !path.IsAbs(p) || strings.ContainsAny(p, "$%\x00") {
		return ""
	}
	return path.Clean(p)
}

// file returns the path of the file of a URL that the rule matches. matches reports whether it
// does.
func (r *rule) file(url string) (p string, matches bool) {
	if r.re != nil {
		m := r.re.FindStringSubmatchIndex(url)
		if m == nil {
			return "", false
		}
		if r.root && r.dir != "" {
			return path.Join(r.dir, url), true
		}
		return clean(string(r.re.ExpandString(nil, braced(r.dir), url, m))), true
	}
	rest, ok := strings.CutPrefix(url, r.prefix)
	if !ok && strings.TrimSuffix(r.prefix, "/") == url {
		rest, ok = "", true
	}
	switch {
	case !ok || rest != "" && rest[0] != '/' && !strings.HasSuffix(r.prefix, "/"):
		return "", false
	case r.dir == "":
		return "", true
	case r.root:
		return path.Join(r.dir, url), true
	}
	return path.Join(r.dir, rest), true
}

// capture matches a reference to a group of a regular expression: $1, ${1}, $name.
var capture = regexp.MustCompile(`\$(\w+)`)

// braced writes references to groups so that their names end where they end.
func braced(template string) string { return capture.ReplaceAllString(template, `$${${1}}`) }

// path returns the path of a URL's file.
func (s *site) path(url string) string {
	if s.lookup != nil {
		return s.lookup(url)
	}
	for _, r := range s.rules {
		if p, ok := r.file(url); ok {
			return p
		}
	}
	return ""
}

// serves returns the URL path under which the site serves a directory, with a slash at both ends,
// or "".
func (s *site) serves(tree string) string {
	resolved := s.real(tree)
	for _, url := range s.urls(s.also(tree)) {
		if p := s.path(url); p != "" && s.real(p) == resolved {
			return url
		}
	}
	return ""
}

// servedAt returns the place of what serves a directory: of an alias, or else of the site.
func (s *site) servedAt(tree string) Place {
	url := s.serves(tree)
	if s.lookup == nil {
		for _, r := range s.rules {
			if _, ok := r.file(url); ok && r.at.File != "" {
				return r.at
			} else if ok {
				break
			}
		}
	}
	return s.at
}

// urls returns the URLs under which a directory with these paths could be served.
func (s *site) urls(paths []string) []string {
	var list []string
	add := func(parts ...string) {
		url := path.Join(append([]string{"/"}, parts...)...)
		if url != "/" {
			url += "/"
		}
		if !slices.Contains(list, url) {
			list = append(list, url)
		}
	}
	for _, r := range s.rules {
		for _, p := range paths {
			if r.re != nil {
				for _, tail := range tails(p) {
					add(literalPrefix(r.re.String()), tail)
					add(tail)
				}
				continue
			}
			for _, dir := range []string{r.dir, s.real(r.dir)} {
				if r.dir == "" || !engine.PathWithin(p, dir) {
					continue
				}
				rest := strings.TrimPrefix(p, strings.TrimSuffix(dir, "/"))
				if r.root {
					add(rest)
				} else {
					add(r.prefix, rest)
				}
			}
		}
	}
	return list
}

// tails returns the ends of a path: c, b/c, a/b/c.
func tails(p string) []string {
	parts := strings.Split(strings.Trim(p, "/"), "/")
	var list []string
	for i := len(parts) - 1; i >= 0; i-- {
		list = append(list, path.Join(parts[i:]...))
	}
	return append(list, "")
}

// literalPrefix returns the text that all matches of a regular expression begin with.
func literalPrefix(re string) string {
	re = strings.TrimPrefix(strings.TrimPrefix(re, "(?i)"), "^")
	var out strings.Builder
	for i := 0; i < len(re); i++ {
		switch {
		case re[i] == '\\' && i+1 < len(re) && !isLetter(rune(re[i+1])):
			i++
			out.WriteByte(re[i])
		case strings.IndexByte(`\.+*?()|[]{}^$`, re[i]) >= 0:
			if strings.IndexByte("*?{", re[i]) >= 0 && out.Len() > 0 {
				return out.String()[:out.Len()-1]
			}
			return out.String()
		default:
			out.WriteByte(re[i])
		}
	}
	return out.String()
}

// compile compiles a regular expression of a web server, or returns nil: Go's have no look-around
// and no back references.
func compile(pattern string, fold bool) *regexp.Regexp {
	pattern = strings.ReplaceAll(pattern, "(?<", "(?P<")
	pattern = strings.ReplaceAll(pattern, "(?P<=", "(?<=")
	if fold {
		pattern = "(?i)" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	return re
}

// resolve returns a path with the links resolved that the survey has read, and bind mounts.
func (f *found) resolve(p string) string {
	if p == "" {
		return ""
	}
	todo := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
	at := "/"
	for links := 0; len(todo) > 0; {
		next := path.Join(at, todo[0])
		todo = todo[1:]
		file := f.files[next]
		if to := f.binds[next]; to != "" && links < maxLinks {
			links++
			todo, at = append(strings.Split(strings.Trim(to, "/"), "/"), todo...), "/"
			continue
		}
		if file.Kind != wire.Symlink || links >= maxLinks {
			at = next
			continue
		}
		links++
		todo, at = append(strings.Split(strings.Trim(linkTarget(next, file.Target), "/"), "/"), todo...), "/"
	}
	return at
}

// otherPaths returns all known paths of a directory: its own, and those through links and bind
// mounts.
func (f *found) otherPaths(p string) []string {
	list := []string{p}
	resolved := f.resolve(p)
	add := func(q string) {
		if !slices.Contains(list, q) {
			list = append(list, q)
		}
	}
	add(resolved)
	var ends []string
	for _, link := range sortedKeys(f.files) {
		if f.files[link].Kind == wire.Symlink {
			ends = append(ends, link)
		}
	}
	for _, link := range append(ends, sortedKeys(f.binds)...) {
		if to := f.resolve(link); to != "/" && to != link && engine.PathWithin(resolved, to) {
			add(path.Join(link, strings.TrimPrefix(resolved, to)))
		}
	}
	return list
}

// plausible are directories of a document root that mirrors link their trees into.
var plausible = []string{"", "pub", "mirror", "mirrors", "linux", "ftp", "dist", "distributions", "repo", "repos"}

// wantPaths requests what is needed to know the paths of the trees and of the sites' directories:
// each directory above them, and the entries of document roots with a tree's name.
func (f *webReader) wantPaths() {
	above := func(p string) {
		for ; p != "" && p != "/" && p != "."; p = path.Dir(p) {
			f.wantStat(p)
		}
	}
	trees := f.trees()
	for _, tree := range trees {
		above(tree)
		above(f.resolve(tree))
	}
	for _, s := range f.sites {
		for _, r := range s.rules {
			if r.re != nil || r.dir == "" || r.dir == "/" {
				continue
			}
			above(r.dir)
			above(f.resolve(r.dir))
			for _, tree := range trees {
				for _, sub := range plausible {
					f.wantStat(path.Join(r.dir, sub, path.Base(tree)))
					f.wantStat(path.Join(r.dir, sub))
				}
			}
			if f.dirs++; f.dirs > 32 {
				return
			}
		}
	}
}

// webReader reads what the web servers of a host serve.
type webReader struct{ *found }

// read adds the sites of all web servers.
func (f *webReader) read() {
	f.fstab()
	f.nginx()
	f.apache()
	f.caddy()
	f.lighttpd()
	f.named()
	f.wantPaths()
	describer{f.found}.otherTrees() // requests what lies beside the trees
}

// servedTrees returns the directories with AlmaLinux in their name that a tool fills, the rsync
// daemon or a site serves, or that lie in the directory of a site.
func (f *webReader) servedTrees() []string {
	var list []string
	for _, t := range f.synced {
		if isAlmaLinux(t.path) {
			list = append(list, t.path)
		}
	}
	for _, s := range f.sites {
		for _, r := range s.rules {
			switch {
			case r.re != nil || r.dir == "" || r.dir == "/":
			case isAlmaLinux(path.Base(r.dir)) || isAlmaLinux(r.dir) && !r.root:
				list = append(list, r.dir)
			default:
				f.want(r.dir)
				for _, name := range f.files[f.resolve(r.dir)].Entries {
					if isAlmaLinux(name) && !strings.ContainsAny(name, "/.") {
						list = append(list, path.Join(r.dir, name))
					}
				}
			}
		}
	}
	for _, m := range f.modules {
		if isAlmaLinux(path.Base(m.path)) {
			list = append(list, m.path)
		}
	}
	return list
}

func (f *found) wantStat(p string) {
	if _, known := f.files[p]; !known && f.errors[p] == nil && !slices.Contains(f.stats, p) {
		f.stats = append(f.stats, p)
	}
}

// fstab reads the bind mounts of /etc/fstab.
func (f *webReader) fstab() {
	text, _, _, err := f.text("/etc/fstab")
	if err != nil {
		return
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) >= 4 && words[0][0] == '/' && (slices.Contains(strings.Split(words[3], ","), "bind") ||
			slices.Contains(strings.Split(words[3], ","), "rbind")) {
			if from, to := clean(words[0]), clean(words[1]); from != "" && to != "" && to != "/" {
				f.binds[to] = from
			}
		}
	}
}
