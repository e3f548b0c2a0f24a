package resources

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

var (
	// headerName is a token of RFC 9110, section 5.6.2, of letters, digits and hyphens.
	headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)
	// siteURL is a URL path of a single file or answer.
	siteURL = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/?$`)
	// siteURLs is all URL paths below one.
	siteURLs = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*/\*$`)
	siteRate = regexp.MustCompile(`^[1-9][0-9]{0,8}[kKmM]?$`)
)

// ownHeaders are headers that the server itself sets.
var ownHeaders = []string{"content-length", "content-type", "transfer-encoding", "connection", "date", "server"}

// checkSiteOptions refuses values that the server would read differently. Only log_format and extra
// can have its variables.
func checkSiteOptions(server webServer, s *Site) (out []engine.Problem) {
	for _, f := range []struct{ name, path string }{{"header", s.Header}, {"footer", s.Footer}, {"listing", s.Listing}, {"webroot", s.Webroot}} {
		if f.path != "" {
			out = append(out, report(f.name, checkServed(server, f.path))...)
		}
	}
	switch {
	case s.Listing == "":
	case s.Header != "" || s.Footer != "":
		out = append(out, refusal("listing", "a template is the whole page of a listing, so header and footer have no place",
			"remove listing, or header and footer"))
	case isFalse(s.Autoindex):
		out = append(out, refusal("listing", "the site has no listings", "remove listing, or autoindex"))
	}
	page := sitePage(s)
	if page != "" && page != pageOfTrees {
		out = append(out, report("page", checkServed(server, page))...)
	}
	if page != "" && (s.Root != "" || s.Aliases["/"] != "") {
		out = append(out, refusal("page", "the site has a directory at /, so page has no place", "remove page, or the directory at /"))
	}
	if s.AccessLog != "" && s.AccessLog != "off" {
		out = append(out, report("access_log", checkServed(server, s.AccessLog))...)
	}
	if s.AccessLog == "off" && (s.LogFormat != "" || isTrue(s.AnonymizeLog)) {
		out = append(out, refusal("access_log", "the access log is off, so log_format and anonymize_log have no meaning", "remove them, or access_log"))
	}
	if s.LogFormat != "" {
		out = append(out, report("log_format", checkText(s.LogFormat))...)
	}
	out = append(out, checkHeaders(server, s)...)
	if s.MaxConnections != nil && (*s.MaxConnections < 1 || *s.MaxConnections > 65535) {
		out = append(out, refusal("max_connections", fmt.Sprintf("invalid number %d", *s.MaxConnections), "use a number from 1 to 65535"))
	}
	if s.Rate != "" && !siteRate.MatchString(s.Rate) {
		out = append(out, refusal("rate", fmt.Sprintf("invalid rate %q", s.Rate), "use bytes per second, such as 500k or 20m"))
	}
	out = append(out, report("robots", checkAnswer(server, s.Robots))...)
	out = append(out, checkURLs(server, s)...)
	if s.Extra != "" {
		out = append(out, report("extra", server.checkExtra(s.Extra))...)
	}
	return out
}

func checkHeaders(server webServer, s *Site) (out []engine.Problem) {
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		why := ""
		switch lower := strings.ToLower(name); {
		case slices.Contains(ownHeaders, lower):
			why = server.facts(engine.Target{}).Name + " sets it"
		case lower == "alt-svc":
			why = "http3 sets it"
		case lower == "cache-control" && isTrue(s.Cache):
			why = "cache sets it"
		}
		switch {
		case !headerName.MatchString(name):
			out = append(out, refusal("headers", fmt.Sprintf("%q is not the name of a header", name), "use letters, digits and -"))
		case why != "":
			out = append(out, refusal("headers", fmt.Sprintf("the header %s cannot be set: %s", name, why), "remove it"))
		default:
			out = append(out, report("headers", checkAnswer(server, s.Headers[name]))...)
			out = append(out, report("headers", checkText(s.Headers[name]))...)
		}
	}
	return out
}

// checkAnswer checks a text that the server sends.
func checkAnswer(server webServer, text string) error {
	if err := checkLines(text); err != nil {
		return err
	}
	return server.checkText(text)
}

// checkLines is checkText for a text of several lines.
func checkLines(text string) error {
	for line := range strings.SplitSeq(text, "\n") {
		if err := checkText(line); err != nil {
			return err
		}
	}
	return nil
}

// checkURLs checks the URL paths of single answers, which must differ.
func checkURLs(server webServer, s *Site) (out []engine.Problem) {
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
		to := s.Redirects[from]
		if siteURLs.MatchString(from) {
			out = append(out, checkMoved(s, strings.TrimSuffix(from, "*"), to)...)
		} else {
			check("redirects", from)
		}
		if err := checkAnswer(server, to); err != nil || checkText(to) != nil || !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "https://") && !strings.HasPrefix(to, "http://") || strings.ContainsAny(to, " \"\\") {
			out = append(out, refusal("redirects", fmt.Sprintf("%q is neither a URL nor a URL path", to), "begin it with https://, http:// or /, without spaces and $"))
		}
	}
	return out
}

// checkMoved checks a redirect of all URL paths below one.
func checkMoved(s *Site, below, to string) (out []engine.Problem) {
	owns := func(tree string) bool { return len(tree) > len(below) && strings.HasPrefix(to, tree) }
	dots := slices.ContainsFunc(strings.Split(below, "/"), func(s string) bool { return s == "." || s == ".." })
	switch {
	case dots:
		out = append(out, refusal("redirects", fmt.Sprintf("invalid URL path %q", below+"*"), "leave out . and .."))
	case s.Aliases[below] != "" || below == "/" && s.Root != "":
		out = append(out, refusal("redirects", fmt.Sprintf("%s is a directory, so %s* has no place", below, below), "use another one"))
	case s.Redirects[below] != "":
		out = append(out, refusal("redirects", fmt.Sprintf("both %s and %s* are set", below, below), "remove one of them"))
	case !strings.HasSuffix(to, "/"):
		out = append(out, refusal("redirects", fmt.Sprintf("%q, to which %s* leads, does not end with a slash", to, below),
			fmt.Sprintf("use %q: what follows %s in the request is added to it", to+"/", below)))
	case strings.HasPrefix(to, below) && !slices.ContainsFunc(slices.Collect(maps.Keys(s.Aliases)), owns):
		out = append(out, refusal("redirects", fmt.Sprintf("%s* leads to itself", below), "use another URL"))
	}
	return out
}
