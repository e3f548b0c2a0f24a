package ui

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// maxMarks is how many combining marks in a row are left alone: no orthography needs more, and long runs of
// them paint over the lines above and below.
const maxMarks = 4

// Escape makes a string safe to print on one line of a terminal. Printable text stays as it is; everything else becomes a visible
// escape in Go's notation: control characters (\n, \t, \x1b), C1 (\u009b), bidirectional and zero-width
// characters (\u202e), spaces other than U+0020, unassigned code points, bytes that are not UTF-8 (\xff), combining
// marks without a base or in long runs. Backslashes stay as they are: the result is for reading, not for decoding.
// Escaping twice changes nothing.
func Escape(s string) string {
	if plainASCII(s) {
		return s
	}
	var b strings.Builder
	var e escaper
	for len(s) > 0 {
		text, size := e.next(s)
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

// escaper escapes a string rune by rune. Its state is what stands before the next rune.
type escaper struct {
	base  bool // something that a combining mark can stand on
	marks int  // combining marks since
}

// next returns the first rune of s as it is printed, and its size in s in bytes. s is not empty.
func (e *escaper) next(s string) (text string, size int) {
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && size == 1:
		*e = escaper{}
		return hexEscape('x', uint32(s[0]), 2), 1
	case combining(r):
		if e.base && e.marks < maxMarks && visible(r) {
			e.marks++
			return s[:size], size
		}
	case visible(r):
		*e = escaper{base: true}
		return s[:size], size
	}
	*e = escaper{}
	return escapeRune(r), size
}

// visible tells whether a rune shows as itself. Go's notion of printable leaves out controls, formatting
// characters, all spaces but U+0020, surrogates, private use and unassigned code points. Unicode counts some more as ignorable.
func visible(r rune) bool {
	return unicode.IsPrint(r) &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) &&
		r != '\u2800' // braille with no dots: a space that is no space
}

func combining(r rune) bool {
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

// columns is how many terminal columns an escaped string takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns follows Unicode's annex 11: wide and full-width characters take two columns, marks and the
// conjoining Hangul vowels and final consonants none.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case combining(r), r >= 0x1160 && r <= 0x11ff, r >= 0xd7b0 && r <= 0xd7ff:
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// truncate cuts an escaped string to at most limit columns, the ellipsis included.
func truncate(s string, limit int) string {
	if limit <= 0 {
		return ""
	}
	if len(s) <= limit || columns(s) <= limit {
		return s
	}
	n := 0
	for i, r := range s {
		w := runeColumns(r)
		if n+w > limit-1 {
			return s[:i] + "…"
		}
		n += w
	}
	return s
}

// pad fills an escaped string up to the given number of columns.
func pad(s string, to int) string {
	if n := to - columns(s); n > 0 {
		return s + strings.Repeat(" ", n)
	}
	return s
}

// escapeLines escapes text of several lines: the lines stay, and tabs become spaces.
func escapeLines(s string) []string {
	s = strings.TrimRight(s, "\r\n")
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = escapeTabs(strings.TrimSuffix(l, "\r"))
	}
	return lines
}

// tabStop is the distance of tab stops in what is printed.
const tabStop = 4

// escapeTabs escapes one line, with its tabs as spaces up to the next tab stop.
func escapeTabs(line string) string {
	if !strings.Contains(line, "\t") {
		return Escape(line)
	}
	var b strings.Builder
	col := 0
	for i, part := range strings.Split(line, "\t") {
		if i > 0 {
			n := tabStop - col%tabStop
			b.WriteString(strings.Repeat(" ", n))
			col += n
		}
		part = Escape(part)
		b.WriteString(part)
		col += columns(part)
	}
	return b.String()
}

// wrap breaks escaped lines between words so that none is wider than limit, where words allow. Lines that begin
// with a space are taken as preformatted and stay. A limit of 0 or less breaks nothing.
func wrap(lines []string, limit int) []string {
	if limit <= 0 {
		return lines
	}
	var out []string
	for _, line := range lines {
		if columns(line) <= limit || strings.HasPrefix(line, " ") {
			out = append(out, line)
			continue
		}
		out = append(out, wrapLine(line, limit)...)
	}
	return out
}

func wrapLine(line string, limit int) []string {
	var out []string
	var b strings.Builder
	col := 0
	for _, word := range strings.Fields(line) {
		w := columns(word)
		if col > 0 && col+1+w > limit {
			out = append(out, b.String())
			b.Reset()
			col = 0
		}
		if col > 0 {
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += w
	}
	return append(out, b.String())
}
