package report

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// titleNames is how many names a title has before the rest is counted.
const titleNames = 3

// title names whose mirrors the page is about: by the domain that they share, or by their names.
// A document has no sponsor.
func (f *fleet) title() string {
	var names []string
	for _, m := range f.reports {
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		for _, h := range f.hosts {
			if !h.Local {
				names = append(names, h.publicName())
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case len(names) == 0:
		return "Mirrors"
	case len(names) == 1:
		return "Mirror " + names[0]
	}
	if domain := sharedDomain(names); domain != "" {
		return "Mirrors of " + domain
	}
	if n := len(names); n > titleNames {
		return fmt.Sprintf("Mirrors %s and %d more", strings.Join(names[:titleNames-1], ", "), n-titleNames+1)
	}
	return "Mirrors " + strings.Join(names, ", ")
}

// publicName returns the name in a host's address, or the host's own if that is an IP address.
func (h *hostView) publicName() string {
	u, err := url.Parse("ssh://" + strings.TrimPrefix(h.Address, "ssh://"))
	if err != nil || !strings.Contains(u.Hostname(), ".") {
		return h.Name
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return h.Name
	}
	return u.Hostname()
}

// sharedDomain returns the registrable domain of all names, or "" if they have none or several.
func sharedDomain(names []string) string {
	shared := ""
	for _, name := range names {
		_, address := netip.ParseAddr(name)
		domain, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(name))
		if address == nil || err != nil || shared != "" && domain != shared {
			return ""
		}
		shared = domain
	}
	return shared
}
