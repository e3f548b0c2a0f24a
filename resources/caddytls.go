package resources

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// caddyTLS writes where the certificate of a block is from. Caddy's own settings are TLS 1.2 and
// 1.3 with ciphers that have forward secrecy. An issuer that is written out is the only one: Caddy
// would use a second CA otherwise.
func caddyTLS(w *caddyWriter, s *Site) {
	w.word(caddyListens + strings.Join(s.TLSListen, " "))
	if s.Certificate != "" {
		w.line("tls", s.Certificate, s.CertificateKey)
		return
	}
	w.open("tls")
	w.open("issuer", "acme")
	options := [][]string{{"dir", s.ACMEDirectory}, {"email", s.ACMEEmail}, {"trusted_roots", s.ACMERoot}}
	for _, option := range options {
		if option[1] != "" {
			w.line(option...)
		}
	}
	w.close()
	w.close()
}

// caddyMay asks whether Caddy's account can read (-r) or write to (-w) a path. An access control
// list may allow it.
func caddyMay(test, path string) wire.Query {
	return wire.Query{Verb: wire.AskRun, Args: []string{"/usr/bin/setpriv", "--reuid=" + caddyAccount,
		"--regid=" + caddyAccount, "--init-groups", "--", "/usr/bin/test", test, path}}
}

// caddyCovers asks whether a certificate is for a name.
func caddyCovers(certificate, name string) wire.Query {
	return wire.Query{Verb: wire.AskRun, Args: []string{"/usr/bin/openssl", "x509", "-noout", "-checkhost", name,
		"-in", certificate}}
}

// caddyThere asks whether a file is there, through links.
func caddyThere(file string) wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: file, Option: "follow"}
}

// caddyAccess is a path that Caddy's account needs.
type caddyAccess struct{ attribute, test, verb, path string }

// caddyNeeds are the certificate, the key, and the directory of the access log, which Caddy would
// leave out without an error.
func caddyNeeds(s *Site) (list []caddyAccess) {
	if s.Certificate != "" {
		list = append(list, caddyAccess{"certificate", "-r", "read", s.Certificate},
			caddyAccess{"certificate_key", "-r", "read", s.CertificateKey})
	}
	if path.IsAbs(s.AccessLog) {
		list = append(list, caddyAccess{"access_log", "-w", "write to", path.Dir(s.AccessLog)})
	}
	return list
}

// caddyListens begins the comment that has Site.TLSListen, which the addresses of a block lack.
const caddyListens = "# tls_listen "

func (caddy) written(listens []string) []string { return listens }

// readTLS implements webServer.
func (caddy) readTLS(s *Site, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if listens, ok := strings.CutPrefix(line, caddyListens); ok {
			s.TLSListen = strings.Fields(listens)
		}
		tokens, err := caddyTokens(line)
		if err == nil && len(tokens) == 3 && tokens[0].word == "tls" && tokens[2].word != "{" {
			s.Certificate, s.CertificateKey = tokens[1].word, tokens[2].word
		}
	}
}

// caddyHosts are the names that a certificate has to be for. A pattern stands for one of its names.
func caddyHosts(s *Site) (names []string) {
	if s.Certificate == "" {
		return nil
	}
	for _, name := range caddyNames(s, true) {
		if !isAddress(name) {
			names = append(names, strings.Replace(name, "*", "mirrorform", 1))
		}
	}
	return names
}

func caddyAccountQueries(s *Site) (list []wire.Query) {
	for _, n := range caddyNeeds(s) {
		list = append(list, caddyThere(n.path), caddyMay(n.test, n.path))
	}
	for _, name := range caddyHosts(s) {
		list = append(list, caddyCovers(s.Certificate, name))
	}
	return list
}

// checkCaddyAccount refuses files that Caddy could not read or write to, and a certificate that is
// not for all names: Caddy would request one for the others by itself. What is missing or not known
// is left to the check of the configuration.
func checkCaddyAccount(t engine.Target, s *Site, got engine.Answers) (out []engine.Problem) {
	for _, n := range caddyNeeds(s) {
		there, err := got.File(caddyThere(n.path))
		run, err1 := got.Run(caddyMay(n.test, n.path))
		if err == nil && err1 == nil && there.Kind != wire.Absent && run.Exit == 1 && run.Stderr == "" {
			out = append(out, refusal(n.attribute,
				fmt.Sprintf("%s: Caddy cannot %s %s, which belongs to %s:%s with mode %04o", t.Name, n.verb, n.path,
					there.Owner, there.Group, there.Mode),
				"allow it to the account "+caddyAccount+", in the directories above, too: by group and mode, or with setfacl"))
		}
	}
	for _, name := range caddyHosts(s) {
		run, err := got.Run(caddyCovers(s.Certificate, name))
		if err == nil && strings.Contains(run.Stdout, "does NOT match") {
			out = append(out, refusal("certificate",
				fmt.Sprintf("%s: the certificate %s is not for %s, and Caddy would request one by itself", t.Name,
					s.Certificate, name),
				"use a certificate for all names of the site, or remove the name from server_name"))
		}
	}
	return out
}

// caddyIssued asks whether Caddy has got a certificate of the CA for a name.
func caddyIssued(s *Site, name string) wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: CaddyCertificate(s.ACMEDirectory, name)}
}

// caddyIssuedNames are the names that Caddy gets certificates for.
func caddyIssuedNames(s *Site) (names []string) {
	if !isTrue(s.ACME) {
		return nil
	}
	return slices.DeleteFunc(caddyNames(s, true), isAddress)
}

// checkCovered warns of names that Caddy requests no certificate for: a certificate of files that
// another site loads is for them, too (https://caddyserver.com/docs/automatic-https#activation).
// Only a global option, auto_https, changes that, for all sites. The certificate is not read: it is
// known by a pattern among the names of its site, or by a certificate of the CA that never came.
func (c *caddyConfig) checkCovered(t engine.Target, s *Site, got engine.Answers) (out []engine.Problem) {
	own := caddyFacts.siteFile(s.File)
	there := slices.ContainsFunc(c.sites, func(f caddyFound) bool { return f.file == own })
	for _, name := range caddyIssuedNames(s) {
		issued, err := got.File(caddyIssued(s, name))
		unissued := there && err == nil && issued.Kind == wire.Absent
		for _, other := range c.sites {
			if !other.certificate || other.file == own || !unissued && !other.hasPatternFor(name) {
				continue
			}
			out = append(out, caution("acme",
				fmt.Sprintf("%s: Caddy requests no certificate for %s: it uses one that a site loads from files, at %s:%d",
					t.Name, name, other.file, other.line),
				"to have one of the CA, use a certificate there that is not for this name; to use that one, "+
					"set certificate and certificate_key instead of acme"))
			break
		}
	}
	return out
}

// hasPatternFor reports whether an address of the site is a pattern for a name.
func (f *caddyFound) hasPatternFor(name string) bool {
	_, domain, _ := strings.Cut(strings.ToLower(name), ".")
	return slices.ContainsFunc(f.addresses, func(a caddyAddress) bool { return a.secure() && a.host == "*."+domain })
}

// letsEncrypt is the directory of Let's Encrypt's CA, Caddy's default.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// CaddyCertificate returns the file in which Caddy keeps the certificate of a name that it got from
// the CA with a directory; "" is Let's Encrypt's. Caddy's packages set the directory above
// (https://caddyserver.com/docs/conventions#data-directory).
func CaddyCertificate(directory, name string) string {
	ca := strings.TrimPrefix(cmp.Or(directory, letsEncrypt), "https://")
	ca = strings.ToLower(strings.NewReplacer("/", "-", ":", "-").Replace(strings.Trim(ca, "/")))
	name = strings.ToLower(name)
	return "/var/lib/caddy/.local/share/caddy/certificates/" + ca + "/" + name + "/" + name + ".crt"
}
