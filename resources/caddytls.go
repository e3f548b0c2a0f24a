package resources

import (
	"fmt"
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

// caddyReadable asks whether Caddy's account can read a file. An access control list may allow it.
func caddyReadable(file string) wire.Query {
	return wire.Query{Verb: wire.AskRun, Args: []string{"/usr/bin/setpriv", "--reuid=" + caddyAccount,
		"--regid=" + caddyAccount, "--init-groups", "--", "/usr/bin/test", "-r", file}}
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

// caddySecrets are the files of a site that only Caddy's account has to read, by attribute.
func caddySecrets(s *Site) [][2]string {
	if s.Certificate == "" {
		return nil
	}
	return [][2]string{{"certificate", s.Certificate}, {"certificate_key", s.CertificateKey}}
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

func caddySecretQueries(s *Site) (list []wire.Query) {
	for _, f := range caddySecrets(s) {
		list = append(list, caddyThere(f[1]), caddyReadable(f[1]))
	}
	for _, name := range caddyHosts(s) {
		list = append(list, caddyCovers(s.Certificate, name))
	}
	return list
}

// checkCaddySecrets refuses files that Caddy could not read, and a certificate that is not for all
// names: Caddy would request one for the others by itself. What is missing or not known is left to
// the check of the configuration.
func checkCaddySecrets(t engine.Target, s *Site, got engine.Answers) (out []engine.Problem) {
	for _, f := range caddySecrets(s) {
		attribute, path := f[0], f[1]
		there, err := got.File(caddyThere(path))
		run, err1 := got.Run(caddyReadable(path))
		if err == nil && err1 == nil && there.Kind == wire.Regular && run.Exit == 1 && run.Stderr == "" {
			out = append(out, refusal(attribute,
				fmt.Sprintf("%s: Caddy cannot read %s, which belongs to %s:%s with mode %04o", t.Name, path,
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
