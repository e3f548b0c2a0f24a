package plain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON encodes a value on one line. What a terminal would not show as itself is written as \u
// escapes. Strings that are not UTF-8 have U+FFFD in place of what is not.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	return VisibleJSON(bytes.TrimSuffix(b.Bytes(), []byte{'\n'})), nil
}

// VisibleJSON writes what a terminal would not show as itself as \u escapes in a JSON text, whose
// value stays the same.
func VisibleJSON(doc []byte) []byte {
	// In JSON text such characters stand inside of strings only.
	out := make([]byte, 0, len(doc))
	for _, r := range string(doc) {
		switch {
		case r < utf8.RuneSelf && r != 0x7f || Visible(r) && !Combining(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
