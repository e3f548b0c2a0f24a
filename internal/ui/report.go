package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Report is Diagnostics on the first stream, for commands whose result the diagnostics are.
func (u *UI) Report(diags hcl.Diagnostics, files map[string]*hcl.File) {
	u.write(u.out, u.out.diagnostics(diags, files))
}

// Diff prints what changes in a file as a unified diff, as a result. Text is escaped, so that the diff is for reading: it shows a
// carriage return as \r and a tab as spaces.
func (u *UI) Diff(name, before, after string) {
	s := u.out.style
	head := s.bold("--- "+Escape(name)) + "\n" + s.bold("+++ "+Escape(name)) + "\n"
	u.write(u.out, head+s.diffText(diff(before, after), "", 0))
}

// JSON encodes a value on one line. What a terminal would not show as itself is written as \u escapes. Strings that are not UTF-8 have U+FFFD in place of what
// is not.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	return VisibleJSON(bytes.TrimSuffix(b.Bytes(), []byte{'\n'})), nil
}

// VisibleJSON writes what a terminal would not show as itself as \u escapes in a JSON text, whose value stays the same.
func VisibleJSON(doc []byte) []byte {
	// In JSON text such characters stand inside of strings only.
	out := make([]byte, 0, len(doc))
	for _, r := range string(doc) {
		switch {
		case r < utf8.RuneSelf && r != 0x7f || visible(r) && !combining(r):
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

// Table prints rows of cells as a result, escaped, with the columns aligned. The last column is not padded.
func (u *UI) Table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(Escape(cell)))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			cell = Escape(cell)
			if i < len(row)-1 {
				cell = pad(cell, widths[i]) + "  "
			}
			text.WriteString(cell)
		}
		text.WriteByte('\n')
	}
	u.write(u.out, text.String())
}
