package resources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// CaddySite is a site of static files that Caddy serves: a file in /etc/caddy/Caddyfile.d. The
// Caddyfile has to import that directory: that of a distribution's package does, or mirrorform adds
// the line; a Caddyfile of your own gets it from you. An apply succeeds only if "caddy validate"
// accepts the configuration and Caddy then answers with it. The plan refuses a port that another
// program holds. The site starts Caddy, or has it load its configuration, by itself. Caddy follows
// links: only what the links in a directory lead to, and the account caddy can read, keeps a file
// from being served.
type CaddySite = Site

func init() { register("caddy_site", siteType{"caddy_site", caddy{}}) }

// caddy is the web server of that name.
type caddy struct{}

// Fedora's and EPEL's Caddyfile imports the directory of sites, and so mirrorform uses it on
// Debian, too.
var caddyFacts = ServerFacts{
	Name: "Caddy", Program: "caddy", Package: "caddy", Unit: "caddy.service",
	Config: "/etc/caddy", Sites: "/etc/caddy/Caddyfile.d", Makes: true, Suffix: ".caddyfile", ACME: true, EPEL: true, FollowsLinks: true, BothFamilies: true,
	Snippets: "/etc/caddy/mirrorform.d",
	Hints: []engine.Hint{
		{Text: "instead of",
			Advice: "parts of a configuration that Caddy refused earlier may still answer: restart it with systemctl restart caddy, " +
				"and apply again"},
		{Text: "internal error", // the alert of a handshake for a name without a certificate
			Advice: "Caddy has not got a certificate for this name. To see what the CA answered, run on the host: " +
				"journalctl --unit caddy --since -5min --grep 'could not get certificate'"},
	},
	Test:   "/sbin/runuser -u caddy -- /usr/bin/caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile",
	Reload: "/usr/bin/caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile --force",
}

const (
	caddyAccount = "caddy"
	caddyMain    = "/etc/caddy/Caddyfile"
)

func (caddy) facts(engine.Target) ServerFacts { return caddyFacts }

// lacks implements webServer. Options of all sites together, such as the protocols, are only in the
// Caddyfile, which is the operator's.
func (caddy) lacks(s *Site) (out []engine.Problem) {
	lack := func(attribute string, is bool, what, advice string) {
		if is {
			out = append(out, refusal(attribute, "Caddy "+what, advice))
		}
	}
	lack("max_connections", s.MaxConnections != nil, "cannot limit the requests of a client",
		"remove max_connections, or use nginx")
	lack("rate", s.Rate != "", "cannot limit the speed of a response", "remove rate, or use nginx")
	lack("header", s.Header != "", "has no text before its listings", "remove header, or use nginx")
	lack("footer", s.Footer != "", "has no text after its listings", "remove footer, or use nginx")
	lack("log_format", s.LogFormat != "", "writes access logs as JSON only", "remove log_format, or use nginx")
	lack("http2", isFalse(s.HTTP2), "always offers HTTP/2: only the global options of your Caddyfile can change that",
		"remove http2")
	if s.secure() {
		out = append(out, caddyRedirects(s)...)
	}
	return out
}

// caddyRedirects refuses a site that Caddy would add a redirect for: from port 80 of each address
// with HTTPS, unless the site answers there.
func caddyRedirects(s *Site) []engine.Problem {
	if s.HTTP == httpOff {
		if s.TreesOf != "" {
			return nil // the site that it takes the trees of answers there
		}
		return []engine.Problem{refusal("http", "Caddy redirects from port 80 to each site over HTTPS: it cannot be off",
			`use "redirect" or "serve"`)}
	}
	plain := bindings(s.Listen, "80")
	for _, l := range s.TLSListen {
		address, _, err := parseListen(l)
		if err == nil && !slices.Contains(plain, caddyBind(address)) && !slices.Contains(plain, "") {
			return []engine.Problem{refusal("listen",
				"Caddy redirects from port 80 to each site over HTTPS, so the site has to listen there",
				"listen on port 80 of each address of tls_listen")}
		}
	}
	return nil
}

// bindings returns the addresses that listens have on a port; "" is all of them.
func bindings(listens []string, port string) (addresses []string) {
	for _, l := range listens {
		if address, p, err := parseListen(l); err == nil && p == port {
			addresses = append(addresses, caddyBind(address))
		}
	}
	return addresses
}

// caddyBind returns an address for Caddy's directive bind, or "" for all addresses. Caddy listens
// on all addresses of IPv4 and IPv6 with one socket.
func caddyBind(address string) string {
	if isWild(address) {
		return ""
	}
	return strings.Trim(address, "[]")
}

// checkText refuses what Caddy replaces in any word, quoted or not: placeholders and environment
// variables. A backslash escapes quotes only, so it has no escape itself.
func (caddy) checkText(text string) error {
	if i := strings.IndexAny(text, `{}\`); i >= 0 {
		return fmt.Errorf("%q contains %c, which has a meaning in Caddy's configuration: use one without it", text, text[i])
	}
	return nil
}

func (caddy) checkPath(string) error { return nil }

// packaged implements webServer: Debian 12 and 13, and Ubuntu have 2.6.2, EPEL has a later one.
func (caddy) packaged(os wire.OSFacts) serverVersion {
	if os.Family == "el" {
		return serverVersion{Major: 2, Minor: 8}
	}
	return serverVersion{Major: 2, Minor: 6, Patch: 2}
}

var (
	caddyVersionQuery = wire.Query{Verb: wire.AskRun, Args: []string{"/usr/bin/caddy", "version"}}
	caddyVersionLine  = regexp.MustCompile(`(?m)^v?([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})`)
)

// ask implements webServer. Caddy reads a certificate as its own account.
func (caddy) ask(_ engine.Target, s *Site, undecided bool) []wire.Query {
	list := []wire.Query{caddyVersionQuery, caddyConfigQuery, caddyMainQuery, caddySitesQuery}
	list = append(list, caddyAccountQueries(s)...)
	for _, name := range caddyIssuedNames(s) {
		list = append(list, caddyIssued(s, name))
	}
	if undecided {
		list = append(list, caddyPagesQuery, caddyAnswerQuery(s))
	}
	return list
}

func (caddy) settle(t engine.Target, s *Site, got engine.Answers) {
	if run, err := got.Run(caddyVersionQuery); err == nil && run.Exit == 0 {
		if v, ok := versionIn(run.Stdout, caddyVersionLine); ok {
			s.version = v
		}
	}
	unit, err := got.Unit(caddyFacts.unitQuery())
	s.caddy = settleCaddy(t, s, err == nil && unit.LoadState != "not-found", got)
}

func (caddy) check(t engine.Target, s *Site) []engine.Problem {
	if v := s.version; isTrue(s.HTTP3) && !v.renewsHTTP3() {
		return append(slices.Clip(s.caddy.problems), refusal("http3",
			fmt.Sprintf("%s: Caddy %d.%d uses an earlier certificate over HTTP/3 until it is restarted", t.Name, v.Major, v.Minor),
			"remove http3, or install Caddy 2.7 or later"))
	}
	return s.caddy.problems
}

// before adds the import of the directory of sites to the package's Caddyfile.
func (caddy) before(_ engine.Target, s, _ *Site) []engine.Step {
	if s.caddy.importing == nil {
		return nil
	}
	return []engine.Step{writeCaddyfile("import the sites in "+caddyFacts.Sites+" in "+caddyMain, s.caddy.importing)}
}

// after restores the package's Caddyfile when its last site is gone.
func (caddy) after(have *Site) []engine.Step {
	if have.caddy.restored == nil {
		return nil
	}
	restored := writeCaddyfile("restore "+caddyMain+", which imports no sites", have.caddy.restored)
	return []engine.Step{restored, removal(caddyFacts.Sites)}
}

func writeCaddyfile(summary string, content []byte) engine.Step {
	write := &wire.WriteOp{Path: caddyMain, Content: content}
	return engine.Step{Summary: summary, Do: wire.Op{Write: write}, Undo: restore(caddyMain)}
}

// test checks the whole configuration, as Caddy's account: "caddy validate" reads certificates, and
// makes files that Caddy could not write to if they were root's.
func (caddy) test(engine.Target, *Site) engine.Step {
	return engine.Step{
		Summary: "check the configuration of Caddy",
		Do: wire.Op{Run: &wire.RunOp{Argv: []string{"/sbin/runuser", "-u", caddyAccount, "--",
			"/usr/bin/caddy", "validate", "--config", caddyMain, "--adapter", "caddyfile"}, Timeout: 60}},
		Final: engine.ChangesNothing,
	}
}

// caddyReload has a running Caddy load its configuration.
var caddyReload = []string{"/usr/bin/caddy", "reload", "--config", caddyMain, "--adapter", "caddyfile", "--force"}

// load has a running Caddy load its configuration by Caddy's own program: "systemctl reload" would
// wait forever for a Caddy that refuses it, which systemd then considers to be reloading. Such a
// Caddy answers some requests by parts of what it refused: servers that started before one that
// failed go on until a restart. So it is restarted once it has loaded the configuration; the undo
// does the same (wire.UnitRestore).
func (caddy) load(_ engine.Target, _ *Site, is serverState) []engine.Step {
	load := unitStep("reload", caddyFacts.Unit, wire.UnitLoad, wire.UnitRestore)
	if !is.running {
		return []engine.Step{load}
	}
	load.Do = wire.Op{Run: &wire.RunOp{Argv: caddyReload, Timeout: 30}}
	if !is.reloading {
		return []engine.Step{load}
	}
	return []engine.Step{load, caddyRestart()}
}

// caddyLoad is load for a service, which records what the unit has loaded.
func caddyLoad() engine.Step {
	load := unitStep("reload", caddyFacts.Unit, wire.UnitLoad, wire.UnitRestore)
	load.Do.Unit.Program = caddyReload
	return load
}

func caddyRestart() engine.Step {
	return unitStep("restart", caddyFacts.Unit, wire.UnitRestart, wire.UnitRestore)
}

func (caddy) text(_ engine.Target, s *Site, digest string) string { return caddyText(s, digest) }
