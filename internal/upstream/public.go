package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
)

// reserved are the networks that are not the public one, beside those that package netip knows
// (IANA's special-purpose registries).
var reserved = map[netip.Prefix]string{
	netip.MustParsePrefix("0.0.0.0/8"):       "an address of this machine",
	netip.MustParsePrefix("100.64.0.0/10"):   "an address of a provider's own network",
	netip.MustParsePrefix("192.0.0.0/24"):    "a reserved address",
	netip.MustParsePrefix("192.0.2.0/24"):    "an address for documentation",
	netip.MustParsePrefix("192.88.99.0/24"):  "a reserved address",
	netip.MustParsePrefix("198.18.0.0/15"):   "an address for benchmarks",
	netip.MustParsePrefix("198.51.100.0/24"): "an address for documentation",
	netip.MustParsePrefix("203.0.113.0/24"):  "an address for documentation",
	netip.MustParsePrefix("240.0.0.0/4"):     "a reserved address",
	netip.MustParsePrefix("::/96"):           "a reserved address",
	netip.MustParsePrefix("64:ff9b:1::/48"):  "an address that stands for one of a local network",
	netip.MustParsePrefix("100::/64"):        "a reserved address",
	netip.MustParsePrefix("2001::/23"):       "a reserved address",
	netip.MustParsePrefix("2001:db8::/32"):   "an address for documentation",
	netip.MustParsePrefix("3fff::/20"):       "an address for documentation",
	netip.MustParsePrefix("5f00::/16"):       "a reserved address",
	netip.MustParsePrefix("fec0::/10"):       "a private address",
}

// embedded are networks whose addresses stand for one of IPv4, with the byte that it begins at.
var embedded = map[netip.Prefix]int{
	netip.MustParsePrefix("64:ff9b::/96"): 12, // NAT64
	netip.MustParsePrefix("2002::/16"):    2,  // 6to4
}

// special says what an address is that is not of the public network; "" is one that is.
func special(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid() || a.IsUnspecified():
		return "no address of a host"
	case a.IsLoopback():
		return "an address of this machine"
	case a.IsPrivate():
		return "a private address"
	case a.IsLinkLocalUnicast():
		return "a link-local address"
	case a.IsMulticast():
		return "a multicast address"
	}
	for network, kind := range reserved {
		if network.Contains(a) {
			return kind
		}
	}
	for network, at := range embedded {
		if network.Contains(a) {
			bytes := a.As16()
			return special(netip.AddrFrom4([4]byte(bytes[at : at+4])))
		}
	}
	return ""
}

// leftError is the error of a request that was to leave the public network.
type leftError struct {
	address netip.Addr
	kind    string
}

func (e *leftError) Error() string {
	return fmt.Sprintf("it is redirected to %s, %s: what begins in the public network is not followed out of it, where this machine may reach what the server does not. "+
		"Have it redirect to a public address, or to none", e.address, e.kind)
}

// addressOf is the address of "ADDRESS:PORT", as net.Dialer.Control gets it.
func addressOf(address string) netip.Addr {
	a, _ := netip.ParseAddrPort(address) // an invalid one is special
	return a.Addr()
}

// Client returns an HTTP client for one request to a URL that the operator gave. It follows no
// redirect from the public network to another one. What counts is the address that is connected to,
// whatever names are looked up to.
func Client(transport *http.Transport) *http.Client { return guarded(transport, special) }

// guarded is Client with another notion of what is special.
func guarded(transport *http.Transport, special func(netip.Addr) string) *http.Client {
	var mu sync.Mutex
	begun, public := false, false
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		a := addressOf(address)
		kind := special(a)
		mu.Lock()
		defer mu.Unlock()
		if !begun {
			begun, public = true, kind == ""
		}
		if public && kind != "" {
			return &leftError{a, kind}
		}
		return nil
	}}
	transport.DialContext = d.DialContext
	return &http.Client{Transport: transport}
}

// permitted are the addresses of a host that may be asked: of a name that has public ones and
// others, the public ones. What the operator gave with --resolve may be asked in any case.
func (p *probe) permitted(ctx context.Context, host string, list []netip.Addr) []netip.Addr {
	if p.v.given(host) {
		return list
	}
	public := false
	for _, f := range []family{ipv4, ipv6} {
		all, _ := p.v.lookup(ctx, f, host) // that a family cannot be looked up is reported with its own
		for _, a := range all {
			public = public || p.v.special(a) == ""
		}
	}
	if !public {
		return list
	}
	var out []netip.Addr
	for _, a := range list {
		if kind := p.v.special(a); kind != "" {
			p.c.add(rawFinding{Error, CheckDNS, fmt.Sprintf("the name %s has public addresses, and %s, %s, which clients do not reach and which is not asked here", clean(host), a, kind),
				"remove it from the name's records", ""}, "", true)
			continue
		}
		out = append(out, a)
	}
	return out
}
