package resources

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// caddyBlock is a site block: the addresses with one set of bindings, over HTTP or HTTPS.
type caddyBlock struct {
	addresses []string
	bind      []string
	tls       bool
	redirect  bool // it redirects to HTTPS, or only answers a CA
}

// caddyBlocks returns the site blocks of a site. Caddy has no site of two schemes with a
// certificate.
func caddyBlocks(s *Site) (blocks []caddyBlock) {
	add := func(scheme string, listens []string, tls bool) {
		byPort := map[string][]string{}
		for _, l := range listens {
			if address, port, err := parseListen(l); err == nil {
				byPort[port] = append(byPort[port], caddyBind(address))
			}
		}
		for _, port := range slices.Sorted(maps.Keys(byPort)) {
			b := caddyBlock{bind: byPort[port], tls: tls, redirect: !tls && !s.servesHTTP()}
			if slices.Contains(b.bind, "") {
				b.bind = nil
			}
			for _, name := range caddyNames(s, tls) {
				b.addresses = append(b.addresses, scheme+name+":"+port)
			}
			blocks = append(blocks, b)
		}
	}
	if s.overHTTP() {
		add("http://", s.Listen, false)
	}
	if s.secure() {
		add("https://", s.TLSListen, true)
	}
	return blocks
}

// caddyNames returns the names of the site, each once. Over HTTPS, IP addresses are left out beside
// host names: Caddy would get certificates of its own for them.
func caddyNames(s *Site, tls bool) (names []string) {
	add := func(addresses bool) {
		for _, name := range s.ServerName { // of joined sites, which may write a name differently
			name = strings.ToLower(bracketed(name))
			if !slices.Contains(names, name) && (addresses || !isAddress(name)) {
				names = append(names, name)
			}
		}
	}
	if tls {
		add(false)
	}
	if len(names) == 0 {
		add(true)
	}
	return names
}

// caddyText returns the configuration of a site: what several blocks have in common, and the
// blocks.
func caddyText(s *Site, digest string) string {
	w := newCaddyWriter()
	common := "mirrorform-" + s.File
	w.open("(" + common + ")")
	caddyOptions(w, s)
	w.open("route")
	caddyAnswers(w, s, digest)
	if s.Extra != "" {
		w.text(s.Extra)
	}
	caddyPages(w, s)
	caddyTrees(w, s)
	w.close()
	w.close()
	for _, b := range caddyBlocks(s) {
		w.blank()
		w.open(strings.Join(b.addresses, ", "))
		if len(b.bind) > 0 {
			w.line(append([]string{"bind"}, b.bind...)...)
		}
		if b.tls {
			caddyTLS(w, s)
		}
		if b.redirect {
			caddyRedirect(w, s, digest)
		} else {
			w.line("import", common)
		}
		w.close()
	}
	return w.String()
}

// caddyRedirect writes a block that does not serve over HTTP.
func caddyRedirect(w *caddyWriter, s *Site, digest string) {
	w.open("header")
	w.line("-Server")
	w.close()
	w.open("route")
	caddyAnswers(w, s, digest)
	host := "{host}"
	if isTrue(s.TLSElsewhere) && s.named != nil {
		host = bracketed(s.ServerName[0]) // the certificate is not for the address
	}
	if s.HTTP == httpOff {
		w.line("abort")
	} else {
		w.word("redir * https://" + host + portOf(s.TLSListen) + "{uri} 301")
	}
	w.close()
}

// renewsHTTP3 reports whether Caddy uses a new certificate over HTTP/3. Before 2.7, what it had at
// its start stays after a reload, until a restart: such a Caddy does not announce HTTP/3 (RFC 9114,
// section 3.1.1).
func (v serverVersion) renewsHTTP3() bool { return v.atLeast(2, 7, 0) }

// caddyOptions writes what holds for all responses. Caddy's own errors have no header but those
// that handle_errors sets.
func caddyOptions(w *caddyWriter, s *Site) {
	headers := func() {
		w.open("header")
		w.line("-Server")
		if s.secure() && !s.version.renewsHTTP3() {
			w.line("-Alt-Svc")
		}
		for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
			w.word(name + " " + caddyQuoted(s.Headers[name]))
		}
		w.close()
	}
	headers()
	w.open("handle_errors")
	headers()
	w.word(`respond * "{err.status_code} {err.status_text}" {err.status_code}`)
	w.close()
	if isTrue(s.Compress) {
		w.open("encode", "gzip")
		w.open("match")
		for _, kind := range []string{"text/html*", "text/plain*", "text/xml*", "application/xml*", "application/json*"} {
			w.line("header", "Content-Type", kind)
		}
		w.close()
		w.close()
	}
	if s.AccessLog == "off" || s.AccessLog == "" && !isTrue(s.AnonymizeLog) {
		return
	}
	w.open("log")
	if s.AccessLog != "" {
		w.line("output", "file", s.AccessLog)
	}
	if isTrue(s.AnonymizeLog) {
		caddyMask(w, s)
	}
	w.close()
}

// caddyMask keeps the addresses of clients out of the log. 2.7 has two of them: that of the
// connection, and that of the client behind a proxy.
func caddyMask(w *caddyWriter, s *Site) {
	fields := []string{"request>remote_ip"}
	if s.version.atLeast(2, 7, 0) {
		fields = append(fields, "request>client_ip")
	}
	w.open("format", "filter")
	w.line("wrap", "json")
	w.open("fields")
	for _, field := range fields {
		w.open(field, "ip_mask")
		w.line("ipv4", "24")
		w.line("ipv6", "48")
		w.close()
	}
	w.close()
	w.close()
}

// caddyAnswers writes what the site answers with and without HTTPS. rsync's unfinished files, in
// directories named .~tmp~, are not served.
func caddyAnswers(w *caddyWriter, s *Site, digest string) {
	w.unlogged(s.version, siteMarker, digest)
	w.line("@mirrorform_unfinished", "path_regexp", `/\.~tmp~(/|$)`)
	w.open("handle", "@mirrorform_unfinished")
	w.line("respond", "*", "404")
	w.close()
	if s.Webroot != "" {
		w.open("handle", "/.well-known/acme-challenge/*")
		w.line("root", "*", s.Webroot)
		w.line("file_server")
		w.close()
	}
}

// caddyPages writes single files and answers.
func caddyPages(w *caddyWriter, s *Site) {
	switch page := sitePage(s); page {
	case "":
	case pageOfTrees:
		w.answer("/", "text/html; charset=utf-8", strings.ReplaceAll(siteIndex(s), "\n", ""))
	default:
		w.open("handle", "/")
		w.line("root", "*", path.Dir(page))
		w.line("rewrite", "*", "/"+path.Base(page))
		w.line("file_server")
		w.close()
	}
	if s.Robots != "" {
		w.answer("/robots.txt", "text/plain", strings.TrimRight(s.Robots, "\n")+"\n")
	}
	if s.Health != "" {
		w.unlogged(s.version, s.Health, "ok\n")
	}
	redirected := s.redirected()
	for _, from := range slices.Sorted(maps.Keys(redirected)) {
		w.redirect(from, redirected[from])
	}
}

func caddyTrees(w *caddyWriter, s *Site) {
	urls := slices.AppendSeq(s.moved(), maps.Keys(s.Aliases))
	slices.Sort(urls)
	for _, url := range slices.Backward(urls) { // the longest first
		switch {
		case url == "/":
		case s.Aliases[url] != "":
			w.redirect(strings.TrimSuffix(url, "/"), url)
			w.tree(s, url)
		default:
			w.open("handle_path", url+"*")
			w.moved(s.movedTo(url))
			w.close()
		}
	}
	root := s.Root
	if root == "" {
		root = s.Aliases["/"]
	}
	w.open("handle")
	switch {
	case root != "":
		w.files(s, root)
	case s.movedTo("/") != "":
		w.moved(s.movedTo("/"))
	default:
		w.line("respond", "*", "404")
	}
	w.close()
}

// caddyWriter writes directives of Caddy, indented by their depth. A route keeps their order.
type caddyWriter struct{ siteWriter }

func newCaddyWriter() *caddyWriter { return &caddyWriter{siteWriter{unit: "\t"}} }

// line writes a directive. Each word is quoted if needed.
func (w *caddyWriter) line(words ...string) { w.word(quotedWords(words, caddyQuote)) }

// open begins a block.
func (w *caddyWriter) open(words ...string) {
	w.word(strings.Join(words, " ") + " {")
	w.depth++
}

func (w *caddyWriter) close() {
	w.depth--
	w.word("}")
}

// answer writes a handler that answers with a text. The matcher * is written out, since Caddy would
// take a text that begins with / for one.
func (w *caddyWriter) answer(url, kind, text string) {
	w.open("handle", url)
	w.response(kind, text)
	w.close()
}

func (w *caddyWriter) response(kind, text string) {
	w.line("header", "Content-Type", kind)
	w.word("respond * " + caddyQuoted(text) + " 200")
}

// unlogged writes an answer that stays out of the access log, by a directive that 2.8 renamed.
func (w *caddyWriter) unlogged(v serverVersion, url, text string) {
	w.open("handle", url)
	if v.atLeast(2, 8, 0) {
		w.line("log_skip")
	} else {
		w.line("skip_log")
	}
	w.response("text/plain", text)
	w.close()
}

// redirect writes a handler that redirects to a URL.
func (w *caddyWriter) redirect(from, to string) {
	w.open("handle", from)
	w.line("redir", "*", to, "301")
	w.close()
}

// moved redirects to a URL with the path of the request.
func (w *caddyWriter) moved(to string) {
	w.word("redir * " + strings.TrimSuffix(to, "/") + "{uri} 301")
}

// tree writes the handler of a directory.
func (w *caddyWriter) tree(s *Site, url string) {
	w.open("handle_path", url+"*")
	w.files(s, s.Aliases[url])
	w.close()
}

// files serves a directory. Packages and metadata named after their digest never change. A file
// that lists what is new is asked for again each time, which its ETag makes cheap. Other responses,
// and those without a file, have no such header.
func (w *caddyWriter) files(s *Site, dir string) {
	w.line("root", "*", dir)
	if isTrue(s.Cache) {
		for _, c := range []struct{ name, paths, value string }{
			{"fresh", freshFiles, freshCache},
			{"immutable", `/repodata/[0-9a-f]+-|` + packageFiles, foreverCached}, // {32,128} would be a placeholder
		} {
			w.open("@mirrorform_" + c.name)
			w.line("path_regexp", c.paths)
			w.line("file")
			w.close()
			w.line("header", "@mirrorform_"+c.name, "Cache-Control", c.value)
		}
	}
	w.open("file_server")
	w.line("hide", ".~tmp~")
	w.line("index", "index.html")
	switch {
	case s.Listing != "":
		w.line("browse", s.Listing)
	case isTrue(s.Autoindex):
		w.line("browse")
	}
	w.close()
}

// caddyBare is text that Caddy reads as one word without quotes.
var caddyBare = regexp.MustCompile(`^[A-Za-z0-9_./:*~@>+=-]+$`)

// caddyQuote quotes a word for Caddy.
func caddyQuote(word string) string {
	if caddyBare.MatchString(word) {
		return word
	}
	return caddyQuoted(word)
}

// caddyQuoted always quotes. Between double quotes, a backslash is an escape only before a quote;
// Validate refuses others, and braces.
func caddyQuoted(word string) string {
	return `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`
}
