package resources

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// What a site has to know of the rest of Apache's configuration: the other virtual hosts with their
// names, the modules, and who has Apache listen where.

// dumpQuery asks Apache for its virtual hosts and modules.
func (a apache) dumpQuery(t engine.Target) wire.Query {
	return wire.Query{Verb: wire.AskRun, Args: a.control(t, "-t", "-D", "DUMP_VHOSTS", "-D", "DUMP_MODULES")}
}

// listenLinesQuery asks for the Listen lines of the configuration's active files with the sections
// for modules, for those of virtual hosts, and for the files that mirrorform made.
func (a apache) listenLinesQuery(t engine.Target) wire.Query {
	return a.linesQuery(t, `^[[:space:]]*(Listen[[:space:]]|</?IfModule|<VirtualHost[[:space:]])|^# Managed by mirrorform: `)
}

// linesQuery asks for lines of the configuration's active files, with file and number.
func (apache) linesQuery(t engine.Target, lines string) wire.Query {
	args := []string{"/usr/bin/grep", "-RHnisE", "--include=*.conf"}
	if isEL(t.Facts.OS) {
		args = append(args, lines, "/etc/httpd/conf", "/etc/httpd/conf.d", "/etc/httpd/conf.modules.d")
	} else {
		args = append(args, "--exclude-dir=sites-available", "--exclude-dir=conf-available", "--exclude-dir=mods-available", lines, "/etc/apache2")
	}
	return wire.Query{Verb: wire.AskRun, Args: args}
}

func (a apache) ask(t engine.Target, s *Site, undecided bool) []wire.Query {
	list := []wire.Query{a.dumpQuery(t), a.listenLinesQuery(t)}
	if isEL(t.Facts.OS) {
		list = append(list, apacheOwnKey, apacheKeyQuery)
	}
	if undecided {
		list = append(list, apacheAddressQuery(s), apacheDefaultSite, apacheDefaultLink, apachePages, apacheWelcome)
	}
	return list
}

// On EL, mod_ssl has a virtual host of its own whose certificate is made when httpd starts for the
// first time. Until then, Apache cannot read its configuration, and so it could not be checked.
const apacheKeyUnit = "httpd-init.service"

var (
	apacheOwnKey   = wire.Query{Verb: wire.AskFile, Arg: "/etc/pki/tls/certs/localhost.crt"}
	apacheKeyQuery = wire.Query{Verb: wire.AskUnit, Arg: apacheKeyUnit}
)

// keyless reports whether that certificate has to be made: mod_ssl is there, or will be for a site
// over HTTPS.
func keyless(s *Site, got engine.Answers) bool {
	key, keyErr := got.File(apacheOwnKey)
	unit, unitErr := got.Unit(apacheKeyQuery)
	return keyErr == nil && unitErr == nil && key.Kind == wire.Absent && (unit.LoadState == "loaded" || s.Certificate != "")
}

// settle implements webServer. Before the package is installed, its own configuration is assumed.
func (a apache) settle(t engine.Target, s *Site, got engine.Answers) {
	var opens, bare []string
	restart := false
	s.keyless = isEL(t.Facts.OS) && keyless(s, got)
	unit, err := got.Unit(a.facts(t).unitQuery())
	switch {
	case err != nil:
		return // Read reports it
	case unit.LoadState == "not-found":
		opens = apacheOpens(t, s, apachePackaged(t), nil)
		bare = apacheBarePorts(s, apachePackaged(t), apachePackagedHosts(t), nil)
		packaged := func(name string) bool { return slices.Contains(apacheEnabled[isEL(t.Facts.OS)], name) }
		s.taken = append(s.taken, missingModules(t, s, packaged)...)
	default:
		lines, own, problem := a.listenLines(t, got)
		s.taken = append(s.taken, problem...)
		opens = apacheOpens(t, s, lines, &s.taken)
		dump, err := got.Run(a.dumpQuery(t))
		if err != nil || dump.Exit != 0 {
			bare = apacheBarePorts(s, lines, a.writtenHosts(t, got), own)
			break // the check of the configuration reports it, unless this site repairs it
		}
		loaded, hosts := loadedModules(dump.Stdout), apacheHosts(dump.Stdout)
		s.alone = len(problem) == 0 && a.alone(t, s, lines, loaded)
		bare = apacheBarePorts(s, lines, hosts, own)
		// Also for a site without HTTPS, which makes Apache load the modules of another one.
		restart = !loaded["http2"] && enabledHere(t, apacheModule(t.Facts.OS, "http2"))
		s.taken = append(s.taken, missingModules(t, s, func(name string) bool { return loaded[name] })...)
		s.taken = append(s.taken, a.sameNames(t, s, hosts, own)...)
		if loaded["mpm_prefork"] && s.Certificate != "" && !isFalse(s.HTTP2) {
			s.taken = append(s.taken, caution("http2", t.Name+": Apache runs with mpm_prefork, which does not support HTTP/2, so the site has HTTP/1.1 alone",
				"on Debian: a2dismod mpm_prefork && a2enmod mpm_event && systemctl restart apache2; or set http2 = false"))
		}
	}
	s.restart = restart
	if !slices.Equal(opens, s.opens) || !slices.Equal(bare, s.bare) {
		s.opens, s.bare, s.Content = opens, bare, nil
	}
}

// listenLine is a Listen directive.
type listenLine struct {
	file          string
	line          int
	address, port string   // address is "*" for all of both families
	own           bool     // in a file of mirrorform
	modules       []string // without them, the line does not count
}

// apachePackaged is where the packages have Apache listen: on 443 with mod_ssl, which a site over
// HTTPS needs.
func apachePackaged(engine.Target) []listenLine {
	return []listenLine{{address: "*", port: "80"}, {address: "*", port: "443"}}
}

// apachePackagedHosts are the virtual hosts that the packages have: EL's has one for HTTPS alone.
func apachePackagedHosts(t engine.Target) []apacheHost {
	if isEL(t.Facts.OS) {
		return nil
	}
	return []apacheHost{{address: "*", port: "80"}}
}

// apacheBarePorts returns the ports of the site over HTTP on which Apache answers with its main
// configuration, since no other virtual host is there.
func apacheBarePorts(s *Site, lines []listenLine, hosts []apacheHost, own map[string]bool) (ports []string) {
	for _, address := range vhostAddresses(s.Listen) {
		port, wild := strings.CutPrefix(address, "*:")
		listens := slices.ContainsFunc(lines, func(l listenLine) bool { return !l.own && l.port == port })
		other := slices.ContainsFunc(hosts, func(h apacheHost) bool {
			return h.address == "*" && (h.port == port || h.port == "*") && !own[h.file]
		})
		if wild && listens && !other && s.overHTTP() {
			ports = append(ports, port)
		}
	}
	return ports
}

// alone reports whether nothing has Apache listen once the plan has removed s. An Apache without an
// address ends at a reload, and reports success.
func (a apache) alone(t engine.Target, s *Site, lines []listenLine, loaded map[string]bool) bool {
	if wantsSites(t, "apache_site") {
		return false
	}
	var files []string
	for _, o := range append(sitesIn(t.Removed, "apache_site"), s) {
		files = append(files, a.facts(t).siteFile(o.File))
	}
	missing := func(module string) bool {
		name, without := strings.CutPrefix(module, "!")
		return loaded[strings.TrimPrefix(name, "mod_")] == without
	}
	return !slices.ContainsFunc(lines, func(l listenLine) bool {
		return !slices.Contains(files, l.file) && !slices.ContainsFunc(l.modules, missing)
	})
}

// apacheSection is the begin of a section for a module: by its name, or by that of its source file.
// With ! it is for an Apache without the module.
var apacheSection = regexp.MustCompile(`^(?i:<IfModule)\s+"?(?:mod_)?(!?[A-Za-z0-9_]+?)(?:_module|\.c)?"?\s*>$`)

var grepLine = regexp.MustCompile(`^([^:]+):([0-9]+):(.*)$`)

// listenLines returns the Listen lines of the configuration, and the files of mirrorform. A line in
// a section that does not count, such as IfModule, is taken as one that does: if that is wrong, the
// port is found closed after the reload.
func (a apache) listenLines(t engine.Target, got engine.Answers) (lines []listenLine, own map[string]bool, problems []engine.Problem) {
	run, err := got.Run(a.listenLinesQuery(t))
	if err == nil && run.Exit != 0 && run.Stdout == "" {
		err = fmt.Errorf("grep ended with exit status %d: %s", run.Exit, firstLine(run.Stderr))
	}
	if err != nil {
		return apachePackaged(t), nil, []engine.Problem{refusal("listen", t.Name+": unknown where Apache listens: "+err.Error(), "")}
	}
	own = map[string]bool{}
	modules := map[string][]string{} // of the open sections, by file
	for l := range strings.Lines(run.Stdout) {
		m := grepLine.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		text, in := strings.TrimSpace(m[3]), modules[m[1]]
		switch section := apacheSection.FindStringSubmatch(text); {
		case strings.HasPrefix(text, "#"):
			own[m[1]] = own[m[1]] || n == 1
			continue
		case apacheHostLine.MatchString(text):
			continue
		case section != nil:
			modules[m[1]] = append(slices.Clip(in), strings.ToLower(section[1]))
			continue
		case strings.HasPrefix(text, "<"):
			modules[m[1]] = in[:max(0, len(in)-1)]
			continue
		}
		if _, rest, err := apacheWord(text); err == nil && rest != "" {
			word, _, err := apacheWord(rest)
			address, port, bad := parseListen(word)
			if err != nil || bad != nil {
				continue // a name, or a variable
			}
			if isWild(address) {
				address = "*"
			}
			lines = append(lines, listenLine{file: m[1], line: n, address: address, port: port, modules: in})
		}
	}
	for i := range lines {
		lines[i].own = own[lines[i].file]
	}
	return lines, own, nil
}

// apacheOpens returns what the site's file has to listen on. Apache refuses to listen on an address
// twice, and ends if it finds one of its own addresses in use at a reload.
func apacheOpens(t engine.Target, s *Site, lines []listenLine, problems *[]engine.Problem) (opens []string) {
	wild := map[string]bool{}
	for _, address := range vhostAddresses(siteListensOn(s)) {
		if port, ok := strings.CutPrefix(address, "*:"); ok {
			wild[port] = true
		}
	}
	for _, listen := range vhostAddresses(siteListensOn(s)) {
		address, port, _ := parseListen(listen)
		covered := address != "*" && wild[port]
		for _, l := range lines {
			switch {
			case l.port != port:
			case l.address == address:
				covered = covered || !l.own
			case l.address == "*":
				covered = true
			case address == "*" && problems != nil:
				*problems = append(*problems, refusal("listen", fmt.Sprintf("%s: Apache listens on %s:%s alone (%s:%d), so it cannot listen on all addresses",
					t.Name, l.address, port, l.file, l.line), fmt.Sprintf("change that line to \"Listen %s\", or set listen to %q", port, l.address+":"+port)))
				covered = true
			}
		}
		if !covered {
			opens = append(opens, strings.TrimPrefix(listen, "*:"))
		}
	}
	return opens
}

// apacheHost is a virtual host.
type apacheHost struct {
	address, port string // address is "*" for all
	file          string
	line          int
	names         []string // lower case; * and ? are patterns
	first         bool     // it answers what no name on this address matches
}

var (
	hostAlone = regexp.MustCompile(`^(\S+):(\d+|\*)\s+(\S+) \((.*):(\d+)\)$`)
	hostMany  = regexp.MustCompile(`^(\S+):(\d+|\*)\s+is a NameVirtualHost$`)
	hostOne   = regexp.MustCompile(`^\s+port (\d+|\*) namevhost (\S+) \((.*):(\d+)\)$`)
	hostAlias = regexp.MustCompile(`^\s+(?:wild )?alias (\S+)$`)
)

// apacheHosts reads the output of -D DUMP_VHOSTS. It has no aliases of a virtual host that is alone
// on its address.
func apacheHosts(output string) (hosts []apacheHost) {
	address, first := "", false
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if m := hostAlone.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[5])
			hosts = append(hosts, apacheHost{m[1], m[2], m[4], n, []string{strings.ToLower(m[3])}, true})
		} else if m := hostMany.FindStringSubmatch(line); m != nil {
			address, first = m[1], true
		} else if m := hostOne.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[4])
			hosts = append(hosts, apacheHost{address, m[1], m[3], n, []string{strings.ToLower(m[2])}, first})
			first = false
		} else if m := hostAlias.FindStringSubmatch(line); m != nil && len(hosts) > 0 {
			last := &hosts[len(hosts)-1]
			last.names = append(last.names, strings.ToLower(m[1]))
		}
	}
	return hosts
}

// apacheHostLine is the begin of a virtual host.
var apacheHostLine = regexp.MustCompile(`^(?i:<VirtualHost)\s+([^>]+)>`)

// writtenHosts returns the addresses of the virtual hosts by the lines of the configuration: Apache
// lists none while it is broken.
func (a apache) writtenHosts(t engine.Target, got engine.Answers) (hosts []apacheHost) {
	run, err := got.Run(a.listenLinesQuery(t))
	if err != nil {
		return nil // listenLines refuses it
	}
	for l := range strings.Lines(run.Stdout) {
		m := grepLine.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil {
			continue
		}
		host := apacheHostLine.FindStringSubmatch(strings.TrimSpace(m[3]))
		if host == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		for _, word := range strings.Fields(strings.ReplaceAll(host[1], `"`, "")) {
			address, port := word, "*"
			if i := strings.LastIndexByte(word, ':'); i >= 0 && !strings.HasSuffix(word, "]") {
				address, port = word[:i], word[i+1:]
			}
			if isWild(address) || address == "_default_" {
				address = "*"
			}
			hosts = append(hosts, apacheHost{address: address, port: port, file: m[1], line: n})
		}
	}
	return hosts
}

// sameNames returns a problem for each name of the site that another virtual host has: Apache takes
// the first one, without a warning.
func (a apache) sameNames(t engine.Target, s *Site, hosts []apacheHost, own map[string]bool) (out []engine.Problem) {
	file := a.facts(t).siteFile(s.File)
	addresses := vhostAddresses(siteListensOn(s))
	for _, h := range hosts {
		if own[h.file] || !slices.Contains(addresses, h.address+":"+h.port) {
			continue
		}
		for _, name := range s.ServerName {
			if name == s.Address && s.Default == nil {
				continue // free decides about it
			}
			name = strings.ToLower(strings.Trim(bracketed(name), "[]"))
			if slices.ContainsFunc(h.names, func(other string) bool { return clashes(name, other, file < h.file) }) {
				out = append(out, refusal("server_name", fmt.Sprintf("%s: the name %s on port %s is that of the virtual host at %s:%d, and Apache serves only one of them",
					t.Name, name, h.port, h.file, h.line), "remove the name there, or here"))
				break
			}
		}
	}
	return out
}

// clashes reports whether two virtual hosts answer for the same names: with equal names, or because
// the first of them has a pattern that matches the other's name.
func clashes(name, other string, before bool) bool {
	if before {
		return name == other || strings.Contains(name, "*") && !strings.Contains(other, "*") && hostPattern(name).MatchString(other)
	}
	return name == other || strings.ContainsAny(other, "*?") && !strings.Contains(name, "*") && hostPattern(other).MatchString(name)
}

func hostPattern(pattern string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$")
}

// atAddress reports whether a virtual host answers for an address of the host alone.
func (h *apacheHost) atAddress(address string) bool {
	has, err := netip.ParseAddr(strings.Trim(h.address, "[]"))
	wants, err2 := netip.ParseAddr(strings.Trim(address, "[]"))
	return err == nil && err2 == nil && has == wants
}
