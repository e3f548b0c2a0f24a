package resources

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

// siteContent returns the content of the file.
func siteContent(s *NginxSite) string {
	return header("nginx_site", s.File) + siteText(s, s.digest)
}

// siteDigest identifies a configuration. The site answers with it at siteMarker.
func siteDigest(s *NginxSite) string { return digestOf([]byte(siteText(s, ""))) }

// siteText returns what the site needs outside its server block, and the block. If HTTP is
// redirected, a second block does that.
func siteText(s *NginxSite, digest string) string {
	var w nginxWriter
	siteOutside(&w, s)
	plain, redirect := s.Listen, s.Certificate != "" && s.HTTP == httpRedirect
	if redirect || s.Certificate != "" && s.HTTP == httpOff {
		plain = nil
	}
	if redirect {
		w.open("server")
		siteListens(&w, s, s.Listen, nil)
		w.line("server_tokens", "off")
		siteLocations(&w, s, digest)
		w.open("location", "/")
		w.line("return", "301", "https://$host"+portOf(s.TLSListen)+"$request_uri")
		w.close()
		w.close()
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

// portOf returns the port of the first listen for a URL of HTTPS.
func portOf(listens []string) string {
	if _, port, err := parseListen(listens[0]); err == nil && port != "443" {
		return ":" + port
	}
	return ""
}

// siteListens writes what a server block answers: addresses, ports and names.
func siteListens(w *nginxWriter, s *NginxSite, plain, tls []string) {
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
func siteServing(w *nginxWriter, s *NginxSite) {
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
func siteLocations(w *nginxWriter, s *NginxSite, digest string) {
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
func siteTreesText(w *nginxWriter, s *NginxSite) {
	siteAnswers(w, s)
	if s.Root == "" && s.Aliases["/"] == "" {
		w.blank()
		w.open("location", "/")
		w.line("return", "404")
		w.close()
	}
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		w.tree(url, s.Aliases[url])
		w.close()
	}
}

// nginxWriter writes directives of nginx, indented by their depth.
type nginxWriter struct {
	strings.Builder
	depth int
}

func (w *nginxWriter) word(text string) {
	w.WriteString(strings.Repeat("    ", w.depth) + text + "\n")
}

func (w *nginxWriter) blank() { w.WriteByte('\n') }

// line writes a directive. Each word is quoted if needed; variables stay variables.
func (w *nginxWriter) line(words ...string) { w.word(nginxWordsOf(words) + ";") }

// open begins a block.
func (w *nginxWriter) open(words ...string) {
	w.word(nginxWordsOf(words) + " {")
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

// text writes directives of the configuration unchanged, but indented.
func (w *nginxWriter) text(directives string) {
	for line := range strings.Lines(strings.TrimRight(directives, "\n")) {
		if line = strings.TrimRight(line, "\n"); line == "" {
			w.blank()
		} else {
			w.word(line)
		}
	}
}

func nginxWordsOf(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = nginxQuote(word)
	}
	return strings.Join(quoted, " ")
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

func nginxQuoted(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(word) + `"`
}

// bracketed returns a server name with brackets around an IPv6 address, as in a Host header (RFC
// 3986, 3.2.2).
func bracketed(name string) string {
	if a, err := netip.ParseAddr(name); err == nil && a.Is6() {
		return "[" + a.String() + "]"
	}
	return name
}

var (
	// hostName is from RFC 1123, 2.1: labels of letters, digits and hyphens.
	hostName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)
	// urlPath needs no escape in a URL (RFC 3986, 2.3).
	urlPath = regexp.MustCompile(`^/([A-Za-z0-9._~-]+/)*$`)
)

// checkServerNames refuses names that nginx does not accept, or reads as a pattern.
func checkServerNames(names []string) []engine.Problem {
	if len(names) == 0 {
		return []engine.Problem{refusal("server_name", "the site has no name", "list its host names and IP addresses")}
	}
	var out []engine.Problem
	seen := map[string]bool{}
	for _, name := range names {
		if key := strings.ToLower(bracketed(strings.Trim(name, "[]"))); seen[key] {
			out = append(out, refusal("server_name", fmt.Sprintf("%q is listed twice", name), "remove one of them"))
		} else {
			seen[key] = true
		}
		out = append(out, report("server_name", checkServerName(name))...)
	}
	return out
}

// IsHostName reports whether s is a host name of at most 253 characters (RFC 1123, section 2.1). A
// single label is one, as in a private network; so is an IPv4 address.
func IsHostName(s string) bool {
	return len(s) <= 253 && hostName.MatchString(s) && ShortLabels(s)
}

// ShortLabels reports whether each label of a name in DNS has at most 63 bytes (RFC 1035, section
// 2.3.4).
func ShortLabels(name string) bool {
	return !slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return len(label) > 63 })
}

func checkServerName(name string) error {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !a.Is6() || a.Zone() != "" || name != "["+a.String()+"]" {
			return fmt.Errorf("%q is not an IPv6 address in brackets", name)
		}
		return nil
	}
	if a, err := netip.ParseAddr(name); err == nil && a.Zone() == "" {
		return nil
	}
	if plain := strings.TrimPrefix(name, "*."); len(name) > 253 || !IsHostName(plain) {
		return fmt.Errorf("%q is not a server name: use a host name, *. and a host name, or an IP address", name)
	}
	return nil
}

// checkListens refuses addresses that nginx cannot listen on.
func checkListens(attribute string, listens []string) []engine.Problem {
	var out []engine.Problem
	seen := map[string]bool{}
	for _, l := range listens {
		address, port, err := parseListen(l)
		out = append(out, report(attribute, err)...)
		key := address + " " + port
		if err == nil && seen[key] {
			out = append(out, refusal(attribute, fmt.Sprintf("%q is listed twice", l), "remove one of them"))
		}
		seen[key] = true
	}
	return out
}

// parseListen reads PORT, ADDRESS:PORT or [ADDRESS]:PORT. Without an address, it returns "*".
func parseListen(l string) (address, port string, err error) {
	address, port = "*", l
	if i := strings.LastIndexByte(l, ':'); i >= 0 {
		address, port = l[:i], l[i+1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
		return "", "", fmt.Errorf("%q does not end with a port: use PORT, ADDRESS:PORT or [ADDRESS]:PORT", l)
	}
	plain := strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	a, err := netip.ParseAddr(plain)
	switch {
	case address == "*":
		return address, port, nil
	case err != nil || a.Zone() != "" || a.Is6() != (address == "["+plain+"]") || a.Is4() && address != plain:
		return "", "", fmt.Errorf("%q does not begin with an IP address: use ADDRESS:PORT, or [ADDRESS]:PORT for IPv6", l)
	}
	return address, port, nil
}

// probeAddress returns the address at which the host itself reaches nginx: the first of listens,
// with a loopback address instead of a wildcard.
func probeAddress(listens []string) string {
	if len(listens) == 0 {
		return ""
	}
	address, port, err := parseListen(listens[0])
	if err != nil {
		return "" // Validate reports it
	}
	switch a, _ := netip.ParseAddr(strings.Trim(address, "[]")); {
	case address == "*", a.Is4() && a.IsUnspecified():
		address = "127.0.0.1"
	case a.IsUnspecified():
		address = "[::1]"
	}
	return address + ":" + port
}

// checkAliases refuses URL paths and directories that nginx would read differently.
func checkAliases(aliases map[string]string, root bool) []engine.Problem {
	var out []engine.Problem
	for _, url := range slices.Sorted(maps.Keys(aliases)) {
		dots := slices.ContainsFunc(strings.Split(url, "/"), func(s string) bool { return s == "." || s == ".." })
		switch {
		case !urlPath.MatchString(url) || dots:
			out = append(out, refusal("aliases", fmt.Sprintf("invalid URL path %q", url),
				"begin and end it with /, and use letters, digits and . _ ~ - between"))
		case url == "/" && root:
			out = append(out, refusal("aliases", "/ is both an alias and the root", "remove root, or the alias of /"))
		case url == siteMarker+"/":
			out = append(out, refusal("aliases", "the URL path "+url+" is reserved",
				"mirrorform checks there which configuration nginx serves: use another path"))
		}
		out = append(out, report("aliases", checkServed(aliases[url]))...)
	}
	return out
}

// checkServed checks a path for nginx's configuration.
func checkServed(p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if strings.Contains(p, "$") {
		return fmt.Errorf("%q contains $, which begins a variable in nginx's configuration: use a path without it", p)
	}
	return nil
}
