package resources

import (
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// tlsSettings are Mozilla's intermediate configuration, see tlsCiphers. The name of the session
// cache is the same for all sites, which share it.
var tlsSettings = []string{
	"ssl_protocols TLSv1.2 TLSv1.3",
	"ssl_ciphers " + tlsCiphers,
	"ssl_prefer_server_ciphers off",
	"ssl_session_timeout 1d",
	"ssl_session_cache shared:mirrorform:10m",
	"ssl_session_tickets off",
}

// siteTLSListens writes what the server block answers over TLS; listens is nil in a block that only
// redirects to it. nginx takes HTTP/2 as a parameter of listen before version 1.25.1, and as a
// directive since.
func siteTLSListens(w *nginxWriter, s *Site, listens []string) {
	if len(listens) == 0 {
		return
	}
	for _, l := range listens {
		words := []string{"listen", l, "ssl"}
		if !isFalse(s.HTTP2) && !http2Directive(s) {
			words = append(words, "http2")
		}
		w.line(words...)
		if isTrue(s.HTTP3) {
			w.line(append([]string{"listen", l, "quic"}, reuse(s, l)...)...)
		}
	}
	if !isFalse(s.HTTP2) && http2Directive(s) {
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

// reuse returns the parameter that gives each worker a socket of its own, if no other site has it.
func reuse(s *Site, listen string) []string {
	if slices.Contains(s.shared, listen) {
		return nil
	}
	return []string{"reuseport"}
}

func (nginx) written(listens []string) []string { return listens }

// readTLS implements webServer.
func (nginx) readTLS(s *Site, text string) {
	tokens, err := nginxTokens(text)
	if err != nil {
		return
	}
	yes, no := true, false
	s.HTTP2 = &no
	for words := range nginxDirectives(tokens) {
		switch {
		case words[0] == "ssl_certificate" && len(words) == 2:
			s.Certificate = strings.TrimPrefix(words[1], "'") // it was in quotes
		case words[0] == "ssl_certificate_key" && len(words) == 2:
			s.CertificateKey = strings.TrimPrefix(words[1], "'")
		case words[0] == "http2":
			s.HTTP2 = &yes
		case words[0] != "listen" || len(words) < 3:
		case words[2] == "ssl":
			s.TLSListen = append(s.TLSListen, words[1])
			if slices.Contains(words, "http2") {
				s.HTTP2 = &yes
			}
		}
	}
}

// nginxDirectives returns the directives of a configuration with their words.
func nginxDirectives(tokens []string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		begin := 0
		for i, token := range tokens {
			if token != ";" && token != "{" && token != "}" {
				continue
			}
			if words := tokens[begin:i]; len(words) > 0 && !yield(words) {
				return
			}
			begin = i + 1
		}
	}
}

// http2Directive reports whether HTTP/2 is a directive: in 1.25.1 the parameter of listen became
// one that nginx warns about (https://nginx.org/en/docs/http/ngx_http_v2_module.html).
func http2Directive(s *Site) bool { return s.version.atLeast(1, 25, 1) }

// packaged implements webServer.
func (nginx) packaged(os wire.OSFacts) serverVersion {
	major, _, _ := strings.Cut(os.Version, ".")
	n, _ := strconv.Atoi(major)
	switch {
	case os.ID == "debian" && n >= 13, os.ID == "ubuntu" && n >= 25, os.Family == "el" && n >= 10:
		return serverVersion{Major: 1, Minor: 26}
	}
	return serverVersion{Major: 1, Minor: 18}
}

var (
	nginxVersionQuery = wire.Query{Verb: wire.AskRun, Args: []string{"/usr/sbin/nginx", "-V"}}
	nginxVersionLine  = regexp.MustCompile(`(?m)^nginx version: \S*/([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})`)
)

// installedNginx returns the version that the host has, if it has one.
func installedNginx(s *Site, got engine.Answers) (v serverVersion, ok bool) {
	if s.Certificate == "" && !isTrue(s.TLSElsewhere) {
		return v, false
	}
	run, err := got.Run(nginxVersionQuery)
	if err != nil || run.Exit != 0 {
		return v, false
	}
	v, ok = versionIn(run.Stderr, nginxVersionLine)
	v.HTTP3 = strings.Contains(run.Stderr, "--with-http_v3_module")
	return v, ok
}
