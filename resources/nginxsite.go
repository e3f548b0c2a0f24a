package resources

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// NginxSite is a site of static files that nginx serves: a file with one server in
// /etc/nginx/conf.d. An apply succeeds only if "nginx -t" accepts the file without a warning and
// nginx then answers with the new configuration. The plan refuses a port that another program
// holds. The site starts or reloads nginx by itself: a service for nginx comes after it, and its
// reload_on need not list the site's file.
type NginxSite = Site

func init() { register("nginx_site", siteType{"nginx_site", nginx{}}) }

const nginxUnit = "nginx.service"

// nginx is the web server of that name.
type nginx struct{}

var nginxFacts = ServerFacts{
	Name: "nginx", Program: "nginx", Package: "nginx", Unit: nginxUnit,
	Config: "/etc/nginx", Sites: "/etc/nginx/conf.d", Suffix: ".conf",
	Snippets: "/etc/nginx/mirrorform.d", Log: "/var/log/nginx/access.log",
	Test: "/usr/sbin/nginx -t -q", Reload: "/usr/bin/systemctl reload nginx.service",
}

// NginxXSLT is the package of the module that a site with a stylesheet for listings needs.
func NginxXSLT(os wire.OSFacts) string {
	if isEL(os) {
		return "nginx-mod-http-xslt-filter"
	}
	return "libnginx-mod-http-xslt-filter"
}

func (nginx) facts(engine.Target) ServerFacts { return nginxFacts }

func (nginx) lacks(s *Site) []engine.Problem { return lacksACME(s, "nginx") }

func (nginx) check(t engine.Target, s *Site) []engine.Problem {
	if v := s.version; isTrue(s.HTTP3) && v.Installed && !v.HTTP3 {
		return []engine.Problem{refusal("http3",
			fmt.Sprintf("%s: nginx %d.%d.%d of this host has no HTTP/3", t.Name, v.Major, v.Minor, v.Patch),
			"remove http3, or install nginx 1.25 or later with ngx_http_v3_module")}
	}
	return nil
}

func (nginx) checkText(text string) error {
	if strings.Contains(text, "$") {
		return fmt.Errorf("%q contains $, which begins a variable in nginx's configuration: use one without it", text)
	}
	return nil
}

func (nginx) checkPath(string) error { return nil }

func (nginx) ask(t engine.Target, s *Site, undecided bool) (list []wire.Query) {
	if s.Certificate != "" || isTrue(s.TLSElsewhere) {
		list = append(list, nginxVersionQuery)
	}
	if undecided {
		config, answer, pages := defaultQueries(s)
		list = append(append(list, config, answer), pages...)
	}
	if isTrue(s.HTTP3) {
		list = append(list, nginxConfigQuery)
	}
	if withoutIPv6(t, s) {
		list = append(list, packagedLink, packagedFile)
	}
	return list
}

func (n nginx) settle(t engine.Target, s *Site, got engine.Answers) {
	s.instead = ""
	if replacesPackaged(t, s, got) {
		s.instead = packagedLink.Arg
	}
	if v, ok := installedNginx(s, got); ok {
		s.version = v
	}
	n.settleQUIC(t, s, got)
}

func (nginx) before(_ engine.Target, s, have *Site) []engine.Step {
	if s.instead == "" || have != nil {
		return nil
	}
	return []engine.Step{removePackagedSite()}
}

func (nginx) after(*Site) []engine.Step { return nil }

// test checks the whole configuration. A warning about the file or a name of the site is an error:
// nginx only warns of a server name that another site has. Warnings about other sites are not.
func (nginx) test(_ engine.Target, s *Site) engine.Step {
	run := &wire.RunOp{Argv: []string{"/usr/sbin/nginx", "-t"}}
	if s != nil {
		run.Refuse, run.About = "[warn]", []string{nginxFacts.siteFile(s.File)}
		for _, name := range s.ServerName {
			run.About = append(run.About, `"`+bracketed(name)+`"`)
		}
	}
	return engine.Step{Summary: "check the configuration of nginx", Do: wire.Op{Run: run}, Final: engine.ChangesNothing}
}

func (nginx) load(engine.Target, *Site, serverState) []engine.Step {
	return []engine.Step{unitStep("reload", nginxUnit, wire.UnitLoad, wire.UnitRestore)}
}

// text returns what the site needs outside its server block, and the block. If HTTP is redirected,
// a second block does that.
func (nginx) text(_ engine.Target, s *Site, digest string) string { return nginxText(s, digest) }

// checkExtra requires whole directives: an open block would take in what follows, and a closing
// brace would end the server block.
func (nginx) checkExtra(text string) error {
	if err := checkLines(strings.ReplaceAll(text, "\t", " ")); err != nil {
		return err
	}
	tokens, err := nginxTokens(text + "\n")
	if err != nil {
		return fmt.Errorf("nginx cannot read it: %w", err)
	}
	depth, words := 0, 0
	for _, token := range tokens {
		switch token {
		case ";":
			if words == 0 {
				return fmt.Errorf("a ; without a directive")
			}
			words = 0
		case "{":
			if words == 0 {
				return fmt.Errorf("a { without a directive")
			}
			depth, words = depth+1, 0
		case "}":
			if depth--; depth < 0 || words > 0 {
				return fmt.Errorf("a } that ends no block, or follows a directive without ;")
			}
		default:
			words++
		}
	}
	if depth > 0 || words > 0 {
		return fmt.Errorf("it ends within a block or a directive: end each directive with ; and each block with }")
	}
	return nil
}
