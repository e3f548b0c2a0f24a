package ui

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	"github.com/mirrorform/mirrorform/internal/plain"
)

const (
	maxDiffLines = 60  // lines shown of one attribute, unless the plan is printed in full
	maxDiffWidth = 300 // columns shown of one of these lines
	diffContext  = udiff.DefaultContextLines
)

// diffLine is one line of a diff. sign is '+', '-', ' ', '@' for the header of a hunk, or '\\' for
// the remark about a missing newline.
type diffLine struct {
	sign byte
	text string // not escaped
}

// diff compares two texts line by line. A missing newline at the end is shown as diff -u shows it.
func diff(before, after string) []diffLine {
	u, err := udiff.ToUnifiedDiff("", "", before, udiff.Lines(before, after), diffContext)
	if err != nil {
		// The edits do not fit the text, a bug in udiff. Show all of the old text, then all of the
		// new.
		return append(side('-', before), side('+', after)...)
	}
	var lines []diffLine
	for _, h := range u.Hunks {
		lines = append(lines, diffLine{'@', hunkHead(h)})
		for _, l := range h.Lines {
			sign := byte(' ')
			switch l.Kind {
			case udiff.Delete:
				sign = '-'
			case udiff.Insert:
				sign = '+'
			}
			lines = append(lines, diffLine{sign, strings.TrimSuffix(l.Content, "\n")})
			if !strings.HasSuffix(l.Content, "\n") {
				lines = append(lines, diffLine{'\\', " No newline at end of file"})
			}
		}
	}
	return lines
}

func hunkHead(h *udiff.Hunk) string {
	var from, to int
	for _, l := range h.Lines {
		if l.Kind != udiff.Insert {
			from++
		}
		if l.Kind != udiff.Delete {
			to++
		}
	}
	return fmt.Sprintf("@@ -%s +%s @@", hunkRange(h.FromLine, from), hunkRange(h.ToLine, to))
}

// hunkRange follows diff -u: a count of 1 is omitted, and an empty range names the line before it.
func hunkRange(line, n int) string {
	switch n {
	case 0:
		return fmt.Sprintf("%d,0", line-1)
	case 1:
		return fmt.Sprint(line)
	}
	return fmt.Sprintf("%d,%d", line, n)
}

// side returns all lines of a text with one sign.
func side(sign byte, s string) []diffLine {
	if s == "" {
		return nil
	}
	var lines []diffLine
	ended := strings.HasSuffix(s, "\n")
	for l := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		lines = append(lines, diffLine{sign, l})
	}
	if !ended {
		lines = append(lines, diffLine{'\\', " No newline at end of file"})
	}
	return lines
}

// diffText renders at most limit lines, 0 for all, each after indent.
func (s style) diffText(lines []diffLine, indent string, limit int) string {
	left := 0
	if limit > 0 && len(lines) > limit+1 {
		left = len(lines) - limit
		lines = lines[:limit]
	}
	texts, partners := make([]string, len(lines)), pairs(lines)
	cut := cutLine
	if limit == 0 {
		cut = escapeTabs
	}
	for i, l := range lines {
		partner := partners[i]
		switch {
		case l.sign == '-' && partner >= 0:
			before, after := l.text, lines[partner].text
			if limit > 0 {
				before, after = focus(before, after)
			}
			texts[i], texts[partner] = s.change("-", cut(before), "+", cut(after))
		case partner >= 0: // a new line, with its old one
		case l.sign == '+':
			texts[i] = s.green("+" + cut(l.text))
		case l.sign == '-':
			texts[i] = s.red("-" + cut(l.text))
		case l.sign == '@':
			texts[i] = s.cyan(cut(l.text))
		case l.sign == '\\':
			texts[i] = s.dim(`\` + cut(l.text))
		default:
			texts[i] = " " + cut(l.text)
		}
	}
	var b strings.Builder
	for _, text := range texts {
		b.WriteString(strings.TrimRight(indent+text, " ") + "\n")
	}
	if left > 0 {
		b.WriteString(indent + s.dim(fmt.Sprintf("… %s", count(left, "more line"))) + "\n")
	}
	return b.String()
}

// focus removes the common start of two long strings that would look the same when truncated to
// maxDiffWidth.
func focus(a, b string) (string, string) {
	const lead = 20 // bytes kept before the difference
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	from := same - lead
	if same < maxDiffWidth-lead {
		return a, b
	}
	for from > 0 && !utf8.RuneStart(a[from]) {
		from--
	}
	return "…" + a[from:], "…" + b[from:]
}

// cutLine escapes a line and truncates it to maxDiffWidth.
func cutLine(line string) string {
	rest := 0
	if len(line) > 4*maxDiffWidth {
		// Enough for maxDiffWidth columns: a character has at most four bytes.
		rest = len(line) - 4*maxDiffWidth
		line = strings.ToValidUTF8(line[:4*maxDiffWidth], "")
	}
	text := escapeTabs(line)
	if rest > 0 && columns(text) <= maxDiffWidth {
		return text + "…"
	}
	return truncate(text, maxDiffWidth)
}

// Diff prints the change of a file as a unified diff, as a result. The text is escaped: a carriage
// return is shown as \r, a tab as spaces. So the diff is for people, not for patch.
func (u *UI) Diff(name, before, after string) {
	s := u.out.style
	head := s.bold("--- "+plain.Escape(name)) + "\n" + s.bold("+++ "+plain.Escape(name)) + "\n"
	u.write(u.out, head+s.diffText(diff(before, after), "", 0))
}
