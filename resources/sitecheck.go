package resources

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/mirrorform/mirrorform/engine"
)

// The values of Site.HTTP.
const (
	httpServe    = "serve"
	httpRedirect = "redirect"
	httpOff      = "off"
)

var (
	// hostName is from RFC 1123, 2.1: labels of letters, digits and hyphens.
	hostName      = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)
	acmeEmail     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*@[A-Za-z0-9][A-Za-z0-9.-]*$`)
	acmeDirectory = regexp.MustCompile(`^https://[A-Za-z0-9\[][A-Za-z0-9._~:/?&=\[\]-]*$`)
	// urlPath needs no escape in a URL (RFC 3986, 2.3).
	urlPath = regexp.MustCompile(`^/([A-Za-z0-9._~-]+/)*$`)
)

// checkServerNames refuses names that servers do not accept, or read as a pattern.
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
		if strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
			return fmt.Errorf("%q is not a server name: write an international name as DNS has it, with xn--", name)
		}
		return fmt.Errorf("%q is not a server name: use a host name, *. and a host name, or an IP address", name)
	}
	return nil
}

// checkAliases refuses URL paths and directories that the server would read differently.
func checkAliases(server webServer, aliases map[string]string, root bool) []engine.Problem {
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
				"mirrorform checks there which configuration is served: use another path"))
		}
		out = append(out, report("aliases", checkServed(server, aliases[url]))...)
	}
	return out
}

// checkServed checks a path for the server's configuration.
func checkServed(server webServer, p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if err := server.checkText(p); err != nil {
		return err
	}
	return server.checkPath(p)
}

// checkTLS checks the attributes of HTTPS as configured.
func checkTLS(server webServer, want *Site) (out []engine.Problem) {
	switch {
	case want.Certificate == "" && want.CertificateKey != "":
		out = append(out, refusal("certificate_key", "a key is set without its certificate", "set certificate, too"))
	case want.Certificate != "" && want.CertificateKey == "":
		out = append(out, refusal("certificate", "a certificate is set without its key", "set certificate_key, too"))
	}
	elsewhere := isTrue(want.TLSElsewhere)
	if elsewhere && want.secure() {
		out = append(out, refusal("tls_elsewhere", "the site has a certificate, so HTTPS is not served elsewhere", "remove tls_elsewhere, or the certificate"))
	}
	if !want.secure() {
		for _, a := range []struct {
			name string
			set  bool
		}{
			{"http", want.HTTP != "" && !elsewhere}, {"tls_listen", len(want.TLSListen) > 0 && !elsewhere},
			{"http2", want.HTTP2 != nil}, {"http3", want.HTTP3 != nil},
		} {
			if a.set {
				out = append(out, refusal(a.name, a.name+" is set, but the site has no certificate, so it serves no HTTPS",
					"set certificate and certificate_key, or remove "+a.name))
			}
		}
	}
	out = append(out, checkACME(server, want)...)
	for _, f := range []struct{ name, path string }{{"certificate", want.Certificate}, {"certificate_key", want.CertificateKey}} {
		if f.path != "" {
			out = append(out, report(f.name, checkServed(server, f.path))...)
		}
	}
	switch want.HTTP {
	case "", httpServe, httpRedirect:
	case httpOff:
		if len(want.Listen) > 0 && !elsewhere {
			out = append(out, refusal("listen", `listen is set, but http = "off"`, "remove one of them"))
		}
	default:
		out = append(out, refusal("http", "unknown value", `use "serve", "redirect" or "off"`))
	}
	out = append(out, checkListens("tls_listen", want.TLSListen)...)
	for _, l := range want.TLSListen {
		for _, plain := range want.Listen {
			if l == plain {
				out = append(out, refusal("tls_listen", fmt.Sprintf("%q is also in listen", l), "use a port of its own for HTTPS, such as 443"))
			}
		}
	}
	return out
}

// checkACME checks the attributes of a certificate that the server itself gets.
func checkACME(server webServer, want *Site) (out []engine.Problem) {
	if !isTrue(want.ACME) {
		for _, a := range [][2]string{
			{"acme_email", want.ACMEEmail}, {"acme_directory", want.ACMEDirectory}, {"acme_root", want.ACMERoot},
		} {
			if a[1] != "" {
				out = append(out, refusal(a[0], a[0]+" is set without acme", "set acme = true, or remove it"))
			}
		}
		return out
	}
	if want.Certificate != "" {
		out = append(out, refusal("acme", "the site has a certificate, too", "remove acme, or certificate and certificate_key"))
	}
	for _, name := range want.ServerName {
		if strings.HasPrefix(name, "*.") {
			out = append(out, refusal("acme", fmt.Sprintf("a CA gives a certificate for %q only after a change in DNS", name),
				"list host names in server_name"))
		}
	}
	if len(want.ServerName) > 0 && !slices.ContainsFunc(want.ServerName, func(name string) bool { return !isAddress(name) }) {
		out = append(out, refusal("acme", "the site has no host name, and a CA gives certificates for these",
			"list host names in server_name"))
	}
	if a := want.ACMEEmail; a != "" && !acmeEmail.MatchString(a) {
		out = append(out, refusal("acme_email", fmt.Sprintf("%q is not an email address", a), "use NAME@HOST"))
	}
	if u := want.ACMEDirectory; u != "" && !acmeDirectory.MatchString(u) {
		out = append(out, refusal("acme_directory", fmt.Sprintf("%q is not the URL of a directory", u),
			"begin it with https://"))
	}
	if want.ACMERoot != "" {
		out = append(out, report("acme_root", checkServed(server, want.ACMERoot))...)
	}
	return out
}

// lacksACME refuses a certificate that the server itself gets, for servers that do not.
func lacksACME(s *Site, server string) []engine.Problem {
	if !isTrue(s.ACME) {
		return nil
	}
	return []engine.Problem{refusal("acme", server+" does not get certificates itself",
		"use the resource type certificate, and set certificate and certificate_key")}
}
