package engine

import "strings"

// base is the absolute directory of a configuration, or "". On host local, what mirrorform manages
// is in it, and a saved plan may be applied from another clone of it: in states and steps of that
// host, the directory counts as ".", wherever it appears as a path or as the start of one.
type base string

// relative returns text with each path in the base relative to it.
func (p base) relative(text string) string {
	dir := strings.TrimSuffix(string(p), "/")
	if dir == "" || !strings.Contains(text, dir) {
		return text
	}
	var b strings.Builder
	for {
		i := strings.Index(text, dir)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		before, after := text[:i], text[i+len(dir):]
		b.WriteString(before)
		inside := before != "" && ofPath(before[len(before)-1]) || after != "" && after[0] != '/' && ofPath(after[0])
		if inside { // of another path: /srv/data or /data2 is not in /data
			b.WriteString(dir)
		} else {
			b.WriteByte('.')
		}
		text = after
		if inside && after != "" { // what follows is preceded by a part of a path
			b.WriteByte(after[0])
			text = after[1:]
		}
	}
}

// ofPath reports whether a path goes on at c: a name's letter, digit or mark, or a separator.
func ofPath(c byte) bool {
	return c == '/' || c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// value is relative for every text in a decoded JSON value.
func (p base) value(v any) any {
	switch v := v.(type) {
	case string:
		return p.relative(v)
	case []any:
		for i := range v {
			v[i] = p.value(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = p.value(v[k])
		}
	}
	return v
}
