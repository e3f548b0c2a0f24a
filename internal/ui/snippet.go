package ui

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/plain"
)

const (
	snippetHead  = 4    // lines shown at the start of a long range
	snippetTail  = 2    // lines shown at its end
	snippetWidth = 120  // columns of source shown if the output has no width
	lineWindow   = 4096 // bytes of a very long line laid out on either side of the range
)

// snippet returns the source lines of a range with line numbers, and marks the range below each
// line. It uses the range's byte offsets, clamped to src.
func (s *stream) snippet(src []byte, r hcl.Range, severity hcl.DiagnosticSeverity) string {
	start, end := clampRange(src, r.Start.Byte, r.End.Byte)
	lines, left := sourceLines(src, start, end)
	digits := len(fmt.Sprint(lines[len(lines)-1].number))
	limit := s.width()
	if limit <= 0 {
		limit = snippetWidth
	}
	limit = max(limit-digits-len("    | "), 20)
	mark := s.style.fail
	if severity == hcl.DiagWarning {
		mark = s.style.warn
	}
	var b strings.Builder
	for i, l := range lines {
		if left > 0 && i == snippetHead {
			fmt.Fprintf(&b, "  %*s %s %s\n", digits, "", s.style.dim("┆"),
				s.style.dim(fmt.Sprintf("… %s", count(left, "more line"))))
		}
		text, indent, carets := l.render(limit)
		number := s.style.dim(fmt.Sprintf("  %*d │", digits, l.number))
		b.WriteString(strings.TrimRight(number+" "+text, " ") + "\n")
		if carets > 0 {
			fmt.Fprintf(&b, "%s %s%s\n", s.style.dim(fmt.Sprintf("  %*s │", digits, "")),
				strings.Repeat(" ", indent), mark(strings.Repeat("^", carets)))
		}
	}
	return b.String()
}

// clampRange clamps a range to src, and moves both ends to the start of a character.
func clampRange(src []byte, start, end int) (int, int) {
	start = min(max(start, 0), len(src))
	end = min(max(end, start), len(src))
	for start > 0 && start < len(src) && !utf8.RuneStart(src[start]) {
		start--
	}
	for end < len(src) && !utf8.RuneStart(src[end]) {
		end++
	}
	return start, end
}

// sourceLine is one line of source and the part of it in the range, as offsets into text.
type sourceLine struct {
	number     int
	text       []byte
	start, end int
	single     bool // the range is within this line
}

// sourceLines returns the lines of a range, at least one. For long ranges it omits lines in the
// middle and returns their number in left.
func sourceLines(src []byte, start, end int) (lines []sourceLine, left int) {
	if end > start && src[end-1] == '\n' {
		end-- // a range that ends with a newline does not include the next line
	}
	number := 1 + bytes.Count(src[:start], []byte{'\n'})
	total := 1 + bytes.Count(src[start:end], []byte{'\n'})
	if total > snippetHead+snippetTail+1 {
		left = total - snippetHead - snippetTail
	}
	at := 1 + bytes.LastIndexByte(src[:start], '\n')
	for i := range total {
		stop := len(src)
		if n := bytes.IndexByte(src[at:], '\n'); n >= 0 {
			stop = at + n
		}
		if left == 0 || i < snippetHead || i >= snippetHead+left {
			text := bytes.TrimSuffix(src[at:stop], []byte{'\r'})
			lines = append(lines, sourceLine{
				number: number + i,
				text:   text,
				start:  min(max(start-at, 0), len(text)),
				end:    min(max(end-at, 0), len(text)),
				single: total == 1,
			})
		}
		at = stop + 1
	}
	return lines, left
}

// render returns the line as printed, at most limit columns wide. A longer line is cut around the
// start of the range. indent is the column of the first mark below it, carets the number of marks.
func (l sourceLine) render(limit int) (text string, indent, carets int) {
	start, end := l.start, l.end
	if !l.single {
		start, end = trimRange(l.text, start, end)
	}
	line, cutLeft, cutRight := l.text, false, false
	if len(line) > 4*lineWindow {
		// Only the part around the range can be shown: do not lay out the rest.
		from, to := max(start-lineWindow, 0), min(start+lineWindow, len(line))
		from, to = clampRange(line, from, to)
		line, cutLeft, cutRight = line[from:to], from > 0, to < len(line)
		start, end = start-from, min(end-from, len(line))
	}
	cells, width := layout(string(line))
	first, last := columnAt(cells, start, width), columnAt(cells, end, width)
	if !l.single && first == last {
		text, _, _ = window(cells, width, 0, limit, cutLeft, cutRight)
		return text, 0, 0
	}
	carets = max(last-first, 1)
	from := 0
	if width > limit-1 {
		from = max(min(first-limit/3, width-limit+1), 0)
	}
	text, shift, shown := window(cells, width, from, limit, cutLeft, cutRight)
	indent = max(first-from+shift, 0)
	return text, indent, max(min(carets, shown-indent), 1)
}

// trimRange trims blanks from both ends of a range within a line.
func trimRange(line []byte, start, end int) (int, int) {
	part := line[start:end]
	start += len(part) - len(bytes.TrimLeft(part, " \t"))
	if start >= end {
		return end, end
	}
	return start, start + len(bytes.TrimRight(line[start:end], " \t"))
}

// cell is one character of a source line as printed.
type cell struct {
	offset int // in the line, in bytes
	column int // its first column
	text   string
}

// layout splits a line into cells, with tabs as spaces up to the next tab stop, and returns its
// width in columns.
func layout(line string) (cells []cell, width int) {
	var e plain.Escaper
	for at := 0; at < len(line); {
		var text string
		size := 1
		if line[at] == '\t' {
			text, e = strings.Repeat(" ", tabStop-width%tabStop), plain.Escaper{}
		} else {
			text, size = e.Next(line[at:])
		}
		cells = append(cells, cell{at, width, text})
		width += columns(text)
		at += size
	}
	return cells, width
}

// columnAt returns the column of a byte offset; for an offset within a character, the column of its
// start.
func columnAt(cells []cell, offset, width int) int {
	column := width
	for i := len(cells) - 1; i >= 0 && cells[i].offset >= offset; i-- {
		column = cells[i].column
	}
	return column
}

// window returns limit columns of a line, starting at column from, with an ellipsis at each cut.
// shift is how many columns the text moved to the right, and shown its width.
func window(cells []cell, width, from, limit int, cutLeft, cutRight bool) (text string, shift, shown int) {
	cutLeft = cutLeft || from > 0
	cutRight = cutRight || width-from > limit-1
	var b strings.Builder
	if cutLeft {
		b.WriteString("…")
		shift = 1
	}
	room := from + limit - shift
	if cutRight {
		room--
	}
	begun := false
	for _, c := range cells {
		w := columns(c.text)
		if c.column < from {
			continue
		}
		if !begun && c.column > from { // the cut splits a wide character
			b.WriteString(strings.Repeat(" ", c.column-from))
		}
		begun = true
		if c.column+w > room {
			cutRight = true
			break
		}
		b.WriteString(c.text)
	}
	if cutRight {
		b.WriteString("…")
	}
	return b.String(), shift, columns(b.String())
}
