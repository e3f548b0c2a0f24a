package ui

import (
	"strings"

	"github.com/mirrorform/mirrorform/internal/plain"
	"golang.org/x/text/width"
)

// columns returns the width of an escaped string in terminal columns.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns follows Unicode Standard Annex 11: wide and full-width characters take two columns,
// combining marks and the conjoining Hangul vowels and final consonants none.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case plain.Combining(r), r >= 0x1160 && r <= 0x11ff, r >= 0xd7b0 && r <= 0xd7ff:
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// truncate shortens an escaped string to at most limit columns, including the ellipsis.
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

// pad appends spaces to an escaped string up to the given number of columns.
func pad(s string, to int) string {
	if n := to - columns(s); n > 0 {
		return s + strings.Repeat(" ", n)
	}
	return s
}

// escapeLines splits text into escaped lines. Tabs become spaces.
func escapeLines(s string) []string {
	s = strings.TrimRight(s, "\r\n")
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = escapeTabs(strings.TrimSuffix(l, "\r"))
	}
	return lines
}

// tabStop is the distance between tab stops, in columns.
const tabStop = 4

// escapeTabs escapes one line and replaces tabs with spaces up to the next tab stop.
func escapeTabs(line string) string {
	if !strings.Contains(line, "\t") {
		return plain.Escape(line)
	}
	var b strings.Builder
	col := 0
	for i, part := range strings.Split(line, "\t") {
		if i > 0 {
			n := tabStop - col%tabStop
			b.WriteString(strings.Repeat(" ", n))
			col += n
		}
		part = plain.Escape(part)
		b.WriteString(part)
		col += columns(part)
	}
	return b.String()
}

// wrap breaks escaped lines between words at limit columns; a longer word stays whole. Lines that
// start with a space are preformatted and not wrapped. A limit of 0 or less means no wrapping.
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
