package ui

import (
	"strings"

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

// VisibleJSON writes what a terminal would not show as itself as \u escapes in a JSON text, whose value stays the same.
func VisibleJSON(doc []byte) []byte {
	return asciiControls(doc)
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
