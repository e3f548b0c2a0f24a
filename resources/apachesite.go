package resources

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// ApacheSite is a site of static files that Apache httpd serves: a file with one or two virtual
// hosts, zz-NAME.conf in /etc/apache2/sites-enabled on Debian and in /etc/httpd/conf.d on EL. An
// apply succeeds only if Apache accepts its configuration and then answers with the new one. The
// plan refuses a port that another program holds, a name that another virtual host has, and a
// site that needs a module that Apache does not load. The site starts or reloads Apache by
// itself: a service for Apache comes after it, and its reload_on need not list the site's file.
// Apache cannot do max_connections and http3.
type ApacheSite = Site

func init() { register("apache_site", siteType{"apache_site", apache{}}) }

// apache is the web server of that name: the package apache2 of Debian, and httpd of EL.
type apache struct{}

var (
	// The file is in sites-enabled itself: one file with one owner, instead of a file and a link
	// that can be removed apart from each other. Apache reads the files in the order of their
	// names, and the first virtual host answers what no name matches: the prefix leaves that to
	// the others.
	apacheDebian = ServerFacts{
		Name: "Apache", Program: "apache2", Package: "apache2", Unit: "apache2.service",
		Config: "/etc/apache2", Sites: "/etc/apache2/sites-enabled", Prefix: "zz-", Suffix: ".conf",
		Snippets: "/etc/apache2/mirrorform.d", Log: "/var/log/apache2/access.log", BothFamilies: true,
		Test: "/usr/sbin/apache2ctl -t", Reload: "/usr/bin/systemctl reload apache2.service",
	}
	apacheEL = ServerFacts{
		Name: "Apache", Program: "httpd", Package: "httpd", Unit: "httpd.service",
		Config: "/etc/httpd", Sites: "/etc/httpd/conf.d", Prefix: "zz-", Suffix: ".conf",
		Snippets: "/etc/httpd/mirrorform.d", Log: "/var/log/httpd/access_log", BothFamilies: true,
		Test: "/usr/sbin/httpd -t", Reload: "/usr/bin/systemctl reload httpd.service",
	}
)

func (apache) facts(t engine.Target) ServerFacts {
	if isEL(t.Facts.OS) {
		return apacheEL
	}
	return apacheDebian
}

func isEL(os wire.OSFacts) bool { return os.Family == "el" }

func (apache) lacks(s *Site) (out []engine.Problem) {
	out = lacksACME(s, "Apache")
	if s.Listing != "" {
		out = append(out, refusal("listing", "Apache has no template for listings", "use header and footer"))
	}
	if s.MaxConnections != nil {
		out = append(out, refusal("max_connections", "Apache cannot limit the requests of one address",
			"remove it, use nginx, or limit connections in the firewall"))
	}
	if isTrue(s.HTTP3) {
		out = append(out, refusal("http3", "Apache has no HTTP/3", "remove it, or use nginx or Caddy"))
	}
	if s.Rate != "" && siteRate.MatchString(s.Rate) && bytesOf(s.Rate)%1024 > 0 {
		out = append(out, refusal("rate", fmt.Sprintf("Apache limits a connection to whole KiB per second, and %s is not a whole number of them", s.Rate),
			"use a rate such as 500k or 20m"))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		if strings.HasPrefix(s.Headers[name], "expr=") {
			out = append(out, refusal("headers", fmt.Sprintf("the value of %s begins with expr=, which begins an expression of Apache", name), "use another value"))
		}
	}
	return out
}

func (apache) check(engine.Target, *Site) []engine.Problem { return nil }

func (apache) checkText(text string) error {
	if strings.Contains(text, "${") {
		return fmt.Errorf("%q contains ${, which begins a variable in Apache's configuration: use one without it", text)
	}
	return nil
}

func (apache) checkPath(p string) error {
	if strings.ContainsAny(p, "*?[") {
		return fmt.Errorf("%q contains *, ? or [, which begin a pattern in Apache's configuration: use one without it", p)
	}
	return nil
}

// checkExtra requires whole directives: an open section would take in what follows, and a closing
// one would end the virtual host.
func (apache) checkExtra(text string) error {
	if err := checkLines(strings.ReplaceAll(text, "\t", " ")); err != nil {
		return err
	}
	if strings.HasSuffix(strings.TrimRight(text, "\n"), `\`) {
		return fmt.Errorf(`its last line ends with \, so it would go on with the next one`)
	}
	_, err := apacheTree(text)
	return err
}

// packaged implements webServer: nothing depends on Apache's version.
func (apache) packaged(wire.OSFacts) serverVersion { return serverVersion{} }

func (apache) text(t engine.Target, s *Site, digest string) string { return apacheText(t, s, digest) }

func (apache) before(_ engine.Target, s, _ *Site) []engine.Step {
	if !s.keyless {
		return nil
	}
	return []engine.Step{{
		Summary: "make the certificate of the package's own site",
		Do:      wire.Op{Run: &wire.RunOp{Argv: []string{"/usr/bin/systemctl", "start", apacheKeyUnit}}},
		Final:   "it is made once, and mod_ssl needs it",
	}}
}

func (apache) after(*Site) []engine.Step { return nil }

// control returns the command line of Apache's program. On Debian, its configuration needs the
// environment that apache2ctl sets.
func (apache) control(t engine.Target, args ...string) []string {
	program := "/usr/sbin/apache2ctl"
	if isEL(t.Facts.OS) {
		program = "/usr/sbin/httpd"
	}
	return append([]string{program}, args...)
}

func (a apache) test(t engine.Target, _ *Site) engine.Step {
	return engine.Step{
		Summary: "check the configuration of Apache", Do: wire.Op{Run: &wire.RunOp{Argv: a.control(t, "-t")}},
		Final: "a check changes nothing", Hints: apacheHints,
	}
}

// apacheHints are causes that Apache's messages do not name.
var apacheHints = []engine.Hint{
	{Text: "Invalid command", Advice: "if Apache does not load the module of that directive, enable it; on Debian: a2enmod MODULE && systemctl restart apache2"},
	{Text: "Cannot define multiple Listeners", Advice: "two files of Apache's configuration listen on this port: remove one Listen line"},
}

// load reloads Apache, which lets downloads finish. A module that speaks another protocol needs a
// restart: an Apache 2.4.67 that gets mod_http2 by a reload crashes at connections with TLS 1.2.
func (a apache) load(t engine.Target, s *Site, _ serverState) []engine.Step {
	unit := a.facts(t).Unit
	step := unitStep("reload", unit, wire.UnitLoad, wire.UnitRestore)
	if s != nil && s.restart {
		step = unitStep("restart", unit, wire.UnitRestart, wire.UnitRestore)
	}
	step.Hints = []engine.Hint{{
		Text:   unit + ": Main process exited",
		Advice: "Apache ends if it cannot listen on an address; the cause is in " + path.Dir(a.facts(t).Log) + ", in the error log",
	}}
	return []engine.Step{step}
}
