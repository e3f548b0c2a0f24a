package ui

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestCells: a table that is too wide for a terminal is in parts; without a terminal it is in one.
func TestCells(t *testing.T) {
	t.Parallel()
	row := func(texts ...string) []Cell {
		var cells []Cell
		for _, text := range texts {
			cells = append(cells, Cell{Text: text})
		}
		return cells
	}
	long := "mirror-in-frankfurt.example.org"
	rows := [][]Cell{
		row("HOST", "STATE", "MIRROR", "RESULT", "FREE", "LOCK"),
		row("fra1", "as configured", "almalinux", "done", "2.0 TiB", "free"),
		row(long, "unreachable"),
		row("ams1", "drifted: 1 change", "rocky\n", "failed (12)", "10 GiB", "held"),
	}
	rows[3][1].Mark = Caution
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, `HOST                             STATE              MIRROR     RESULT       FREE     LOCK
fra1                             as configured      almalinux  done         2.0 TiB  free
mirror-in-frankfurt.example.org  unreachable
ams1                             drifted: 1 change  rocky\n    failed (12)  10 GiB   held
`},
		{80, `HOST                            STATE              MIRROR     RESULT
fra1                            as configured      almalinux  done
mirror-in-frankfurt.example.o…  unreachable
ams1                            drifted: 1 change  rocky\n    failed (12)

HOST                            MIRROR     FREE     LOCK
fra1                            almalinux  2.0 TiB  free
ams1                            rocky\n    10 GiB   held
`},
		{58, `HOST                            STATE
fra1                            as configured
mirror-in-frankfurt.example.o…  unreachable
ams1                            drifted: 1 change

HOST                            MIRROR     RESULT
fra1                            almalinux  done
ams1                            rocky\n    failed (12)

HOST                            MIRROR     FREE     LOCK
fra1                            almalinux  2.0 TiB  free
ams1                            rocky\n    10 GiB   held
`},
	} {
		var out bytes.Buffer
		New(&out, &out, Options{Width: c.width, Environ: []string{}}).Cells(rows, 0, 2)
		if out.String() != c.want {
			t.Errorf("at %d columns:\n%s\nwant\n%s", c.width, out.String(), c.want)
		}
	}
	var out bytes.Buffer
	New(&out, &out, Options{Color: "always", Environ: []string{}}).Cells(rows, 0, 2)
	if !strings.Contains(out.String(), "\x1b[33;1mdrifted: 1 change\x1b[0") {
		t.Errorf("no colour: %q", out.String())
	}
	out.Reset()
	New(&out, &out, Options{Width: 10, Environ: []string{}}).Table([][]string{{"a", "bb"}, {"ccc", strings.Repeat("d", 20)}})
	if want := "a    bb\nccc  " + strings.Repeat("d", 20) + "\n"; out.String() != want {
		t.Errorf("without keys: %q, want %q", out.String(), want)
	}
	for width := 1; width < 100; width++ { // every cell is there at any width
		out.Reset()
		New(&out, &out, Options{Width: width, Environ: []string{}}).Cells(rows, 0, 2)
		for _, cell := range slices.Concat(rows[1], rows[3][3:]) {
			if !strings.Contains(out.String(), cell.Text) {
				t.Fatalf("at %d columns without %q:\n%s", width, cell.Text, out.String())
			}
		}
	}
}
