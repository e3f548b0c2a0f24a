package resources

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// A reload that cannot bind a port reports success and keeps the old configuration. So each site
// answers at siteMarker with a digest of its configuration, which is asked for at every port and
// over both address families.

// siteProbes returns the requests that only the current configuration of the site answers with its
// digest. Those over plain HTTP have no trees if HTTP is redirected.
func siteProbes(t engine.Target, s *Site) []*wire.ProbeOp {
	var probes []*wire.ProbeOp
	add := func(listens []string, tls, trees bool) {
		for _, address := range probeAddresses(t, listens) {
			p := &wire.ProbeOp{Address: address, TLS: tls, Host: probeHost(s), Path: siteMarker, Status: 200, Body: s.digest, Timeout: 10}
			if tls && isTrue(s.ACME) {
				p.Timeout = 90 // the CA answers first
			}
			if trees {
				p.Trees = siteTrees(s)
			}
			probes = append(probes, p)
		}
	}
	if s.overHTTP() {
		add(s.Listen, false, s.servesHTTP())
	}
	if s.secure() {
		first := len(probes)
		add(s.TLSListen, true, true)
		if isTrue(s.ACME) && len(probes) > first {
			probes = append(probes, otherNames(s, *probes[first])...)
		}
	}
	return probes
}

// otherNames repeats a probe for the other names of a site: a server that gets certificates itself
// has one for each.
func otherNames(s *Site, probe wire.ProbeOp) (probes []*wire.ProbeOp) {
	probe.Trees = nil
	for _, name := range caddyNames(s, true) {
		other := probe
		other.Host = strings.Replace(name, "*", "mirrorform", 1)
		if !strings.EqualFold(other.Host, probeHost(s)) {
			probes = append(probes, &other)
		}
	}
	return probes
}

// siteListensOn returns all that the server listens on for the site.
func siteListensOn(s *Site) []string {
	var listens []string
	if s.overHTTP() {
		listens = slices.Clip(s.Listen)
	}
	if s.secure() {
		listens = append(listens, s.TLSListen...)
	}
	return listens
}

// probeHost returns the first name of the site that is not a pattern, or a name that the pattern
// matches.
func probeHost(s *Site) string {
	host := "localhost"
	if len(s.ServerName) > 0 {
		host = s.ServerName[0]
		for _, name := range s.ServerName {
			if !strings.HasPrefix(name, "*.") {
				host = name
				break
			}
		}
	}
	return bracketed(strings.Replace(host, "*", "mirrorform", 1))
}

// probedBy completes the summary of a probe where a site has several.
func probedBy(s *Site, p *wire.ProbeOp) string {
	switch v6 := strings.HasPrefix(p.Address, "["); {
	case p.TLS && p.Host != probeHost(s):
		return " over HTTPS by another name"
	case p.TLS && v6:
		return " over HTTPS and IPv6"
	case p.TLS:
		return " over HTTPS"
	case v6:
		return " over IPv6"
	}
	return ""
}

// probeAddresses returns where the host itself reaches the server: for each address family the
// first of listens, with a loopback address instead of a wildcard.
func probeAddresses(t engine.Target, listens []string) (addresses []string) {
	seen := map[bool]bool{}
	for _, l := range listens {
		address := probeAddress([]string{l})
		v6 := strings.HasPrefix(address, "[")
		if address == "" || seen[v6] || v6 && !hasIPv6(t) {
			continue
		}
		seen[v6] = true
		addresses = append(addresses, address)
	}
	return addresses
}

// hasIPv6 reports whether the host has IPv6, which is assumed before it is reached.
func hasIPv6(t engine.Target) bool { return t.Facts.IPv6 || t.Facts.Kernel == "" }

// everywhere returns the addresses of all interfaces with a port.
func everywhere(t engine.Target, port string) []string {
	if hasIPv6(t) {
		return []string{port, "[::]:" + port}
	}
	return []string{port}
}

// isWild reports whether the address of a listen, as from parseListen, is that of all interfaces.
func isWild(address string) bool {
	a, err := netip.ParseAddr(strings.Trim(address, "[]"))
	return address == "*" || err == nil && a.IsUnspecified()
}
