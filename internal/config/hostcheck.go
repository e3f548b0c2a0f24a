package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/mirrorform/mirrorform/resources"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

var (
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]*$`)
	// dnsName is what a resolver is asked for: besides host names (resources.IsHostName), names
	// with underscores, and with the root's dot.
	dnsName = regexp.MustCompile(`^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.?$`)
	hostKey = regexp.MustCompile(`^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*(?: .*)?$`)
)

// checkAddress tells what is wrong with a host's address, or returns "".
func checkAddress(address string) string {
	if _, err := netip.ParseAddr(address); err == nil {
		return ""
	}
	switch {
	case address == "":
		return "The address is empty. It is an IP address or a name in DNS."
	case strings.HasPrefix(address, "[") || strings.Count(address, ":") > 1:
		return fmt.Sprintf("%q is not an IP address. An IPv6 address stands here without brackets; the port has an argument of its own.", address)
	case strings.Contains(address, ":"):
		return fmt.Sprintf("%q is not an address: the port has an argument of its own.", address)
	case strings.Contains(address, "@"):
		return fmt.Sprintf("%q is not an address: the user has an argument of its own.", address)
	case len(address) > 253 || !dnsName.MatchString(address) || !resources.ShortLabels(address):
		return fmt.Sprintf("%q is neither an IP address nor a name in DNS.", address)
	}
	return ""
}

// hostKeys takes one string or a list of them.
func hostKeys(v cty.Value) (keys []string, why string) {
	const wanted = "The host key is a string, or a list of strings, with the key's type and the key: \"ssh-ed25519 AAAA…\"."
	if v.IsNull() {
		return nil, ""
	}
	if v.Type() == cty.String {
		v = cty.ListVal([]cty.Value{v})
	}
	list, err := convert.Convert(v, cty.List(cty.String))
	if err != nil {
		return nil, wanted
	}
	for _, k := range list.AsValueSlice() {
		if k.IsNull() {
			return nil, wanted
		}
		for line := range strings.Lines(k.AsString()) {
			line = strings.TrimSpace(line)
			if !hostKey.MatchString(line) {
				return nil, wanted
			}
			keys = append(keys, line)
		}
	}
	return keys, ""
}
