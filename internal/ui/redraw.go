package ui

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// redraw writes the frames of mpb to a terminal, and corrects how mpb removes the frame before: mpb
// moves the cursor up by the lines that it wrote. If the terminal has become narrower since, it
// shows some of these lines on several rows, and the first ones would stay as ghosts.
type redraw struct {
	terminal *stream
	before   []string // the last lines that were written: the frame, and what stands above it
}

// maxFrame bounds the lines that are remembered. A frame is not higher than its terminal.
const maxFrame = 1000

// removal is what mpb writes before a frame: cursor up, and erase to the end of the screen.
var removal = regexp.MustCompile("^\x1b\\[([0-9]+)A\x1b\\[J")

// sgr are the sequences of colours, which take no columns.
var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Write writes a frame. It reports len(b), however many rows it removes.
func (r *redraw) Write(b []byte) (int, error) {
	out, rest := b, b
	if m := removal.FindSubmatch(b); m != nil {
		rest = b[len(m[0]):]
		lines, _ := strconv.Atoi(string(m[1])) // digits
		if rows := r.rows(lines); rows != lines {
			out = append([]byte("\x1b["+strconv.Itoa(rows)+"A\x1b[J"), rest...)
		}
	}
	r.remember(rest)
	if _, err := r.terminal.file.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// rows returns on how many rows the terminal shows the last lines, if it wraps what is too wide, as
// nearly all do that can be resized.
func (r *redraw) rows(lines int) int {
	width := r.terminal.width()
	if lines > len(r.before) {
		return lines
	}
	rows := 0
	for _, line := range r.before[len(r.before)-lines:] {
		rows += max(1, (columns(line)+width-1)/width)
	}
	return rows
}

// remember keeps whole lines that were written, at most maxFrame of them.
func (r *redraw) remember(b []byte) {
	whole := b[:bytes.LastIndexByte(b, '\n')+1]
	for line := range strings.Lines(string(whole)) {
		r.before = append(r.before, strings.TrimRight(sgr.ReplaceAllString(line, ""), "\r\n"))
	}
	r.before = r.before[max(0, len(r.before)-maxFrame):]
}
