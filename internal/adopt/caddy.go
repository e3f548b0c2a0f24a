package adopt

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

const caddyfile = "/etc/caddy/Caddyfile"

// caddyLine is a directive of a Caddyfile: its words, and the directives in its block.
type caddyLine struct {
	file  string
	line  int
	words []string
	inner []*caddyLine
	open  bool
}

// parseCaddy parses a Caddyfile.
func parseCaddy(file, text string) []*caddyLine {
	root := &caddyLine{}
	stack := []*caddyLine{root}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines) && i < maxDirectives; i++ {
		number := i + 1
		words := caddyWords(lines[i])
		for len(words) > 0 && (words[len(words)-1] == `\` || strings.HasSuffix(words[len(words)-1], ",")) &&
			i+1 < len(lines) {
			if words[len(words)-1] == `\` {
				words = words[:len(words)-1]
			}
			i++
			words = append(words, caddyWords(lines[i])...)
		}
		if len(words) == 0 {
			continue
		}
		if words[0] == "}" {
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			continue
		}
		d := &caddyLine{file: file, line: number, words: words}
		if d.open = words[len(words)-1] == "{"; d.open {
			d.words = words[:len(words)-1]
		}
		top := stack[len(stack)-1]
		top.inner = append(top.inner, d)
		if d.open && len(stack) <= maxBlocks {
			stack = append(stack, d)
		}
	}
	return root.inner
}

// caddyWords splits a line into words, which may be in quotes, without its comment.
func caddyWords(line string) []string {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" || line[0] == '#' {
			return words
		}
		if quote := line[0]; quote == '"' || quote == '`' {
			if n := strings.IndexByte(line[1:], quote); n >= 0 {
				words = append(words, line[1:1+n])
				line = line[n+2:]
				continue
			}
		}
		end := strings.IndexAny(line, " \t\r")
		if end < 0 {
			return append(words, line)
		}
		words = append(words, line[:end])
		line = line[end:]
	}
}

// caddyReader reads a configuration of Caddy.
type caddyReader struct {
	*found
	snippets map[string]*caddyLine
	httpOnly bool // auto_https is off
	budget   int
}

// caddy adds the sites of Caddy.
func (f *webReader) caddy() {
	text, _, missing, err := f.text(caddyfile)
	if missing || err != nil {
		for _, p := range []string{"/etc/caddy/caddy.json", "/etc/caddy/config.json"} {
			if _, _, missing, _ := f.text(p); !missing {
				f.remark(Place{p, 0}, "Caddy has its configuration in JSON, which mirrorform does not read")
			}
		}
		return
	}
	x := &caddyReader{found: f.found, snippets: map[string]*caddyLine{}, budget: maxDirectives}
	list := parseCaddy(caddyfile, text)
	for _, d := range list {
		if d.open && len(d.words) == 1 && strings.HasPrefix(d.words[0], "(") {
			x.snippets[strings.Trim(d.words[0], "()")] = d
		}
		if d.open && len(d.words) == 0 {
			for _, o := range d.inner {
				x.httpOnly = x.httpOnly || slices.Equal(o.words, []string{"auto_https", "off"})
			}
		}
	}
	list = x.imported(list, nil, 0)
	if len(list) > 0 && !list[0].open { // a file for one site, without braces
		list = []*caddyLine{{file: list[0].file, line: list[0].line, words: list[0].words, inner: list[1:], open: true}}
	}
	for _, d := range list {
		if d.open && len(d.words) > 0 && !strings.HasPrefix(d.words[0], "(") && !strings.HasPrefix(d.words[0], "&(") {
			x.site(d)
		}
	}
}

// imported returns directives with what they import: snippets with their arguments, and files.
func (x *caddyReader) imported(list []*caddyLine, args []string, depth int) []*caddyLine {
	var out []*caddyLine
	for _, d := range list {
		if x.budget--; x.budget < 0 || depth > maxLinks {
			return out
		}
		own := *d
		own.words = nil
		for _, w := range d.words {
			own.words = append(own.words, caddyArguments(w, args))
		}
		if !d.open || len(d.words) > 0 && !strings.HasPrefix(d.words[0], "(") {
			own.inner = x.imported(d.inner, args, depth)
		}
		if len(own.words) < 2 || own.words[0] != "import" {
			out = append(out, &own)
			continue
		}
		if s := x.snippets[own.words[1]]; s != nil {
			out = append(out, x.imported(s.inner, own.words[2:], depth+1)...)
			continue
		}
		for _, p := range x.matching(absolute(path.Dir(d.file), own.words[1])) {
			text, _, ok := x.file(p)
			if !ok {
				continue
			}
			parsed := parseCaddy(p, text)
			for _, in := range parsed {
				if in.open && len(in.words) == 1 && strings.HasPrefix(in.words[0], "(") {
					x.snippets[strings.Trim(in.words[0], "()")] = in
				}
			}
			out = append(out, x.imported(parsed, own.words[2:], depth+1)...)
		}
	}
	return out
}

// caddyArguments returns a word with the arguments of its snippet, and the defaults of variables.
func caddyArguments(word string, args []string) string {
	for i, a := range args {
		n := string(rune('0' + i%10))
		word = strings.NewReplacer("{args["+n+"]}", a, "{args."+n+"}", a).Replace(word)
	}
	if from := strings.Index(word, "{$"); from >= 0 {
		if to := strings.IndexByte(word[from:], '}'); to > 0 {
			if _, value, ok := strings.Cut(word[from:from+to], ":"); ok {
				return word[:from] + value + word[from+to+1:]
			}
		}
	}
	return word
}

// site adds the site of a block.
func (x *caddyReader) site(d *caddyLine) {
	s := &site{at: Place{d.file, d.line}, server: "caddy", real: x.resolve, also: x.otherPaths}
	for _, w := range d.words {
		for _, a := range strings.Split(w, ",") {
			if a == "" {
				continue
			}
			scheme, rest, ok := strings.Cut(a, "://")
			if !ok {
				scheme, rest = "", a
			}
			rest, _, _ = strings.Cut(rest, "/")
			host, port := rest, ""
			if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
				host, port = rest[:i], rest[i+1:]
			}
			if host != "" && !slices.Contains(s.names, host) {
				s.names = append(s.names, host)
			}
			s.listens = append(s.listens, cmp.Or(port, map[string]string{"http": "80"}[scheme], "443"))
			automatic := host != "" && scheme != "http" && port != "80" && !x.httpOnly &&
				!strings.HasSuffix(host, "localhost")
			s.tls = s.tls || automatic || scheme == "https" || port == "443"
		}
	}
	matchers := map[string]string{}
	for _, c := range d.inner {
		if name := c.words; len(name) > 0 && strings.HasPrefix(name[0], "@") {
			matchers[name[0]] = matcherPath(c)
		}
		s.tls = s.tls || len(c.words) > 0 && c.words[0] == "tls"
	}
	s.rules = x.routes(s, d.inner, matchers, "", 0)
	x.sites = append(x.sites, s)
}

// matcherPath returns the path of a named matcher, or "".
func matcherPath(c *caddyLine) string {
	if len(c.words) > 2 && c.words[1] == "path" {
		return c.words[2]
	}
	for _, in := range c.inner {
		if len(in.words) > 1 && in.words[0] == "path" {
			return in.words[1]
		}
	}
	return ""
}

// matched splits the words after a directive's name into the path that it matches and the rest. ok
// is false if the matcher is not a path.
func matched(words []string, matchers map[string]string) (prefix string, rest []string, ok bool) {
	if len(words) == 0 {
		return "/", nil, true
	}
	switch w := words[0]; {
	case w == "*":
		return "/", words[1:], true
	case strings.HasPrefix(w, "@"):
		if matchers[w] == "" {
			return "", words[1:], false
		}
		return strings.TrimSuffix(matchers[w], "*"), words[1:], true
	case strings.HasPrefix(w, "/"):
		return strings.TrimSuffix(w, "*"), words[1:], true
	}
	return "/", words, true
}

// routes returns the rules of a site's directives, or of those of a handle block. root is
// inherited.
func (x *caddyReader) routes(s *site, list []*caddyLine, matchers map[string]string, root string, depth int) []rule {
	if depth > maxLinks {
		return nil
	}
	root, rules := x.roots(s, list, matchers, root)
	strip, serves := "", false
	for _, d := range list {
		if len(d.words) == 0 {
			continue
		}
		prefix, rest, ok := matched(d.words[1:], matchers)
		switch d.words[0] {
		case "uri":
			if len(d.words) == 3 && d.words[1] == "strip_prefix" {
				strip = d.words[2]
			}
		case "handle", "handle_path", "route":
			if ok {
				inner := x.routes(s, d.inner, matchers, root, depth+1)
				rules = append(rules, handled(inner, prefix, d.words[0])...)
			}
		case "file_server":
			serves = true
			if own := ownRoot(d, root); prefix != "/" && ok || own != root {
				rules = append(rules, rule{prefix: prefix, dir: own, root: true})
			}
		case "redir", "reverse_proxy", "respond", "php_fastcgi":
			if ok && (len(rest) > 0 || d.open) {
				rules = append(rules, rule{prefix: prefix})
			}
		}
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return len(b.prefix) - len(a.prefix) })
	if serves && root != "" {
		rules = append(rules, rule{prefix: "/", dir: root, root: true})
	}
	if strip != "" {
		for i := range rules {
			rules[i] = shifted(rules[i], strip, true)
		}
	}
	return rules
}

// roots reads the root directives: the root of all URLs, and rules for those of some.
func (x *caddyReader) roots(s *site, list []*caddyLine, matchers map[string]string, root string) (
	all string, rules []rule,
) {
	for _, d := range list {
		if len(d.words) < 2 || d.words[0] != "root" {
			continue
		}
		prefix, rest, ok := "/", d.words[1:], true
		if len(rest) > 1 {
			prefix, rest, ok = matched(rest, matchers)
		}
		if !ok || len(rest) == 0 {
			continue
		}
		dir := clean(rest[0])
		if strings.Contains(rest[0], "{") {
			dir = ""
			s.unclear = append(s.unclear, Remark{Place{d.file, d.line},
				"the root here has a placeholder, whose value mirrorform does not know: what is served below it is not judged"})
		}
		if prefix == "/" {
			root = dir
		} else {
			rules = append(rules, rule{prefix: prefix, dir: dir, root: true})
		}
	}
	return root, rules
}

// ownRoot returns the root that a file_server sets in its block, or that of the site.
func ownRoot(d *caddyLine, root string) string {
	for _, o := range d.inner {
		if len(o.words) == 2 && o.words[0] == "root" {
			return clean(o.words[1])
		}
	}
	return root
}

// handled returns the rules of a handle block, for the URLs that it matches. A block that reads no
// files answers to them all the same.
func handled(inner []rule, prefix, directive string) []rule {
	if len(inner) == 0 && directive != "route" {
		return []rule{{prefix: prefix}}
	}
	var rules []rule
	for _, r := range inner {
		rules = append(rules, shifted(r, prefix, directive == "handle_path"))
	}
	return rules
}

// shifted returns a rule of a block for URLs with a prefix, which may be removed from the URL.
func shifted(r rule, prefix string, strip bool) rule {
	if !strip {
		if r.prefix == "/" {
			r.prefix = prefix
		}
		return r
	}
	return rule{prefix: path.Join(prefix, r.prefix) + "/", dir: stripped(r), re: r.re}
}

// stripped returns the directory that replaces the whole prefix of a rule.
func stripped(r rule) string {
	if r.root && r.dir != "" {
		return path.Join(r.dir, r.prefix)
	}
	return r.dir
}
