package resources

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// What nginx keeps for all sites together is named after the file.
func siteVariable(s *Site, what string) string {
	return "mirrorform_" + strings.ReplaceAll(s.File, "-", "_") + "_" + what
}

// siteOutside writes what stands before the server block: maps, zones and formats. Without serves,
// the site only redirects.
//
// Packages and metadata named after their digest never change. A file that lists what is new is
// asked for again each time, which its ETag makes cheap. Other responses have no such header.
func siteOutside(w *nginxWriter, s *Site, serves bool) {
	if isTrue(s.Cache) && serves {
		w.open("map", "$uri", "$"+siteVariable(s, "cache"))
		w.quoted("default", "")
		w.word(`"~` + freshFiles + `" ` + freshCache + `;`)
		for _, files := range []string{digestFiles, packageFiles} {
			w.word(`"~` + files + `" "` + foreverCached + `";`)
		}
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
	if s.MaxConnections != nil && serves {
		w.line("limit_conn_zone", "$binary_remote_addr", "zone="+siteVariable(s, "connections")+":10m")
		w.blank()
	}
}

// combined is nginx's predefined format of that name, with its variable for the client to replace.
const combined = `%s - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`

// siteLogFormat returns the site's own log format, or "".
func siteLogFormat(s *Site) string {
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
func siteOptions(w *nginxWriter, s *Site) {
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
	siteLog(w, s)
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

// siteLog writes where the requests of a server block are logged.
func siteLog(w *nginxWriter, s *Site) {
	switch format := siteLogFormat(s); {
	case s.AccessLog == "off":
		w.line("access_log", "off")
	case format != "":
		w.line("access_log", cmp.Or(s.AccessLog, "/var/log/nginx/access.log"), siteVariable(s, "log"))
	case s.AccessLog != "":
		w.line("access_log", s.AccessLog)
	}
}

// sitePart is the URL path of a part of a listing, which nginx asks itself for.
func sitePart(what string) string { return "/.well-known/mirrorform-" + what }

// siteAnswers writes the locations of single files and answers.
func siteAnswers(w *nginxWriter, s *Site) {
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
	redirected := s.redirected()
	for _, from := range slices.Sorted(maps.Keys(redirected)) {
		w.blank()
		w.redirect(from, redirected[from])
	}
}
