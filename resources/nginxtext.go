package resources

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// nginxText returns what the site needs outside its server block, and the block. If HTTP is
// redirected, a second block does that.
func nginxText(s *Site, digest string) string {
	var w nginxWriter
	plain := s.Listen
	if !s.servesHTTP() {
		plain = nil
	}
	siteOutside(&w, s, len(plain) > 0 || s.Certificate != "")
	if plain == nil && s.overHTTP() {
		siteRedirect(&w, s, digest)
		if s.Certificate == "" {
			return w.String()
		}
		w.blank()
	}
	w.open("server")
	siteListens(&w, s, plain, s.TLSListen)
	siteServing(&w, s)
	siteLocations(&w, s, digest)
	siteTreesText(&w, s)
	if s.Extra != "" {
		w.blank()
		w.text(s.Extra)
	}
	w.close()
	return w.String()
}

// siteRedirect writes the server block of a site that does not serve over HTTP. nginx closes the
// connection for the status 444, which is its own.
func siteRedirect(w *nginxWriter, s *Site, digest string) {
	w.open("server")
	siteListens(w, s, s.Listen, nil)
	w.line("server_tokens", "off")
	siteLog(w, s)
	siteLocations(w, s, digest)
	w.open("location", "/")
	host := "$host"
	if isTrue(s.TLSElsewhere) && s.named != nil {
		host = "$server_name" // the first name: the certificate is not for the address
	}
	if s.HTTP == httpOff {
		w.line("return", "444")
	} else {
		w.line("return", "301", "https://"+host+portOf(s.TLSListen)+"$request_uri")
	}
	w.close()
	w.close()
}

// portOf returns the port of the first listen for a URL of HTTPS.
func portOf(listens []string) string {
	if _, port, err := parseListen(listens[0]); err == nil && port != "443" {
		return ":" + port
	}
	return ""
}

// siteListens writes what a server block answers: addresses, ports and names.
func siteListens(w *nginxWriter, s *Site, plain, tls []string) {
	for _, l := range plain {
		w.line("listen", l)
	}
	if s.Certificate != "" {
		siteTLSListens(w, s, tls)
	}
	names := []string{"server_name"}
	seen := map[string]bool{}
	for _, name := range s.ServerName { // of joined sites, which may write a name differently
		if name = bracketed(name); !seen[strings.ToLower(name)] {
			names = append(names, name)
		}
		seen[strings.ToLower(name)] = true
	}
	w.line(names...)
	w.blank()
}

// siteServing writes the options of the server block. They suit large static files: the kernel
// sends them (sendfile, tcp_nopush); listings have rounded sizes and times in UTC; the version of
// nginx is not shown (server_tokens). An account that writes to a tree must not be able to publish
// files from elsewhere: nginx follows a link in the tree only if link and target have the same
// owner (disable_symlinks if_not_owner).
func siteServing(w *nginxWriter, s *Site) {
	for _, option := range []string{"server_tokens off", "absolute_redirect off", "charset utf-8", "etag on", "sendfile on", "tcp_nopush on"} {
		w.line(strings.Fields(option)...)
	}
	if isTrue(s.Autoindex) {
		w.listing()
	}
	siteOptions(w, s)
	if s.Root != "" {
		w.line("root", s.Root)
		w.line("disable_symlinks", "if_not_owner", "from="+s.Root)
	}
}

// siteLocations writes the locations that are not trees, and that answer without HTTPS, too.
// rsync's unfinished files, in directories named .~tmp~, are not served.
func siteLocations(w *nginxWriter, s *Site, digest string) {
	w.blank()
	w.unlogged(siteMarker, digest)
	if s.Webroot != "" {
		w.blank()
		w.open("location", "/.well-known/acme-challenge/")
		w.line("default_type", "text/plain")
		w.line("root", s.Webroot)
		w.close()
	}
	w.blank()
	w.unfinished()
}

// siteTreesText writes the trees, and what else the site answers.
func siteTreesText(w *nginxWriter, s *Site) {
	siteAnswers(w, s)
	for _, below := range s.moved() {
		w.moved(below, s.movedTo(below))
	}
	if s.Root == "" && s.Aliases["/"] == "" && s.movedTo("/") == "" {
		w.blank()
		w.open("location", "/")
		w.line("return", "404")
		w.close()
	}
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		w.tree(url, s.Aliases[url])
		w.styled(s)
		w.close()
	}
	if s.Root != "" && s.Listing != "" {
		w.blank()
		w.open("location", "/")
		w.styled(s)
		w.close()
	}
}

// nginxWriter writes directives of nginx, indented by their depth.
type nginxWriter struct{ siteWriter }

// line writes a directive. Each word is quoted if needed; variables stay variables.
func (w *nginxWriter) line(words ...string) { w.word(quotedWords(words, nginxQuote) + ";") }

// open begins a block.
func (w *nginxWriter) open(words ...string) {
	w.word(quotedWords(words, nginxQuote) + " {")
	w.depth++
}

func (w *nginxWriter) close() {
	w.depth--
	w.word("}")
}

// listing writes the directives of directory listings: with rounded sizes, and times in UTC.
func (w *nginxWriter) listing() {
	w.line("autoindex", "on")
	w.line("autoindex_exact_size", "off")
	w.line("autoindex_localtime", "off")
}

// styled writes the location of listings that a stylesheet makes. It is for them alone: nginx would
// make pages of XML files, too. As it comes before other locations, it leaves out what is
// unfinished.
func (w *nginxWriter) styled(s *Site) {
	if s.Listing == "" {
		return
	}
	w.blank()
	w.word(`location ~ ^(?!.*/\.~tmp~/).*/$ {`)
	w.depth++
	w.line("autoindex_format", "xml")
	w.line("xslt_stylesheet", s.Listing)
	w.line("xslt_string_param", "path", "$uri")
	w.close()
}

// unlogged writes a location that answers with a text, and stays out of the access log.
func (w *nginxWriter) unlogged(url, text string) {
	w.open("location", "=", url)
	w.line("access_log", "off")
	w.line("default_type", "text/plain")
	w.quoted("return 200", text)
	w.close()
}

// unfinished writes a location that keeps rsync's unfinished files from being served.
func (w *nginxWriter) unfinished() {
	w.word("location ~ /\\.~tmp~(/|$) {")
	w.depth++
	w.line("return", "404")
	w.close()
}

// redirect writes a location that redirects to a URL.
func (w *nginxWriter) redirect(from, to string) {
	w.open("location", "=", from)
	w.line("return", "301", to)
	w.close()
}

// moved writes a location that redirects all URLs below one. rewrite escapes them again, which
// return does not.
func (w *nginxWriter) moved(below, to string) {
	w.blank()
	w.open("location", below)
	w.word("rewrite " + nginxQuoted("^"+regexp.QuoteMeta(below)+"(.*)$") + " " + nginxQuoted(to+"$1") + " permanent;")
	w.close()
}

// tree begins the location of a directory, with a redirect to its URL. match are modifiers of the
// location.
func (w *nginxWriter) tree(url, dir string, match ...string) {
	if bare := strings.TrimSuffix(url, "/"); bare != "" {
		w.blank()
		w.redirect(bare, url)
	}
	w.blank()
	w.open(append(append([]string{"location"}, match...), url)...)
	// Both end with a slash: otherwise /almalinux../ would lead to the directory's siblings.
	w.line("alias", dir+"/")
	w.line("disable_symlinks", "if_not_owner", "from="+dir)
}

// quoted writes a directive whose last word is always quoted.
func (w *nginxWriter) quoted(directive, text string) {
	w.word(directive + " " + nginxQuoted(text) + ";")
}

// nginxBare is text that nginx reads as one word without quotes.
var nginxBare = regexp.MustCompile(`^([A-Za-z0-9_./:*~$\[\]-]+|=|\^~)$`)

// nginxQuote quotes a word for nginx. Between double quotes, a backslash escapes a backslash or a
// quote, and \t, \r and \n are control characters. There is no escape for $, which Validate
// refuses.
func nginxQuote(word string) string {
	if nginxBare.MatchString(word) {
		return word
	}
	return nginxQuoted(word)
}

func nginxQuoted(word string) string { return `"` + nginxEscapes.Replace(word) + `"` }

var nginxEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// bracketed returns a server name with brackets around an IPv6 address, as in a Host header (RFC
// 3986, 3.2.2).
func bracketed(name string) string {
	if a, err := netip.ParseAddr(name); err == nil && a.Is6() {
		return "[" + a.String() + "]"
	}
	return name
}
