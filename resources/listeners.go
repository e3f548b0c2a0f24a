package resources

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// A server that reloads with an address that another program holds may report success and keep its
// old configuration, or end. So the plan asks who listens on the ports of a site.

// listenersQuery returns the question about the ports of addresses as parseListen reads them.
// protocol is "" or wire.UDP.
func listenersQuery(protocol string, listens ...string) wire.Query {
	var ports []string
	for _, l := range listens {
		if _, port, err := parseListen(l); err == nil {
			ports = append(ports, port)
		}
	}
	return wire.Query{Verb: wire.AskListeners, Arg: protocol, Args: sorted(ports)}
}

// takenPorts returns a problem for each program other than the site's server that holds one of its
// addresses: a warning if the plan stops that program. An address that the server holds already is
// not taken, also if the server listens on all addresses instead.
func takenPorts(
	t engine.Target, protocol string, listens []string, server ServerFacts, got engine.Answers,
) (out []engine.Problem) {
	found, err := got.Listeners(listenersQuery(protocol, listens...))
	attribute := "listen"
	if protocol == wire.UDP {
		attribute = "http3"
	}
	if err != nil {
		return []engine.Problem{caution(attribute, "unknown which ports other programs hold: "+err.Error(),
			"the apply fails if "+server.Name+" cannot listen on those of the site")}
	}
	seen := map[string]bool{}
	for _, listen := range listens {
		var taken []engine.Problem
		own := false
		for _, s := range found.Sockets {
			holds, covers := server.holds(s, listen)
			switch {
			case !holds, s.Program == "" && found.Hidden:
			case s.Program == server.Program:
				own = own || covers
			case slices.Contains(t.Stops, s.Unit):
				taken = append(taken, handOver(t, s, attribute, server.Name))
			case hasSites(t, s.Program):
				taken = append(taken, takenByFormer(t, s, attribute, server.Name))
			default:
				taken = append(taken, takenBy(s, attribute, server.Name))
			}
		}
		for _, p := range taken {
			if !own && !seen[p.Summary] {
				seen[p.Summary] = true
				out = append(out, p)
			}
		}
	}
	return out
}

// stopOrMove is what to do about a port that another program holds.
const stopOrMove = "stop it, or choose another port"

// takenBy returns the problem of a socket that another program holds.
func takenBy(s wire.Listener, attribute, program string) engine.Problem {
	port, list := "port", "ss -tlnpe"
	if attribute == "http3" {
		port, list = "UDP port", "ss -ulnpe"
	}
	who, detail := fmt.Sprintf("%s (pid %d", bareOrQuoted(s.Program), s.PID), stopOrMove
	switch {
	case s.Program == "":
		who, detail = "the kernel or a container (", detail+"; to look for it: "+list
	case s.PID == 1:
		detail = "stop its socket unit, or choose another port; to list socket units: systemctl list-sockets"
	case s.Unit != "":
		who += ", " + bareOrQuoted(s.Unit)
		if strings.HasSuffix(s.Unit, ".service") && !strings.HasPrefix(s.Unit, "user@") && bareName.MatchString(s.Unit) {
			detail += "; to stop it: systemctl disable --now " + s.Unit
		}
	}
	who = strings.TrimSuffix(who+")", " ()")
	return refusal(attribute, fmt.Sprintf("%s %d is held by %s: %s could not listen there", port, s.Port, who, program), detail)
}

// handOver is the warning about a port that another program holds until the plan stops it.
func handOver(t engine.Target, s wire.Listener, attribute, program string) engine.Problem {
	return caution(attribute, fmt.Sprintf("HTTP on port %d is interrupted while %s hands over to %s", s.Port, programName(t, s.Program), program),
		"the new site is written and checked before; to serve without an interruption, use another port until a second apply")
}

// takenByFormer is the problem of a port that a web server holds which served sites of this
// configuration, and which the plan does not stop.
func takenByFormer(t engine.Target, s wire.Listener, attribute, program string) engine.Problem {
	p := takenBy(s, attribute, program)
	name := programName(t, s.Program)
	p.Detail = fmt.Sprintf("it was on the host before or serves other sites, so it stays: choose another port, or have %s serve "+
		`the files (in a mirror: web.server = "%s", with site = "join" to add them to a site of your own)`,
		name, ServerOf(t, s.Program)) + strings.TrimPrefix(p.Detail, stopOrMove)
	return p
}

// ServerOf returns the web server, by its name in the language, that has a program on a target, or
// "".
func ServerOf(t engine.Target, program string) string {
	for _, name := range WebServerNames() {
		if webServers[name].facts(t).Program == program {
			return name
		}
	}
	return ""
}

// programName returns the name of a program in messages.
func programName(t engine.Target, program string) string {
	if name := ServerOf(t, program); name != "" {
		return webServers[name].facts(t).Name
	}
	return bareOrQuoted(program)
}

// hasSites reports whether the manifest has sites of this configuration that a program serves.
func hasSites(t engine.Target, program string) bool {
	server := ServerOf(t, program)
	return server != "" && slices.ContainsFunc(t.Records, func(r engine.Record) bool { return r.Own && r.Type == server+"_site" })
}

// bareName is a name that needs no quotes, neither in a message nor in a command.
var bareName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,99}$`)

// bareOrQuoted makes one word of a name that a host sent.
func bareOrQuoted(name string) string {
	if bareName.MatchString(name) {
		return name
	}
	return fmt.Sprintf("%.100q", name)
}

// holdsListen reports whether a socket keeps a server from listening on an address, by the rules of
// Linux: a socket for all addresses conflicts with one for any of them. covers means that who has
// the socket listens on that address. A server listens on [::] without IPv4, as nginx does.
func holdsListen(s wire.Listener, listen string) (holds, covers bool) {
	address, port, err := parseListen(listen)
	if err != nil || port != fmt.Sprint(s.Port) {
		return false, false
	}
	has, err := netip.ParseAddr(s.Address)
	if err != nil {
		return true, false // not known, so it counts
	}
	wants := netip.IPv4Unspecified()
	if address != "*" {
		wants, _ = netip.ParseAddr(strings.Trim(address, "[]"))
	}
	if has.Is6() && wants.Is4() {
		return s.IPv4, s.IPv4
	}
	covers = has.Is4() == wants.Is4() && (has.IsUnspecified() || has == wants)
	return covers || has.Is4() == wants.Is4() && wants.IsUnspecified(), covers
}

// holds is holdsListen for the server, which may take all addresses of both families together.
func (f ServerFacts) holds(s wire.Listener, listen string) (holds, covers bool) {
	holds, covers = holdsListen(s, listen)
	if address, port, err := parseListen(listen); f.BothFamilies && !holds && err == nil && isWild(address) {
		ipv4, _ := holdsListen(s, port)
		ipv6, _ := holdsListen(s, "[::]:"+port)
		holds = ipv4 || ipv6
	}
	return holds, covers
}
