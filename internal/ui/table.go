package ui

import (
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/plain"
)

// Cell is a cell of a table.
type Cell struct {
	Text string
	Mark Mark
}

// widestKey is how wide a column that each part of a table repeats is shown at most.
const widestKey = 30

// Table prints rows of cells as a result, escaped, with the columns aligned. The last column is not
// padded.
func (u *UI) Table(rows [][]string) {
	cells := make([][]Cell, len(rows))
	for i, row := range rows {
		for _, text := range row {
			cells[i] = append(cells[i], Cell{Text: text})
		}
	}
	u.Cells(cells)
}

// Cells is Table with marks. On a terminal that is too narrow, the table is printed in parts, one
// below the other, each of which begins with the columns keys. Rows may be shorter than the first
// one, and are left out of parts of which they have nothing but keys.
func (u *UI) Cells(rows [][]Cell, keys ...int) {
	t := &table{style: u.out.style, rows: rows, keys: keys}
	limit := u.out.width()
	for _, row := range rows {
		var texts []string
		for i, cell := range row {
			text := plain.Escape(cell.Text)
			if limit > 0 && slices.Contains(keys, i) {
				text = truncate(text, widestKey)
			}
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], columns(text))
			texts = append(texts, text)
		}
		t.texts = append(t.texts, texts)
	}
	var b strings.Builder
	for i, part := range t.parts(limit) {
		if i > 0 {
			b.WriteByte('\n')
		}
		t.draw(&b, part)
	}
	u.write(u.out, b.String())
}

// table is a table that is being printed.
type table struct {
	style  style
	rows   [][]Cell
	texts  [][]string // of rows: escaped
	widths []int      // of columns
	keys   []int
}

const gap = 2 // between columns

// parts divides the columns into parts that fit into a limit of columns, if limit is above 0.
// Without keys, there is one part.
func (t *table) parts(limit int) [][]int {
	var parts [][]int
	var part []int
	used := 0
	isKey := func(c int) bool { return slices.Contains(t.keys, c) }
	for c, width := range t.widths {
		if len(parts) > 0 && isKey(c) {
			continue // each further part has it
		}
		full := limit > 0 && used+width > limit
		if full && len(t.keys) > 0 && slices.ContainsFunc(part, func(c int) bool { return !isKey(c) }) {
			parts = append(parts, part)
			part, used = nil, 0
			for _, key := range t.keys {
				part, used = append(part, key), used+t.widths[key]+gap
			}
			if isKey(c) {
				continue
			}
		}
		part, used = append(part, c), used+width+gap
	}
	return append(parts, part)
}

// draw writes the columns of a part.
func (t *table) draw(b *strings.Builder, part []int) {
	for i, row := range t.rows {
		has := func(c int) bool { return c < len(row) }
		if !slices.ContainsFunc(part, func(c int) bool { return has(c) && !slices.Contains(t.keys, c) }) && len(t.keys) > 0 {
			continue
		}
		shown := slices.DeleteFunc(slices.Clone(part), func(c int) bool { return !has(c) })
		for n, c := range shown {
			text := t.texts[i][c]
			padding := strings.Repeat(" ", t.widths[c]-columns(text)+gap)
			if n == len(shown)-1 {
				padding = ""
			}
			b.WriteString(t.style.mark(row[c].Mark, text) + padding)
		}
		b.WriteByte('\n')
	}
}
