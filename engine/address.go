package engine

import "strings"

// Address says which resource is meant. In text it is HOST/TYPE.NAME or HOST/TYPE.NAME["KEY"]; of
// the parts that a block expands to (a mirror's), HOST/TYPE.NAME.PART or
// HOST/TYPE.NAME.PART["KEY"]. On a host, as in its manifest, it has no host: TYPE.NAME.
// ParseAddress and String are the only places that know the text.
type Address struct {
	Host string // its name: fra1, or edge["ams"] of a host block with for_each
	Type string // a resource type, or that of a block that expands to parts: mirror
	Name string // the block's label
	Part string // of what the block expands to: cron; or ""
	Key  string // of for_each; on host local the host that a mirror's part is for; or ""
}

// ParseAddress reads an address with its host. Below the host there may be nothing. ok is false
// where that is not of the form: then only Host is set.
func ParseAddress(text string) (a Address, ok bool) {
	a.Host = text[:hostEnd(text)]
	if a.Host == text {
		return a, true
	}
	local, ok := ParseLocal(text[len(a.Host)+1:])
	local.Host = a.Host
	return local, ok
}

// ParseLocal reads an address without its host. Where ok is false the Address is zero.
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
		if name == "" || strings.ContainsAny(name, `/]"\`) {
			return Address{}, false
		}
	}
	a.Type, a.Name = names[0], names[1]
	if len(names) > 2 {
		a.Part = names[2]
	}
	return a, true
}

// String writes the address; without Host it is as manifests have it.
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

// Block is the address of the block that the resource comes from, without its key.
func (a Address) Block() Address { return Address{Host: a.Host, Type: a.Type, Name: a.Name} }

// OnHost puts an address that has no host on one.
func OnHost(host, local string) string { return host + "/" + local }

// Local is an address without its host, as manifests have it.
func Local(address string) string {
	return strings.TrimPrefix(address[hostEnd(address):], "/")
}

// HostOf is the host of an address.
func HostOf(address string) string { return address[:hostEnd(address)] }

// hostEnd is the index of the slash that ends the host's name; a for_each key may hold slashes.
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

// Within reports whether a resource's address is the given one or below it: "fra1/mirror.almalinux"
// has every part of that mirror below it, "fra1" all that is on the host, "fra1/file" all files
// there.
func Within(address, above string) bool {
	rest, ok := strings.CutPrefix(address, above)
	return ok && (rest == "" || strings.ContainsRune("/.[", rune(rest[0])))
}

// Index is a for_each key as addresses write it: ["KEY"].
func Index(key string) string {
	return `["` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"]`
}

// parseIndex reads what Index writes.
func parseIndex(text string) (key string, ok bool) {
	inner, opens := strings.CutPrefix(text, `["`)
	inner, closes := strings.CutSuffix(inner, `"]`)
	if !opens || !closes || inner == "" {
		return "", false
	}
	key = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(inner)
	return key, Index(key) == text
}
