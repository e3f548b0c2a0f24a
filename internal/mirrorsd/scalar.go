package mirrorsd

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// The tags that PyYAML's safe_load gives to plain scalars.
const (
	tagStr       = "str"
	tagBool      = "bool"
	tagFloat     = "float"
	tagInt       = "int"
	tagMerge     = "merge"
	tagNull      = "null"
	tagTimestamp = "timestamp"
	tagValue     = "value"
	tagYAML      = "yaml"
)

// yaml11 is the implicit resolver of YAML 1.1 (https://yaml.org/type/) as implemented by PyYAML 6,
// in PyYAML's order. The first match decides. It is compiled on first use, since most commands need
// none of it.
var yaml11 = sync.OnceValue(func() []resolver {
	return []resolver{
		{tagBool, regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$`)},
		{tagFloat, regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?` +
			`|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?` +
			`|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*` +
			`|[-+]?\.(?:inf|Inf|INF)` +
			`|\.(?:nan|NaN|NAN))$`)},
		{tagInt, regexp.MustCompile(`^(?:[-+]?0b[01_]+` +
			`|[-+]?0[0-7_]+` +
			`|[-+]?(?:0|[1-9][0-9_]*)` +
			`|[-+]?0x[0-9a-fA-F_]+` +
			`|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)},
		{tagMerge, regexp.MustCompile(`^<<$`)},
		{tagNull, regexp.MustCompile(`^(?:~|null|Null|NULL|)$`)},
		{tagTimestamp, regexp.MustCompile(`^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}` +
			`|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?` +
			`(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$`)},
		{tagValue, regexp.MustCompile(`^=$`)},
		{tagYAML, regexp.MustCompile(`^[!&*]$`)},
	}
})

// resolver says which plain scalars have a tag.
type resolver struct {
	tag string
	re  *regexp.Regexp
}

// yaml11Tag returns the tag that PyYAML gives to the plain scalar s.
func yaml11Tag(s string) string {
	for _, r := range yaml11() {
		if r.re.MatchString(s) {
			return r.tag
		}
	}
	return tagStr
}

// ambiguous matches scalars that PyYAML 6 reads as strings but another reader may not: YAML 1.1's y
// and n, YAML 1.2's 0o17 and 1e3, named values in any case, and everything that consists only of
// digits and their punctuation.
var ambiguous = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null` +
	`|[-+]?\.?(?:inf|nan)` +
	`|[-+]?0x[0-9a-f_]*|[-+]?0o?[0-7_]*|[-+]?0b[01_]*` +
	`|[-+]?[0-9_]*\.?[0-9_]*(?:e[-+]?[0-9_]+)?` +
	`|[-+.:_0-9]+)$`)

// otherTypes matches scalars that PyYAML 6 reads as strings and other readers do not: the booleans
// y and n of https://yaml.org/type/bool.html, which PyYAML does not implement, and the integers and
// floats of the core schema (YAML 1.2.2, section 10.3.2).
var otherTypes = regexp.MustCompile(`^(?:[yYnN]|0o[0-7]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)$`)

// plain reports whether s can be written without quotes so that every YAML reader reads the same
// string. In case of doubt it returns false.
func plain(s string) bool {
	if yaml11Tag(s) != tagStr || ambiguous.MatchString(s) {
		return false
	}
	// Indicators of YAML 1.1 section 5.3, and document markers.
	if strings.ContainsRune("-?:,[]{}#&*!|>'\"%@`=<~", rune(s[0])) || strings.HasPrefix(s, "...") {
		return false
	}
	if strings.TrimSpace(s) != s || strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") {
		return false
	}
	for _, r := range s {
		// yaml.v3 escapes characters outside the basic multilingual plane, which needs double quotes.
		if r > 0xFFFF || r != ' ' && (!unicode.IsGraphic(r) || unicode.IsSpace(r)) {
			return false
		}
	}
	return true
}

// quote returns a string as a double-quoted scalar that every YAML reader reads as the same string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r) && r != '\ufeff':
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
