// Package plain makes text safe to print: characters that a terminal would not show as themselves
// become escapes. Text from hosts, upstreams and configurations may contain anything.
package plain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMarks is how many combining marks in a row are not escaped. No writing system needs more, and
// long runs of them cover the lines above and below.
const maxMarks = 4

// Escape makes a string safe to print on one line of a terminal. Printable text is unchanged;
// everything else becomes a visible escape in Go's notation: control characters (\n, \t, \x1b), C1
// (\u009b), bidirectional and zero-width characters (\u202e), spaces other than U+0020, unassigned
// code points, bytes that are not UTF-8 (\xff), combining marks without a base or in long runs.
// Backslashes are unchanged: the result is for reading, not for decoding. Escaping twice is the
// same as once.
func Escape(s string) string {
	if plainASCII(s) {
		return s
	}
	var b strings.Builder
	var e Escaper
	for len(s) > 0 {
		text, size := e.Next(s)
		b.WriteString(text)
		s = s[size:]
	}
	return b.String()
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Escaper escapes a string rune by rune. Its state is about the runes before the next one.
type Escaper struct {
	base  bool // there is a base for a combining mark
	marks int  // how many combining marks follow the base
}

// Next returns the first rune of s, escaped if necessary, and its size in s in bytes. s must not be
// empty.
func (e *Escaper) Next(s string) (text string, size int) {
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && size == 1:
		*e = Escaper{}
		return hexEscape('x', uint32(s[0]), 2), 1
	case Combining(r):
		if e.base && e.marks < maxMarks && Visible(r) {
			e.marks++
			return s[:size], size
		}
	case Visible(r):
		*e = Escaper{base: true}
		return s[:size], size
	}
	*e = Escaper{}
	return escapeRune(r), size
}

// Visible reports whether a rune shows as itself. Not printable in Go are controls, formatting
// characters, all spaces except U+0020, surrogates, private use and unassigned code points.
// Unicode has more characters that renderers ignore.
func Visible(r rune) bool {
	return unicode.IsPrint(r) &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) &&
		r != '\u2800' // braille without dots: it looks like a space
}

// Combining reports whether a rune is a mark on the one before it.
func Combining(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me)
}

func escapeRune(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r == '\r':
		return `\r`
	case r < utf8.RuneSelf:
		return hexEscape('x', uint32(r), 2)
	case r <= 0xffff:
		return hexEscape('u', uint32(r), 4)
	}
	return hexEscape('U', uint32(r), 8)
}

func hexEscape(kind byte, v uint32, digits int) string {
	const hex = "0123456789abcdef"
	b := make([]byte, digits+2)
	b[0], b[1] = '\\', kind
	for i := digits + 1; i > 1; i-- {
		b[i] = hex[v&15]
		v >>= 4
	}
	return string(b)
}
