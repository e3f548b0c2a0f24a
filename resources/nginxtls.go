package resources

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// The values of NginxSite.HTTP.
const (
	httpServe    = "serve"
	httpRedirect = "redirect"
	httpOff      = "off"
)

// tlsSettings are Mozilla's intermediate configuration, version 5.7 of 2023-07-21
// (https://ssl-config.mozilla.org/guidelines/5.7.json), without the ciphers that need a file of
// Diffie-Hellman parameters. The name of the session cache is the same for all sites, which share
// it.
var tlsSettings = []string{
	"ssl_protocols TLSv1.2 TLSv1.3",
	"ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" +
		"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
	"ssl_prefer_server_ciphers off",
	"ssl_session_timeout 1d",
	"ssl_session_cache shared:mirrorform:10m",
	"ssl_session_tickets off",
}

// siteTLSListens writes what the server block answers over TLS; listens is nil in a block that only
// redirects to it. nginx takes HTTP/2 as a parameter of listen before version 1.25.1, and as a
// directive since.
func siteTLSListens(w *nginxWriter, s *NginxSite, listens []string) {
	if len(listens) == 0 {
		return
	}
	for _, l := range listens {
		words := []string{"listen", l, "ssl"}
		if !isFalse(s.HTTP2) && !s.nginx.http2Directive() {
			words = append(words, "http2")
		}
		w.line(words...)
		if isTrue(s.HTTP3) {
			w.line("listen", l, "quic")
		}
	}
	if !isFalse(s.HTTP2) && s.nginx.http2Directive() {
		w.line("http2", "on")
	}
	w.line("ssl_certificate", s.Certificate)
	w.line("ssl_certificate_key", s.CertificateKey)
	for _, setting := range tlsSettings {
		w.line(strings.Fields(setting)...)
	}
	if isTrue(s.HTTP3) {
		_, port, _ := parseListen(listens[0])
		w.word(fmt.Sprintf(`add_header Alt-Svc "h3=\":%s\"; ma=86400" always;`, port))
	}
}

// checkTLS checks the attributes of HTTPS as configured.
func checkTLS(want *NginxSite) (out []engine.Problem) {
	switch {
	case want.Certificate == "" && want.CertificateKey != "":
		out = append(out, refusal("certificate_key", "a key is set without its certificate", "set certificate, too"))
	case want.Certificate != "" && want.CertificateKey == "":
		out = append(out, refusal("certificate", "a certificate is set without its key", "set certificate_key, too"))
	}
	if want.Certificate == "" {
		for _, a := range []struct {
			name string
			set  bool
		}{
			{"http", want.HTTP != ""}, {"tls_listen", len(want.TLSListen) > 0}, {"http2", want.HTTP2 != nil}, {"http3", want.HTTP3 != nil},
		} {
			if a.set {
				out = append(out, refusal(a.name, a.name+" is set, but the site has no certificate, so it serves no HTTPS",
					"set certificate and certificate_key, or remove "+a.name))
			}
		}
	}
	for _, f := range []struct{ name, path string }{{"certificate", want.Certificate}, {"certificate_key", want.CertificateKey}} {
		if f.path != "" {
			out = append(out, report(f.name, checkServed(f.path))...)
		}
	}
	switch want.HTTP {
	case "", httpServe, httpRedirect:
	case httpOff:
		if len(want.Listen) > 0 {
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

// nginxVersion is a version of nginx, and what it was built with.
type nginxVersion struct {
	Major, Minor, Patch int
	Installed, HTTP3    bool // whether the host has it, and whether that can HTTP/3
}

// http2Directive reports whether HTTP/2 is a directive: in 1.25.1 the parameter of listen became
// one that nginx warns about (https://nginx.org/en/docs/http/ngx_http_v2_module.html).
func (v nginxVersion) http2Directive() bool {
	return cmp.Or(cmp.Compare(v.Major, 1), cmp.Compare(v.Minor, 25), cmp.Compare(v.Patch, 1)) >= 0
}

// nginxOf returns the version that an operating system's own package has, for a host on which nginx
// is not installed yet.
func nginxOf(os wire.OSFacts) nginxVersion {
	major, _, _ := strings.Cut(os.Version, ".")
	n, _ := strconv.Atoi(major)
	switch {
	case os.ID == "debian" && n >= 13, os.ID == "ubuntu" && n >= 25, os.Family == "el" && n >= 10:
		return nginxVersion{Major: 1, Minor: 26}
	}
	return nginxVersion{Major: 1, Minor: 18}
}

var (
	nginxVersionQuery = wire.Query{Verb: wire.AskRun, Args: []string{"/usr/sbin/nginx", "-V"}}
	nginxVersionLine  = regexp.MustCompile(`(?m)^nginx version: \S*/([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})`)
)

// installedNginx returns the version that the host has, if it has one.
func installedNginx(s *NginxSite, got engine.Answers) (v nginxVersion, ok bool) {
	if s.Certificate == "" {
		return v, false
	}
	run, err := got.Run(nginxVersionQuery)
	if err != nil || run.Exit != 0 {
		return v, false
	}
	m := nginxVersionLine.FindStringSubmatch(run.Stderr)
	if m == nil {
		return v, false
	}
	for i, n := range []*int{&v.Major, &v.Minor, &v.Patch} {
		*n, _ = strconv.Atoi(m[i+1])
	}
	v.Installed = true
	v.HTTP3 = strings.Contains(run.Stderr, "--with-http_v3_module")
	return v, true
}
