package mirrorsd

import "strings"

// compare applies the rules about several files.
func compare(files []*lint) {
	byName := map[string]*lint{} // the first file with a name
	for _, n := range files {
		name := strings.ToLower(n.file.Name)
		if n.doc == nil || hostName(name) != nil {
			continue
		}
		if first := byName[name]; first != nil {
			start, end := n.place("name")
			n.add(ruleDuplicate, "name", start, end, nil, "name: %s is also the name in %s; give each mirror its own name",
				show(n.file.Name), show(first.name))
			continue
		}
		byName[name] = n
	}
	for _, n := range files {
		if n.doc != nil {
			n.foreign(byName)
		}
	}
}

// upstreamDomain is AlmaLinux's own domain.
const upstreamDomain = "almalinux.org"

// inDomain reports whether host is domain itself or a name below it.
func inDomain(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// foreign reports URLs that point to another mirror of the checked files or to AlmaLinux's servers.
// Only AlmaLinux's own mirrors may use the latter.
func (n *lint) foreign(byName map[string]*lint) {
	name := strings.ToLower(n.file.Name)
	look := func(path string, a Address) {
		a.each(func(protocol, raw string) {
			key := join(path, protocol)
			t, ok := treeOf(strings.Replace(raw, "::", "/", 1))
			if !ok || t.host == name {
				return
			}
			start, end := n.place(key)
			if inDomain(t.host, upstreamDomain) && !inDomain(name, upstreamDomain) {
				n.add(ruleForeign, key, start, end, nil,
					"%s: %s is a server of AlmaLinux; write this mirror's address, or remove the key",
					key, show(t.host))
			} else if other := byName[t.host]; other != nil && other != n && !strings.EqualFold(other.file.Name, name) {
				n.add(ruleForeign, key, start, end, nil,
					"%s: %s is another mirror (%s); write this mirror's address, or remove the key",
					key, show(t.host), show(other.name))
			} else {
				n.domain(key, t.host)
			}
		})
	}
	look("address", n.file.Address)
	look("address_optional.kitten", n.file.AddressOptional.Kitten)
}
