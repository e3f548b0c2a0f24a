package plain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON encodes a value on one line. Characters that a terminal would not show as themselves become
// \u escapes, and bytes that are not UTF-8 become U+FFFD.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	return VisibleJSON(bytes.TrimSuffix(b.Bytes(), []byte{'\n'})), nil
}

// VisibleJSON escapes the characters of a JSON text that a terminal would not show as themselves.
// The value of the text stays the same.
func VisibleJSON(doc []byte) []byte {
	// In valid JSON, such characters are only in strings.
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
