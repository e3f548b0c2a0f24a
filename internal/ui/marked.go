package ui

import "strings"

// Mark is how the text of a line is shown where colours are.
type Mark int

// The marks.
const (
	Plain Mark = iota
	Title
	Good
	Bad
	Caution
	Faint
)

// Line is a line of a report: text behind a label, below which the text continues where it is
// wrapped.
type Line struct {
	Label, Text string
	Mark        Mark
	LabelMark   Mark
}

// Lines prints a report, escaped, and wrapped to the terminal.
func (u *UI) Lines(lines []Line) {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(u.out.line(l))
	}
	u.write(u.out, b.String())
}

func (s *stream) line(l Line) string {
	label := strings.Join(escapeLines(l.Label), " ")
	room := s.width()
	if room > 0 {
		room = max(room-columns(label), 20)
	}
	indent := strings.Repeat(" ", columns(label))
	var b strings.Builder
	label = s.style.mark(l.LabelMark, label)
	for i, text := range wrap(escapeLines(l.Text), room) {
		if i > 0 {
			label = indent
		}
		b.WriteString(strings.TrimRight(label+s.style.mark(l.Mark, text), " ") + "\n")
	}
	return b.String()
}

// mark colours text.
func (s style) mark(m Mark, text string) string {
	switch {
	case text == "":
	case m == Title:
		return s.bold(text)
	case m == Good:
		return s.green(text)
	case m == Bad:
		return s.fail(text)
	case m == Caution:
		return s.warn(text)
	case m == Faint:
		return s.dim(text)
	}
	return text
}
