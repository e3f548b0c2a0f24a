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
	// dnsName matches names for a resolver: host names (see resources.IsHostName), and also names
	// with underscores or a trailing dot.
	dnsName = regexp.MustCompile(`^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.?$`)
	hostKey = regexp.MustCompile(`^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*(?: .*)?$`)
)

// checkAddress returns what is wrong with a host's address, or "".
func checkAddress(address string) string {
	if _, err := netip.ParseAddr(address); err == nil {
		return ""
	}
	switch {
	case address == "":
		return "The address is empty. Use an IP address or a DNS name."
	case strings.HasPrefix(address, "[") || strings.Count(address, ":") > 1:
		return fmt.Sprintf("%q is not an IP address. "+
			"Write an IPv6 address without brackets, and set the port with the argument port.", address)
	case strings.Contains(address, ":"):
		return fmt.Sprintf("%q is not an address. Set the port with the argument port.", address)
	case strings.Contains(address, "@"):
		return fmt.Sprintf("%q is not an address. Set the user with the argument user.", address)
	case len(address) > 253 || !dnsName.MatchString(address) || !resources.ShortLabels(address):
		return fmt.Sprintf("%q is neither an IP address nor a DNS name.", address)
	}
	return ""
}

// hostKeys reads a host key: a string or a list of strings. why is what is wrong, or "".
func hostKeys(v cty.Value) (keys []string, why string) {
	const wanted = "A host key is a string with the type and the key, such as \"ssh-ed25519 AAAA…\". " +
		"For several keys, use a list of strings."
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
