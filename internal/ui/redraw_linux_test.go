package ui

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// wrapping is a terminal that shows lines which are too wide on several rows, also those that were
// there when it became narrower. It understands what a live display writes.
type wrapping struct {
	lines []string // the last one is where the cursor is, at its beginning
	width int
}

var cursorUp = regexp.MustCompile("^\x1b\\[([0-9]+)A\x1b\\[J")

func (w *wrapping) write(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(strings.ReplaceAll(sgr.ReplaceAllString(text, ""), "\r", "")) {
		if m := cursorUp.FindStringSubmatch(line); m != nil {
			rows, _ := strconv.Atoi(m[1])
			w.erase(t, rows)
			line = line[len(m[0]):]
		}
		if strings.Contains(line, "\x1b") {
			t.Fatalf("unexpected sequence in %q", line)
		}
		if whole, ok := strings.CutSuffix(line, "\n"); ok {
			w.lines = append(w.lines, whole)
		}
	}
}

// erase removes the last rows. A line of which rows are left is shorter then.
func (w *wrapping) erase(t *testing.T, rows int) {
	t.Helper()
	for rows > 0 {
		last := len(w.lines) - 1
		if last < 0 {
			t.Fatal("the cursor is above what was written")
		}
		has := max(1, (len(w.lines[last])+w.width-1)/w.width)
		if has > rows {
			w.lines[last] = w.lines[last][:(has-rows)*w.width]
			return
		}
		w.lines, rows = w.lines[:last], rows-has
	}
}

// A terminal that becomes narrower, and wider again, shows each line of the display once, and what
// stood above it.
func TestRedraw(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 100, 30)
	r := &redraw{terminal: newStream(p.tty, Options{}, func(string) string { return "" })}
	w := &wrapping{width: 100}
	frame := func(above, removal string) {
		seen := len(p.text())
		text := removal + above
		for _, name := range []string{"fra1", "ams1", "lon1"} {
			text += cut("\x1b[32m"+name+"\x1b[0m"+strings.Repeat(" step", 30), w.width) + "\n"
		}
		if n, err := r.Write([]byte(text)); err != nil || n != len(text) {
			t.Fatal(n, err)
		}
		p.await(t, "the frame", func(all string) bool { return strings.Count(all[seen:], "\n") == strings.Count(text, "\n") })
		w.write(t, p.text()[seen:])
	}
	frame("", "")
	for i, width := range []int{40, 61, 23, 100, 99} {
		if err := unix.IoctlSetWinsize(int(p.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: uint16(width)}); err != nil {
			t.Fatal(err)
		}
		w.width = width
		frame(fmt.Sprintf("above %d %s\n", i, strings.Repeat("wide ", 30)), "\x1b[3A\x1b[J")
		frame("", "\x1b[3A\x1b[J")
	}
	if len(w.lines) != 5+3 {
		t.Errorf("%d lines:\n%s", len(w.lines), strings.Join(w.lines, "\n"))
	}
}

// cut returns text with colours, of at most width-1 columns.
func cut(text string, width int) string {
	const colours = len("\x1b[32m\x1b[0m")
	return text[:min(len(text), width-1+colours)]
}
