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

// reserved are networks that are not public, besides those known to package netip (IANA IPv4 and
// IPv6 Special-Purpose Address Registries).
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

// embedded are networks whose addresses contain an IPv4 address, with the index of its first byte.
var embedded = map[netip.Prefix]int{
	netip.MustParsePrefix("64:ff9b::/96"): 12, // NAT64
	netip.MustParsePrefix("2002::/16"):    2,  // 6to4
}

// special describes an address that is not public. It returns "" for a public one.
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

// leftError is the error of a redirect from the public network to a special address.
type leftError struct {
	address netip.Addr
	kind    string
}

func (e *leftError) Error() string {
	return fmt.Sprintf("it is redirected to %s, %s; redirects from the public network to other addresses are not "+
		"followed, since they "+
		"could reach services of this machine's network: redirect to a public address", e.address, e.kind)
}

// addressOf returns the address of "ADDRESS:PORT", as passed to net.Dialer.Control.
func addressOf(address string) netip.Addr {
	a, _ := netip.ParseAddrPort(address) // an invalid one is special
	return a.Addr()
}

// Client returns an HTTP client for one request to a URL from the operator. It does not follow
// redirects from the public network to special addresses. It checks the address of each connection,
// not the result of a lookup.
func Client(transport *http.Transport) *http.Client { return guarded(transport, special) }

// guarded is Client with another definition of special addresses.
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

// permitted returns the addresses of a host that may be contacted: only the public ones if the name
// has public and other ones. Addresses from --resolve are always permitted.
func (p *probe) permitted(ctx context.Context, host string, list []netip.Addr) []netip.Addr {
	if p.v.given(host) {
		return list
	}
	public := false
	for _, f := range []family{ipv4, ipv6} {
		all, _ := p.v.lookup(ctx, f, host) // lookupName and add report the error
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
			message := fmt.Sprintf("the name %s has public addresses, and %s, %s, which clients do not reach and which was "+
				"not checked",
				clean(host), a, kind)
			p.c.add(rawFinding{Error, CheckDNS, message, "remove it from the name's records", ""}, "", true)
			continue
		}
		out = append(out, a)
	}
	return out
}
