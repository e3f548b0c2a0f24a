package engine

import "strings"

// Address identifies a resource. As text it is HOST/TYPE.NAME or HOST/TYPE.NAME["KEY"]. A part of a
// block that expands to several resources (mirror) is HOST/TYPE.NAME.PART or
// HOST/TYPE.NAME.PART["KEY"]. Without a host, as in a host's manifest, it is TYPE.NAME. Only
// ParseAddress and String know this syntax.
type Address struct {
	Host string // the host's name: fra1, or edge["ams"] of a host block with for_each
	Type string // a resource type, or the type of a block that expands to parts: mirror
	Name string // the block's label
	Part string // the part of an expanded block (cron), or ""
	Key  string // the for_each key; on host local, the host that a mirror's part is for; or ""
}

// ParseAddress parses an address with a host; a host alone is valid too. If the rest is not a valid
// address, ok is false and only Host is set.
func ParseAddress(text string) (a Address, ok bool) {
	a.Host = text[:hostEnd(text)]
	if a.Host == text {
		return a, true
	}
	local, ok := ParseLocal(text[len(a.Host)+1:])
	local.Host = a.Host
	return local, ok
}

// ParseLocal parses an address without its host. If ok is false, the Address is zero.
func ParseLocal(text string) (a Address, ok bool) {
	if i := strings.IndexByte(text, '['); i >= 0 {
		if a.Key, ok = parseIndex(text[i:]); !ok {
			return Address{}, false
		}
		text = text[:i]
	}
	names := strings.Split(text, ".")
	if len(names) < 2 || len(names) > 3 {
		return Address{}, false
	}
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, `]"\`) {
			return Address{}, false
		}
	}
	if strings.Contains(names[0], "/") {
		return Address{}, false
	}
	a.Type, a.Name = names[0], names[1]
	if len(names) > 2 {
		a.Part = names[2]
	}
	return a, true
}

// String returns the address as text. Without Host it is the form that manifests use.
func (a Address) String() string {
	var b strings.Builder
	b.WriteString(a.Host)
	if a.Type != "" {
		if a.Host != "" {
			b.WriteByte('/')
		}
		b.WriteString(a.Type + "." + a.Name)
	}
	if a.Part != "" {
		b.WriteString("." + a.Part)
	}
	if a.Key != "" {
		b.WriteString(Index(a.Key))
	}
	return b.String()
}

// Local returns the address without its host as text, the form that manifests use.
func (a Address) Local() string {
	a.Host = ""
	return a.String()
}

// Within reports whether the address equals above or lies below it, see the function Within.
func (a Address) Within(above string) bool { return Within(a.String(), above) }

// Block returns the address of the block that declares the resource, without its key.
func (a Address) Block() Address { return Address{Host: a.Host, Type: a.Type, Name: a.Name} }

// OnHost returns the full address of an address without a host.
func OnHost(host, local string) string { return host + "/" + local }

// Local returns an address without its host, the form that manifests use.
func Local(address string) string {
	return strings.TrimPrefix(address[hostEnd(address):], "/")
}

// HostOf returns the host of an address.
func HostOf(address string) string { return address[:hostEnd(address)] }

// hostEnd returns the index of the slash that ends the host's name. A for_each key may contain
// slashes, so those in quotes do not count.
func hostEnd(address string) int {
	quoted := false
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '/' && !quoted:
			return i
		}
	}
	return len(address)
}

// Within reports whether an address equals above or lies below it: every part of a mirror is within
// "fra1/mirror.almalinux", every resource of a host within "fra1", every file of a host within
// "fra1/file".
func Within(address, above string) bool {
	rest, ok := strings.CutPrefix(address, above)
	return ok && (rest == "" || strings.ContainsRune("/.[", rune(rest[0])))
}

// Index returns a for_each key as addresses contain it: ["KEY"].
func Index(key string) string {
	return `["` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"]`
}

// parseIndex parses the output of Index.
func parseIndex(text string) (key string, ok bool) {
	inner, opens := strings.CutPrefix(text, `["`)
	inner, closes := strings.CutSuffix(inner, `"]`)
	if !opens || !closes || inner == "" {
		return "", false
	}
	key = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(inner)
	return key, Index(key) == text
}
