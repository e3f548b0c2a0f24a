package resources

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

// checkListens refuses addresses that a server cannot listen on.
func checkListens(attribute string, listens []string) []engine.Problem {
	var out []engine.Problem
	seen := map[string]bool{}
	for _, l := range listens {
		address, port, err := parseListen(l)
		out = append(out, report(attribute, err)...)
		key := address + " " + port
		if err == nil && seen[key] {
			out = append(out, refusal(attribute, fmt.Sprintf("%q is listed twice", l), "remove one of them"))
		}
		seen[key] = true
	}
	return out
}

// parseListen reads PORT, ADDRESS:PORT or [ADDRESS]:PORT. Without an address, it returns "*".
func parseListen(l string) (address, port string, err error) {
	address, port = "*", l
	if i := strings.LastIndexByte(l, ':'); i >= 0 {
		address, port = l[:i], l[i+1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
		return "", "", fmt.Errorf("%q does not end with a port: use PORT, ADDRESS:PORT or [ADDRESS]:PORT", l)
	}
	plain := strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	a, err := netip.ParseAddr(plain)
	switch {
	case address == "*":
		return address, port, nil
	case err != nil || a.Zone() != "" || a.Is6() != (address == "["+plain+"]") || a.Is4() && address != plain:
		return "", "", fmt.Errorf("%q does not begin with an IP address: use ADDRESS:PORT, or [ADDRESS]:PORT for IPv6", l)
	}
	return address, port, nil
}

// isAddress reports whether a server name is an IP address.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil
}

// probeAddress returns the address at which the host itself reaches the server: the first of
// listens, with a loopback address instead of a wildcard.
func probeAddress(listens []string) string {
	if len(listens) == 0 {
		return ""
	}
	address, port, err := parseListen(listens[0])
	if err != nil {
		return "" // Validate reports it
	}
	switch a, _ := netip.ParseAddr(strings.Trim(address, "[]")); {
	case address == "*", a.Is4() && a.IsUnspecified():
		address = "127.0.0.1"
	case a.IsUnspecified():
		address = "[::1]"
	}
	return address + ":" + port
}
