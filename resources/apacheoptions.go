package resources

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

// apacheTLSSettings are Mozilla's intermediate configuration, of the same version as tlsSettings.
// The cache of sessions is one setting of the whole server, which the packages have.
var apacheTLSSettings = []string{
	"SSLProtocol -all +TLSv1.2 +TLSv1.3",
	"SSLCipherSuite " + tlsCiphers,
	"SSLHonorCipherOrder off",
	"SSLSessionTickets off",
}

func apacheTLS(w *apacheWriter, s *Site) {
	w.line("SSLEngine", "on")
	w.line("SSLCertificateFile", s.Certificate)
	w.line("SSLCertificateKeyFile", s.CertificateKey)
	for _, setting := range apacheTLSSettings {
		w.line(strings.Fields(setting)...)
	}
	if isFalse(s.HTTP2) {
		w.line("Protocols", "http/1.1")
	} else {
		w.line("Protocols", "h2", "http/1.1")
	}
	w.blank()
}

func (apache) written(listens []string) []string { return vhostAddresses(listens) }

// readTLS implements webServer.
func (apache) readTLS(s *Site, text string) {
	hosts, err := apacheTree(text)
	if err != nil {
		return
	}
	for _, host := range hosts {
		value := func(name string) []string {
			for _, d := range host.block {
				if d.name == name {
					return d.words
				}
			}
			return nil
		}
		file, key := value("SSLCertificateFile"), value("SSLCertificateKeyFile")
		if host.name != "<VirtualHost" || len(file) != 1 || len(key) != 1 {
			continue
		}
		h2 := slices.Contains(value("Protocols"), "h2")
		s.Certificate, s.CertificateKey, s.TLSListen, s.HTTP2 = file[0], key[0], host.words, &h2
	}
}

// The variables of a request, which apacheLog sets.
const (
	apacheUnlogged = "mirrorform_unlogged"
	apacheClient   = "mirrorform_client"
)

// apacheLog writes the access log. A virtual host without one writes to that of the server, so a
// log that is off is one that gets nothing. The format is written out, since its name combined
// is the operator's to change.
func apacheLog(w *apacheWriter, t engine.Target, s *Site) {
	if s.AccessLog == "off" {
		w.line("CustomLog", "/dev/null", "-", "env=mirrorform_never")
		return
	}
	for _, url := range []string{siteMarker, s.Health} {
		if url != "" {
			w.line("SetEnvIf", "Request_URI", "^"+regexp.QuoteMeta(url)+"$", apacheUnlogged)
		}
	}
	if isTrue(s.AnonymizeLog) {
		// The last one that matches counts. Apache writes IPv6 addresses in their short form.
		w.line("SetEnvIf", "Remote_Addr", ".", apacheClient+"=::")
		w.line("SetEnvIf", "Remote_Addr", "^([0-9a-f]+:[0-9a-f]+):", apacheClient+"=$1::")
		w.line("SetEnvIf", "Remote_Addr", "^([0-9a-f]+:[0-9a-f]+:[0-9a-f]+):", apacheClient+"=$1::")
		w.line("SetEnvIf", "Remote_Addr", `^([0-9]+\.[0-9]+\.[0-9]+)\.`, apacheClient+"=$1.0")
	}
	w.line("CustomLog", cmp.Or(s.AccessLog, apache{}.facts(t).Log), apacheLogFormat(s), "env=!"+apacheUnlogged)
}

// apacheCombined is Apache's format combined.
const apacheCombined = `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`

// apacheClientFormat are the directives of a format for the client's address (mod_log_config), and
// %%, which begins none.
var apacheClientFormat = regexp.MustCompile(`%%|%[!0-9,<>]*(\{[A-Za-z]*\})?[ha]`)

func apacheLogFormat(s *Site) string {
	format := cmp.Or(s.LogFormat, apacheCombined)
	if !isTrue(s.AnonymizeLog) {
		return format
	}
	return apacheClientFormat.ReplaceAllStringFunc(format, func(directive string) string {
		if directive == "%%" {
			return directive
		}
		return "%{" + apacheClient + "}e"
	})
}

// apacheOptions writes directives of a virtual host.
func apacheOptions(w *apacheWriter, s *Site) {
	w.blank()
	w.line("ServerSignature", "off")
	w.line("AddDefaultCharset", "utf-8")
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		w.line("Header", "always", "set", name, strings.ReplaceAll(s.Headers[name], "%", "%%"))
	}
	if isTrue(s.Cache) {
		for _, c := range []struct{ urls, value string }{{digestFiles + "|" + packageFiles, foreverCached}, {freshFiles, freshCache}} {
			w.open("LocationMatch", c.urls)
			w.line("Header", "set", "Cache-Control", c.value)
			w.close("LocationMatch")
		}
	}
	if isTrue(s.Compress) {
		w.line("AddOutputFilterByType", "DEFLATE", "text/html", "text/plain", "text/xml", "application/xml", "application/json")
		// What is compressed has another ETag, with which Apache never answers that nothing is new.
		w.line("SetEnvIf", "Request_URI", freshFiles, "no-gzip")
	} else {
		w.line("SetEnvIf", "Request_URI", ".", "no-gzip") // Debian compresses by default
	}
	if s.Rate != "" {
		w.line("SetEnvIf", "Request_URI", ".", fmt.Sprintf("rate-limit=%d", bytesOf(s.Rate)/1024))
		w.line("SetOutputFilter", "RATE_LIMIT")
	}
}

// bytesOf returns the number of a rate that siteRate matches.
func bytesOf(rate string) int {
	n, _ := strconv.Atoi(strings.TrimRight(rate, "kKmM"))
	switch rate[len(rate)-1] {
	case 'k', 'K':
		return n << 10
	case 'm', 'M':
		return n << 20
	}
	return n
}

// apacheAnswer writes the answer of a single URL, which no file has: an error document for the
// status 200.
func apacheAnswer(w *apacheWriter, url, kind, text string) {
	exact := "^" + regexp.QuoteMeta(url) + "$"
	w.blank()
	w.line("RedirectMatch", "200", exact)
	w.open("LocationMatch", exact)
	w.line("ErrorDocument", "200", apacheEscape(text))
	w.line("Header", "always", "set", "Content-Type", kind)
	w.close("LocationMatch")
}

// apacheEscape returns a text for ErrorDocument, which reads it as an expression
// (https://httpd.apache.org/docs/2.4/expr.html). The function unescape reads %XX, but takes no
// encoded slash.
func apacheEscape(text string) string {
	if apachePlain.MatchString(text) {
		return text
	}
	var b strings.Builder
	for _, c := range []byte(text) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(" /.,:;=<>!*_~-", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return "%{unescape:" + b.String() + "}"
}

// apachePlain is text that ErrorDocument reads as a text, and that has nothing to escape.
var apachePlain = regexp.MustCompile(`^[a-z0-9]+$`)

// apacheAnswers writes single files and answers.
func apacheAnswers(w *apacheWriter, s *Site) {
	for _, part := range []struct{ what, file string }{{"header", s.Header}, {"footer", s.Footer}} {
		if part.file != "" {
			apacheFile(w, sitePart(part.what), part.file)
		}
	}
	switch page := sitePage(s); page {
	case "":
	case pageOfTrees:
		apacheAnswer(w, "/", "text/html; charset=utf-8", siteIndex(s))
	default:
		apacheFile(w, "/", page)
	}
	if s.Robots != "" {
		apacheAnswer(w, "/robots.txt", "text/plain; charset=utf-8", strings.TrimRight(s.Robots, "\n")+"\n")
	}
	if s.Health != "" {
		apacheAnswer(w, s.Health, "text/plain", "ok\n")
	}
	redirected := s.redirected()
	for _, from := range slices.Sorted(maps.Keys(redirected)) {
		// Redirect alone takes what follows the path, too, and RedirectMatch escapes the URL again.
		apacheRedirect(w, regexp.QuoteMeta(from)+"$", from, redirected[from])
	}
	for _, below := range s.moved() {
		apacheRedirect(w, regexp.QuoteMeta(below)+apacheExcept(s, below), below, s.movedTo(below))
	}
}

// apacheRedirect writes a redirect of the URL paths that match a pattern.
func apacheRedirect(w *apacheWriter, pattern, from, to string) {
	w.blank()
	w.open("LocationMatch", "^"+pattern)
	w.line("Redirect", "301", from, to)
	w.close("LocationMatch")
}

// apacheExcept returns a pattern that keeps a redirect of all below a URL path from what the site
// answers there itself, since Apache redirects before it looks for files.
func apacheExcept(s *Site, below string) string {
	var except []string
	if below == "/" && sitePage(s) != "" {
		except = append(except, "$")
	}
	for _, url := range s.within(below) {
		pattern := regexp.QuoteMeta(strings.TrimPrefix(url, below))
		if !strings.HasSuffix(url, "/") {
			pattern += "$"
		}
		except = append(except, pattern)
	}
	if len(except) == 0 {
		return ""
	}
	return "(?!" + strings.Join(except, "|") + ")"
}

// apacheFile writes the answer of a single URL that is an HTML file.
func apacheFile(w *apacheWriter, url, file string) {
	exact := "^" + regexp.QuoteMeta(url) + "$"
	w.blank()
	w.line("AliasMatch", exact, strings.NewReplacer(`\`, `\\`, "$", `\$`).Replace(file))
	w.open("LocationMatch", exact)
	w.line("Require", "all", "granted")
	w.line("ForceType", "text/html")
	w.close("LocationMatch")
}

// apacheParts writes the header and footer of listings.
func apacheParts(w *apacheWriter, s *Site) {
	if s.Header != "" {
		w.line("HeaderName", sitePart("header"))
	}
	if s.Footer != "" {
		w.line("ReadmeName", sitePart("footer"))
	}
}

// apacheChallenges writes the directory of an ACME client.
func apacheChallenges(w *apacheWriter, s *Site) {
	if s.Webroot == "" {
		return
	}
	const url = "/.well-known/acme-challenge/"
	w.blank()
	w.line("Alias", url, s.Webroot+url)
	w.open("Directory", s.Webroot+strings.TrimSuffix(url, "/"))
	w.line("Options", "SymLinksIfOwnerMatch")
	w.line("AllowOverride", "None")
	w.line("Require", "all", "granted")
	w.line("ForceType", "text/plain")
	w.close("Directory")
}
