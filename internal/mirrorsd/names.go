package mirrorsd

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"github.com/agext/levenshtein"
	"github.com/mirrorform/mirrorform/internal/placename"
	"golang.org/x/net/publicsuffix"
)

// registered returns the domain that someone registered, by the public suffix list: example.co.uk
// for mirror.example.co.uk. It is "" for an address and for a public suffix.
func registered(host string) string {
	if _, err := netip.ParseAddr(host); err == nil || hostName(host) != nil {
		return ""
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(host))
	if err != nil {
		return ""
	}
	return domain
}

// domain reports a URL's host in another domain than the mirror's name.
func (n *lint) domain(key, host string) {
	ours, theirs := registered(n.file.Name), registered(host)
	if ours == "" || theirs == "" || ours == theirs {
		return
	}
	start, end := n.place(key)
	n.add(ruleDomain, key, start, end, nil, "%s: %s is in the domain %s, and name in %s; write this mirror's address, "+
		"or correct name", key, show(host), theirs, ours)
}

// host is a host name of the file.
type host struct{ key, name string }

// hosts returns the host names of name, the URLs, sponsor_url and email.
func (n *lint) hosts() []host {
	var all []host
	add := func(key, name string) {
		if name = strings.ToLower(name); hostName(name) == nil {
			all = append(all, host{key, name})
		}
	}
	add("name", n.file.Name)
	urls := func(path string, a Address) {
		a.each(func(protocol, raw string) {
			if t, ok := treeOf(raw); ok {
				add(join(path, protocol), t.host)
			}
		})
	}
	urls("address", n.file.Address)
	urls("address_optional.kitten", n.file.AddressOptional.Kitten)
	if u, err := url.Parse(n.file.SponsorURL); err == nil {
		add("sponsor_url", u.Hostname())
	}
	if _, domain, ok := strings.Cut(n.file.Email, "@"); ok {
		add("email", domain)
	}
	return all
}

// agree compares the names in the file with each other.
func (n *lint) agree() {
	all := n.hosts()
	n.www(all)
	n.misspeltHosts(all)
	n.misspeltPaths("address", n.file.Address)
	n.misspeltPaths("address_optional.kitten", n.file.AddressOptional.Kitten)
	n.sponsorName(all)
}

// www reports www. twice, or without its dot beside the same name in another key.
func (n *lint) www(all []host) {
	for _, h := range all {
		start, end := n.place(h.key)
		if strings.HasPrefix(h.name, "www.www.") {
			n.add(ruleWWW, h.key, start, end, nil, "%s: %s has www. twice; write %s", h.key, show(h.name),
				strings.TrimPrefix(h.name, "www."))
			continue
		}
		rest, ok := strings.CutPrefix(h.name, "www")
		if !ok || strings.HasPrefix(rest, ".") {
			continue
		}
		for _, o := range all {
			if o.name == rest || registered(o.name) == rest {
				n.add(ruleWWW, h.key, start, end, nil, "%s: %s has www without a dot after it, and %s has %s; write www.%s or %s",
					h.key, show(h.name), o.key, show(o.name), rest, rest)
				break
			}
		}
	}
}

// shortest is the shortest name that is compared by letters: short ones are often alike by chance.
const shortest = 6

// misspeltHosts reports names that differ in one letter from those in the other keys.
func (n *lint) misspeltHosts(all []host) {
	name := strings.ToLower(n.file.Name)
	count := map[string]int{}
	for _, h := range all {
		count[registered(h.name)]++
	}
	for _, h := range all {
		start, end := n.place(h.key)
		if strings.HasPrefix(h.key, "address") {
			first, rest, _ := strings.Cut(h.name, ".")
			if own, domain, _ := strings.Cut(name, "."); domain == rest && slip(first, own) {
				n.add(ruleMisspelt, h.key, start, end, nil, "%s: %s differs slightly from name, %s; correct one of them",
					h.key, show(h.name), show(name))
			}
			continue // domain compares with name
		}
		for _, o := range all {
			domain := registered(o.name)
			if domain != "" && count[registered(h.name)] <= count[domain] && slipOf(h.name, domain) {
				n.add(ruleMisspelt, h.key, start, end, nil, "%s: %s differs slightly from the domain in %s, %s; "+
					"correct one of them", h.key, show(h.name), o.key, show(domain))
				break
			}
		}
	}
}

// misspeltPaths reports paths of HTTP and HTTPS on the same host that differ in one letter.
func (n *lint) misspeltPaths(path string, a Address) {
	plain, okPlain := treeOf(a.HTTP)
	secure, okSecure := treeOf(a.HTTPS)
	if !okPlain || !okSecure || plain.host != secure.host {
		return
	}
	one, other := strings.Split(plain.path, "/"), strings.Split(secure.path, "/")
	for i := 0; i < len(one) && len(one) == len(other); i++ {
		if bare := strings.NewReplacer("-", "", "_", ""); slip(bare.Replace(one[i]), bare.Replace(other[i])) {
			key := join(path, "https")
			start, end := n.place(key)
			n.add(ruleMisspelt, key, start, end, nil, "%s: %s differs slightly from %s in http; correct one of them", key,
				show(other[i]), show(one[i]))
		}
	}
}

// slipOf reports whether a host is in a domain but for one letter.
func slipOf(name, domain string) bool {
	if registered(name) == domain {
		return false
	}
	labels := strings.Split(name, ".")
	first, suffix, _ := strings.Cut(domain, ".")
	n := len(labels) - strings.Count(domain, ".") - 1
	if n < 0 {
		return false
	}
	label, rest := labels[n], strings.Join(labels[n+1:], ".")
	if label == first { // example.du.in for example.edu.in, but not example.co for example.com
		public, _ := publicsuffix.PublicSuffix(rest)
		return public != rest && levenshtein.Distance(rest, suffix, nil) == 1
	}
	return rest == suffix && slip(label, first)
}

// slip reports whether two names differ in one letter, added, missing or changed, or in two that
// changed places. Numbers differ on purpose, and so do mirror and mirrors.
func slip(a, b string) bool {
	const ends = "s-0123456789"
	if a == b || len(a) < shortest || len(b) < shortest || strings.TrimRight(a, ends) == strings.TrimRight(b, ends) ||
		digits(a) != digits(b) {
		return false
	}
	if levenshtein.Distance(a, b, nil) == 1 {
		return true
	}
	for i := 0; i+1 < len(a) && len(a) == len(b); i++ {
		if a[i] != b[i] {
			return a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		}
	}
	return false
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// sponsorName reports a sponsor that differs slightly from the domains.
func (n *lint) sponsorName(all []host) {
	const key = "sponsor"
	bare := func(s string) string { return strings.ReplaceAll(placename.Plain(s), " ", "") }
	sponsor := bare(n.file.Sponsor)
	near := ""
	for _, h := range all {
		label, _, _ := strings.Cut(registered(h.name), ".")
		if bare(label) == sponsor {
			return
		}
		if near == "" && slip(sponsor, bare(label)) {
			near = registered(h.name)
		}
	}
	if near != "" {
		start, end := n.place(key)
		n.add(ruleMisspelt, key, start, end, nil, "%s: %s differs slightly from the domain %s; correct one of them", key,
			show(n.file.Sponsor), show(near))
	}
}
