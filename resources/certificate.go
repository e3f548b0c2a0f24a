package resources

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Certificate is a certificate of an ACME CA such as Let's Encrypt, which certbot requests and
// renews. The CA asks for a file of each name over HTTP: a site must answer there, such as an
// nginx_site with the same Webroot. The files are in /etc/letsencrypt/live/NAME.
//
// A CA may be down or refuse, so certificates, and what needs them, are applied after everything
// else was committed. If that fails, the rest stays, and the next apply tries again. A removal
// keeps the certificate, since CAs limit how many they issue: to delete it, run certbot delete.
type Certificate struct {
	Name string `hcl:"name" id:"true"` // name of the certificate in certbot (--cert-name)
	// Domains are the host names of the certificate; default: Name.
	Domains []string `hcl:"domains,optional" argv:"true"`
	// Email is where the CA may write to. It counts for the first certificate of a host, which creates
	// the account with the CA.
	Email string `hcl:"email,optional" argv:"true"`
	// Webroot is the absolute path of the directory from which a site serves
	// /.well-known/acme-challenge; default: /var/lib/letsencrypt.
	Webroot string `hcl:"webroot,optional" argv:"true"`
	// Directory is the URL of the CA's ACME directory; default: that of Let's Encrypt.
	Directory string `hcl:"directory,optional" argv:"true"`
	// Staging requests test certificates, which clients do not trust, from Let's Encrypt.
	Staging *bool `hcl:"staging,optional"`
	// KeyType is the type of the private key, ecdsa or rsa; default of a new certificate: that of
	// certbot, which is ecdsa since version 2.0.
	KeyType string `hcl:"key_type,optional" argv:"true"`

	expires  string           `fingerprint:"-"` // found: its last day, if that is near or past
	problems []engine.Problem // found
}

const (
	acmeRoot    = "/var/lib/letsencrypt"
	acmeCA      = "https://acme-v02.api.letsencrypt.org/directory"
	acmeStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
	certbotDir  = "/etc/letsencrypt"
	// certbotTimeout is in seconds. A CA may take minutes for many names.
	certbotTimeout = 30 * 60
)

type certificateType struct{}

func init() { register("certificate", certificateType{}) }

// Complete returns want with its defaults.
func (certificateType) Complete(_ engine.Target, want *Certificate) *Certificate {
	full := *want
	if len(full.Domains) == 0 {
		full.Domains = []string{full.Name}
	}
	full.Webroot = cmp.Or(full.Webroot, acmeRoot)
	if full.Directory == "" {
		if full.Directory = acmeCA; isTrue(full.Staging) {
			full.Directory = acmeStaging
		}
	}
	return &full
}

// Later implements engine.Later: the CA is not part of the host.
func (certificateType) Later(*Certificate) bool { return true }

// Keep implements engine.Keeper.
func (certificateType) Keep() string { return "CAs limit how many certificates they issue" }

func (certificateType) live(s *Certificate) string { return certbotDir + "/live/" + s.Name }

func (ct certificateType) Keys(_ engine.Target, want *Certificate) (provides, needs []engine.Key) {
	return []engine.Key{engine.PathKey(ct.live(want))},
		[]engine.Key{engine.PackageKey("certbot"), engine.PathKey(certbotDir), engine.PathKey(cmp.Or(want.Webroot, acmeRoot))}
}

// Reads has the sites that answer the CA, which come first.
func (ct certificateType) Reads(t engine.Target, want *Certificate) []engine.Key {
	var keys []engine.Key
	for _, d := range ct.Complete(t, want).Domains {
		keys = append(keys, engine.Key("site:"+strings.ToLower(d)+" on 80"))
	}
	return keys
}

var (
	lineageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	mailUser    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._%+-]*$`)
)

func (ct certificateType) Validate(want *Certificate) []engine.Problem {
	full := ct.Complete(engine.Target{}, want)
	var out []engine.Problem
	if len(full.Name) > 200 || !lineageName.MatchString(full.Name) {
		out = append(out, refusal("name", fmt.Sprintf("invalid name of a certificate: %q", full.Name),
			"use letters, digits, dots, - and _, such as the first host name"))
	}
	if len(full.Domains) > 100 {
		out = append(out, refusal("domains", fmt.Sprintf("%d names are more than one certificate can have", len(full.Domains)),
			"declare several certificates, with at most 100 names each"))
	}
	seen := map[string]bool{}
	for _, d := range full.Domains {
		switch key := strings.ToLower(d); {
		case strings.HasPrefix(d, "*."):
			out = append(out, refusal("domains", fmt.Sprintf("%q: CAs check a wildcard only by DNS", d),
				"list the names, or get the certificate by other means and set its path where it is used"))
		case !IsHostName(d) || !strings.ContainsFunc(d, isLetter):
			out = append(out, refusal("domains", fmt.Sprintf("%q is not a host name", d), "write it as in DNS, without a port or URL"))
		case seen[key]:
			out = append(out, refusal("domains", fmt.Sprintf("%q is listed twice", d), "remove one of them"))
		default:
			seen[key] = true
		}
	}
	if want.Email != "" {
		user, domain, ok := strings.Cut(want.Email, "@")
		if !ok || len(want.Email) > 254 || !mailUser.MatchString(user) || !IsHostName(domain) {
			out = append(out, refusal("email", fmt.Sprintf("%q is not an e-mail address", want.Email), ""))
		}
	}
	out = append(out, report("webroot", checkPath(full.Webroot))...)
	if strings.ContainsAny(full.Webroot, ",#%\"'") || strings.TrimSpace(full.Webroot) != full.Webroot {
		out = append(out, refusal("webroot", fmt.Sprintf("certbot cannot store the path %q", full.Webroot), "use another directory"))
	}
	if want.Directory != "" {
		out = append(out, report("directory", checkDirectory(want.Directory))...)
		if isTrue(want.Staging) {
			out = append(out, refusal("staging", "staging is about Let's Encrypt, and directory names a CA", "remove one of them"))
		}
	}
	if k := want.KeyType; k != "" && k != "ecdsa" && k != "rsa" {
		out = append(out, refusal("key_type", fmt.Sprintf("%q is not a type of key", k), `use "ecdsa" or "rsa"`))
	}
	return out
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// checkDirectory checks the URL of a CA's directory.
func checkDirectory(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(s) > 1000 ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%q is not the URL of an ACME directory, such as %s", s, acmeCA)
	}
	return nil
}

func (certificateType) renewal(s *Certificate) wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: certbotDir + "/renewal/" + s.Name + ".conf", Option: "content"}
}

func (ct certificateType) current(s *Certificate) wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: ct.live(s) + "/cert.pem", Option: "follow-content"}
}

// hostTime asks for the time of the host's clock, in seconds since the epoch.
var hostTime = wire.Query{Verb: wire.AskRun, Args: []string{"/bin/date", "+%s"}}

func (ct certificateType) Ask(_ engine.Target, want *Certificate) []wire.Query {
	return []wire.Query{ct.renewal(want), ct.current(want), hostTime}
}

func (ct certificateType) Read(t engine.Target, want *Certificate, got engine.Answers) (*Certificate, error) {
	conf, err := got.File(ct.renewal(want))
	if err != nil {
		return nil, err
	}
	file, err := got.File(ct.current(want))
	if err != nil {
		return nil, err
	}
	full := ct.Complete(t, want)
	odd := func(what, advice string) (*Certificate, error) {
		have := *full
		have.problems = []engine.Problem{refusal("name", t.Name+": "+what, advice)}
		return &have, nil
	}
	switch {
	case conf.Kind == wire.Absent && file.Kind == wire.Absent:
		return nil, nil
	case conf.Kind == wire.Absent:
		return odd(ct.live(want)+" has a certificate that certbot does not manage", "use another name, or move that directory away")
	case conf.Kind != wire.Regular:
		return odd(ct.renewal(want).Arg+" is not a file", "use another name, or repair the host's certbot")
	}
	lineage := parseRenewal(string(conf.Content))
	if lineage.authenticator != "webroot" {
		return odd(fmt.Sprintf("certbot already has a certificate %s, by its method %q", want.Name, lineage.authenticator),
			"mirrorform manages certificates by the method webroot: use another name; or keep that one, remove this resource and set the "+
				"certificate's path where it is used")
	}
	cert := parseCertificate(file.Content)
	if cert == nil {
		return odd("certbot has a certificate "+want.Name+" whose file cert.pem cannot be read", "remove it with: certbot delete --cert-name "+want.Name)
	}
	have := &Certificate{Name: want.Name, Domains: slices.Clone(cert.DNSNames), Email: want.Email, Webroot: lineage.webroot, Directory: cmp.Or(lineage.server, acmeCA)}
	if sameNames(have.Domains, full.Domains) {
		have.Domains = full.Domains
	}
	if have.Directory == full.Directory {
		have.Staging = want.Staging
	}
	switch cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		have.KeyType = "ecdsa"
	case *rsa.PublicKey:
		have.KeyType = "rsa"
	}
	now, err := got.Run(hostTime)
	if err != nil {
		return nil, err
	}
	// certbot renews when 30 days are left; since version 4.0, when a third of the lifetime is
	// left, or half of one of less than ten days.
	if s, err := strconv.ParseInt(strings.TrimSpace(now.Stdout), 10, 64); err == nil {
		if left := cert.NotAfter.Sub(time.Unix(s, 0)); left < cert.NotAfter.Sub(cert.NotBefore)/5 {
			have.expires = cert.NotAfter.UTC().Format(time.DateOnly)
			if left < 0 {
				have.expires += " (past)"
			}
		}
	}
	return have, nil
}

// lineage is what certbot stores about a certificate.
type lineage struct{ authenticator, server, webroot string }

// parseRenewal reads a file of /etc/letsencrypt/renewal. Its webroots are those of the names, if
// they are listed; if there are several, they are joined.
func parseRenewal(text string) lineage {
	var l lineage
	var roots, byName []string
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = line
		case section == "[[webroot_map]]":
			byName = append(byName, value)
		case section != "[renewalparams]":
		case key == "authenticator":
			l.authenticator = value
		case key == "server":
			l.server = value
		case key == "webroot_path":
			for root := range strings.SplitSeq(value, ",") {
				if root = strings.TrimSpace(root); root != "" {
					roots = append(roots, root)
				}
			}
		}
	}
	if len(byName) > 0 {
		roots = byName
	}
	l.webroot = strings.Join(sorted(roots), ",")
	return l
}

// parseCertificate returns the first certificate of a PEM file, or nil.
func parseCertificate(text []byte) *x509.Certificate {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

// sameNames reports whether two lists have the same host names.
func sameNames(a, b []string) bool {
	return slices.Equal(sorted(lower(a)), sorted(lower(b)))
}

func lower(names []string) []string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = strings.ToLower(n)
	}
	return list
}

func (ct certificateType) Diff(_ engine.Target, want, have *Certificate) []engine.Step {
	if want == nil {
		return nil // CAs limit how many certificates they issue
	}
	if have == nil {
		return []engine.Step{ct.request(want, "request the certificate "+want.Name)}
	}
	var more []string
	if !sameNames(want.Domains, have.Domains) {
		more = append(more, "--renew-with-new-domains")
	}
	if want.Directory != have.Directory || want.Webroot != have.Webroot || want.KeyType != "" && want.KeyType != have.KeyType {
		more = append(more, "--force-renewal")
	}
	if len(more) == 0 || len(have.problems) > 0 {
		return nil
	}
	again := *want
	// Before certbot 1.25, a type of key other than the default one has to be named, or certbot
	// refuses: the default was RSA until 2.0, whatever the certificate has
	// (https://github.com/certbot/certbot/pull/9200).
	again.KeyType = cmp.Or(want.KeyType, have.KeyType)
	return []engine.Step{ct.request(&again, "request the certificate "+want.Name+" again", more...)}
}

// request returns the step that runs certbot. With --cert-name, certbot replaces the certificate of
// that name, if there is one.
func (certificateType) request(want *Certificate, summary string, more ...string) engine.Step {
	argv := []string{"/usr/bin/certbot", "certonly", "--non-interactive", "--agree-tos", "--webroot", "--webroot-path", want.Webroot,
		"--cert-name", want.Name, "--server", want.Directory}
	if want.Email != "" {
		argv = append(argv, "--email", want.Email)
	} else {
		argv = append(argv, "--register-unsafely-without-email")
	}
	if want.KeyType != "" {
		argv = append(argv, "--key-type", want.KeyType)
	}
	argv = append(argv, more...)
	for _, d := range want.Domains {
		argv = append(argv, "--domain", d)
	}
	return engine.Step{
		Summary: summary,
		Do:      wire.Op{Run: &wire.RunOp{Argv: argv, Timeout: certbotTimeout}},
		Final:   "the CA counts each certificate that it issues, and it stays",
		Hints:   certbotHints(want),
	}
}

func (certificateType) Check(t engine.Target, want, have *Certificate) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	out := slices.Clone(have.problems)
	// certbot refuses to replace a certificate that clients trust by a test certificate.
	if strings.Contains(want.Directory, "staging") && !strings.Contains(have.Directory, "staging") && len(out) == 0 {
		out = append(out, refusal("staging", fmt.Sprintf("%s: the certificate %s is not a test certificate, so certbot does not replace it by one", t.Name, want.Name),
			"remove staging, or use another name"))
	}
	if have.expires != "" {
		out = append(out, caution("", fmt.Sprintf("%s: the certificate %s is not renewed: its last day is %s", t.Name, want.Name, have.expires),
			"certbot.timer (certbot-renew.timer on EL) renews it: check that the timer is enabled, then see: certbot renew"))
	}
	return out
}
