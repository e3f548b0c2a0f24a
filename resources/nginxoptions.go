package resources

import (
	"cmp"
	"fmt"
	"html"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

// pageOfTrees is the value of NginxSite.Page for a list of the trees.
const pageOfTrees = "trees"

// What nginx keeps for all sites together is named after the file.
func siteVariable(s *NginxSite, what string) string {
	return "mirrorform_" + strings.ReplaceAll(s.File, "-", "_") + "_" + what
}

// siteOutside writes what stands before the server block: maps, zones and formats.
//
// Packages and metadata named after their digest never change. A file that lists what is new is
// asked for again each time, which its ETag makes cheap. Other responses have no such header.
func siteOutside(w *nginxWriter, s *NginxSite) {
	if isTrue(s.Cache) {
		w.open("map", "$uri", "$"+siteVariable(s, "cache"))
		w.quoted("default", "")
		w.word(`"~/(TIME|repomd\.xml|repomd\.xml\.asc|\.?treeinfo|InRelease|Release|Release\.gpg|lastupdate|lastsync)$" no-cache;`)
		w.word(`"~/repodata/[0-9a-f]{32,128}-" "public, max-age=31536000, immutable";`)
		w.word(`"~\.(rpm|drpm|deb|udeb)$" "public, max-age=31536000, immutable";`)
		w.close()
		w.blank()
	}
	if isTrue(s.AnonymizeLog) {
		w.open("map", "$remote_addr", "$"+siteVariable(s, "client"))
		w.line("default", "::")
		w.word(`"~^(?<net>[0-9]+\.[0-9]+\.[0-9]+)\." "$net.0";`)
		w.word(`"~^(?<net>[0-9a-f]+:[0-9a-f]+:[0-9a-f]+):" "$net::";`)
		w.word(`"~^(?<net>[0-9a-f]+:[0-9a-f]+):" "$net::";`)
		w.close()
		w.blank()
	}
	if format := siteLogFormat(s); format != "" {
		w.quoted("log_format "+siteVariable(s, "log"), format)
		w.blank()
	}
	if s.MaxConnections != nil {
		w.line("limit_conn_zone", "$binary_remote_addr", "zone="+siteVariable(s, "connections")+":10m")
		w.blank()
	}
}

// combined is nginx's predefined format of that name, with its variable for the client to replace.
const combined = `%s - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`

// siteLogFormat returns the site's own log format, or "".
func siteLogFormat(s *NginxSite) string {
	client := "$" + siteVariable(s, "client")
	switch {
	case isTrue(s.AnonymizeLog) && s.LogFormat != "":
		return strings.ReplaceAll(s.LogFormat, "$remote_addr", client)
	case isTrue(s.AnonymizeLog):
		return fmt.Sprintf(combined, client)
	}
	return s.LogFormat
}

// siteOptions writes directives of the server block. Headers are set only there, since a location
// with one of its own would lose them.
func siteOptions(w *nginxWriter, s *NginxSite) {
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		w.word("add_header " + name + " " + nginxQuoted(s.Headers[name]) + " always;")
	}
	if isTrue(s.Cache) {
		w.line("add_header", "Cache-Control", "$"+siteVariable(s, "cache"))
	}
	if isTrue(s.Compress) {
		w.line("gzip", "on")
		w.line("gzip_vary", "on")
		w.line("gzip_types", "text/plain", "text/xml", "application/xml", "application/json")
	}
	switch format := siteLogFormat(s); {
	case s.AccessLog == "off":
		w.line("access_log", "off")
	case format != "":
		w.line("access_log", cmp.Or(s.AccessLog, "/var/log/nginx/access.log"), siteVariable(s, "log"))
	case s.AccessLog != "":
		w.line("access_log", s.AccessLog)
	}
	if s.MaxConnections != nil {
		w.line("limit_conn", siteVariable(s, "connections"), fmt.Sprint(*s.MaxConnections))
	}
	if s.Rate != "" {
		w.line("limit_rate", s.Rate)
	}
	if s.Header != "" {
		w.line("add_before_body", sitePart("header"))
	}
	if s.Footer != "" {
		w.line("add_after_body", sitePart("footer"))
	}
}

// sitePart is the URL path of a part of a listing, which nginx asks itself for.
func sitePart(what string) string { return "/.well-known/mirrorform-" + what }

// siteAnswers writes the locations of single files and answers.
func siteAnswers(w *nginxWriter, s *NginxSite) {
	for _, part := range []struct{ what, file string }{{"header", s.Header}, {"footer", s.Footer}} {
		if part.file != "" {
			w.blank()
			w.open("location", "=", sitePart(part.what))
			w.line("internal")
			w.line("default_type", "text/html")
			w.line("alias", part.file)
			w.close()
		}
	}
	answer := func(url, kind, text string) {
		w.blank()
		w.open("location", "=", url)
		w.line("default_type", kind)
		w.quoted("return 200", text)
		w.close()
	}
	switch page := sitePage(s); page {
	case "":
	case pageOfTrees:
		answer("/", "text/html", siteIndex(s))
	default:
		w.blank()
		w.open("location", "=", "/")
		w.line("root", path.Dir(page))
		w.line("try_files", "/"+path.Base(page), "=404")
		w.close()
	}
	if s.Robots != "" {
		answer("/robots.txt", "text/plain", strings.TrimRight(s.Robots, "\n")+"\n")
	}
	if s.Health != "" {
		w.blank()
		w.unlogged(s.Health, "ok\n")
	}
	for _, from := range slices.Sorted(maps.Keys(s.Redirects)) {
		w.blank()
		w.redirect(from, s.Redirects[from])
	}
}

func sitePage(s *NginxSite) string {
	if s.Page == nil {
		return ""
	}
	return *s.Page
}

// siteIndex is the page that lists the trees.
func siteIndex(s *NginxSite) string {
	var b strings.Builder
	title := "Mirror"
	if len(s.ServerName) > 0 {
		title = html.EscapeString(s.ServerName[0])
	}
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>%s</title></head>\n<body>\n<h1>%s</h1>\n<ul>\n", title, title)
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		fmt.Fprintf(&b, "<li><a href=\"%s\">%s</a></li>\n", html.EscapeString(url), html.EscapeString(url))
	}
	b.WriteString("</ul>\n</body>\n</html>\n")
	return b.String()
}

var (
	// headerName is a token of RFC 9110, section 5.6.2, of letters, digits and hyphens.
	headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)
	// siteURL is a URL path of a single file or answer.
	siteURL  = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/?$`)
	siteRate = regexp.MustCompile(`^[1-9][0-9]{0,8}[kKmM]?$`)
)

// ownHeaders are headers that nginx or another attribute sets.
var ownHeaders = map[string]string{
	"content-length": "nginx sets it", "content-type": "nginx sets it", "transfer-encoding": "nginx sets it", "connection": "nginx sets it",
	"date": "nginx sets it", "server": "nginx sets it", "alt-svc": "http3 sets it",
}

// checkSiteOptions refuses values that nginx would read differently. A $ begins a variable, which
// only log_format and extra can have.
func checkSiteOptions(s *NginxSite) (out []engine.Problem) {
	for _, f := range []struct{ name, path string }{{"header", s.Header}, {"footer", s.Footer}, {"webroot", s.Webroot}} {
		if f.path != "" {
			out = append(out, report(f.name, checkServed(f.path))...)
		}
	}
	page := sitePage(s)
	if page != "" && page != pageOfTrees {
		out = append(out, report("page", checkServed(page))...)
	}
	if page != "" && (s.Root != "" || s.Aliases["/"] != "") {
		out = append(out, refusal("page", "the site has a directory at /, so page has no place", "remove page, or the directory at /"))
	}
	if s.AccessLog != "" && s.AccessLog != "off" {
		out = append(out, report("access_log", checkServed(s.AccessLog))...)
	}
	if s.AccessLog == "off" && (s.LogFormat != "" || isTrue(s.AnonymizeLog)) {
		out = append(out, refusal("access_log", "the access log is off, so log_format and anonymize_log have no meaning", "remove them, or access_log"))
	}
	if s.LogFormat != "" {
		out = append(out, report("log_format", checkText(s.LogFormat))...)
	}
	out = append(out, checkHeaders(s)...)
	if s.MaxConnections != nil && (*s.MaxConnections < 1 || *s.MaxConnections > 65535) {
		out = append(out, refusal("max_connections", fmt.Sprintf("invalid number %d", *s.MaxConnections), "use a number from 1 to 65535"))
	}
	if s.Rate != "" && !siteRate.MatchString(s.Rate) {
		out = append(out, refusal("rate", fmt.Sprintf("invalid rate %q", s.Rate), "use bytes per second, such as 500k or 20m"))
	}
	out = append(out, report("robots", checkAnswer(s.Robots))...)
	out = append(out, checkURLs(s)...)
	if s.Extra != "" {
		out = append(out, report("extra", checkExtra(s.Extra))...)
	}
	return out
}

func checkHeaders(s *NginxSite) (out []engine.Problem) {
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		why := ownHeaders[strings.ToLower(name)]
		if strings.EqualFold(name, "Cache-Control") && isTrue(s.Cache) {
			why = "cache sets it"
		}
		switch {
		case !headerName.MatchString(name):
			out = append(out, refusal("headers", fmt.Sprintf("%q is not the name of a header", name), "use letters, digits and -"))
		case why != "":
			out = append(out, refusal("headers", fmt.Sprintf("the header %s cannot be set: %s", name, why), "remove it"))
		default:
			out = append(out, report("headers", checkAnswer(s.Headers[name]))...)
			out = append(out, report("headers", checkText(s.Headers[name]))...)
		}
	}
	return out
}

// checkAnswer checks a text that nginx sends.
func checkAnswer(text string) error {
	for line := range strings.SplitSeq(text, "\n") {
		if err := checkText(line); err != nil {
			return err
		}
	}
	if strings.Contains(text, "$") {
		return fmt.Errorf("%q contains $, which begins a variable in nginx's configuration: use a text without it", text)
	}
	return nil
}

// checkURLs checks the URL paths of single answers, which must differ.
func checkURLs(s *NginxSite) (out []engine.Problem) {
	taken := map[string]string{siteMarker: "mirrorform"}
	for url := range s.Aliases {
		taken[strings.TrimSuffix(url, "/")] = "aliases"
		taken[url] = "aliases"
	}
	if s.Robots != "" {
		taken["/robots.txt"] = "robots"
	}
	check := func(attribute, url string) {
		dots := slices.ContainsFunc(strings.Split(url, "/"), func(s string) bool { return s == "." || s == ".." })
		switch {
		case !siteURL.MatchString(url) || dots:
			out = append(out, refusal(attribute, fmt.Sprintf("invalid URL path %q", url), "begin it with /, and use letters, digits and . _ ~ - between slashes"))
		case taken[url] != "":
			out = append(out, refusal(attribute, fmt.Sprintf("the URL path %s is already that of %s", url, taken[url]), "use another one"))
		}
		taken[url] = attribute
	}
	if s.Health != "" {
		check("health", s.Health)
	}
	for _, from := range slices.Sorted(maps.Keys(s.Redirects)) {
		check("redirects", from)
		to := s.Redirects[from]
		if err := checkAnswer(to); err != nil || checkText(to) != nil || !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "https://") && !strings.HasPrefix(to, "http://") || strings.ContainsAny(to, " \"\\") {
			out = append(out, refusal("redirects", fmt.Sprintf("%q is neither a URL nor a URL path", to), "begin it with https://, http:// or /, without spaces and $"))
		}
	}
	return out
}

// checkExtra requires whole directives: an open block would take in what follows, and a closing
// brace would end the server block.
func checkExtra(text string) error {
	for line := range strings.SplitSeq(text, "\n") {
		if err := checkText(strings.ReplaceAll(line, "\t", " ")); err != nil {
			return err
		}
	}
	tokens, err := nginxTokens(text + "\n")
	if err != nil {
		return fmt.Errorf("nginx cannot read it: %w", err)
	}
	depth, words := 0, 0
	for _, token := range tokens {
		switch token {
		case ";":
			if words == 0 {
				return fmt.Errorf("a ; without a directive")
			}
			words = 0
		case "{":
			if words == 0 {
				return fmt.Errorf("a { without a directive")
			}
			depth, words = depth+1, 0
		case "}":
			if depth--; depth < 0 || words > 0 {
				return fmt.Errorf("a } that ends no block, or follows a directive without ;")
			}
		default:
			words++
		}
	}
	if depth > 0 || words > 0 {
		return fmt.Errorf("it ends within a block or a directive: end each directive with ; and each block with }")
	}
	return nil
}
