package ui

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/fatih/color"
	"golang.org/x/term"
)

// Options configure a UI. The zero value detects everything.
type Options struct {
	// Color is "always", "never" or "auto" (the default). "auto" means: colours on a terminal,
	// unless NO_COLOR is set (https://no-color.org) or TERM is dumb. CLICOLOR_FORCE other than 0
	// forces them without a terminal.
	Color string
	// Width is the number of columns to print in. 0 means the terminal's width, and no wrapping
	// without a terminal.
	Width int
	// Quiet suppresses progress, and everything else that is neither a result nor a problem.
	Quiet bool
	// Verbose prints a line for each step even with many hosts.
	Verbose bool
	// In is the source of answers; os.Stdin if nil.
	In io.Reader
	// Environ replaces the process's environment, in the form of os.Environ.
	Environ []string
}

// UI prints to two streams: results go to the first (stdout), diagnostics and the live display to
// the second (stderr). It is safe for concurrent use.
type UI struct {
	out, err *stream
	in       io.Reader
	answers  *bufio.Reader
	quiet    bool
	verbose  bool
	asking   sync.Mutex // one question at a time on the terminal
	mu       sync.Mutex
	failure  error
	live     *liveDisplay // nil when none is shown
}

// stream is one of the two outputs and its properties.
type stream struct {
	w        io.Writer
	file     *os.File // nil when w is not a terminal
	fixed    int      // Options.Width
	style    style
	animated bool // lines may be overwritten
}

// New returns a UI that prints results to out and diagnostics to err.
func New(out, err io.Writer, o Options) *UI {
	if o.In == nil {
		o.In = os.Stdin
	}
	env := os.Getenv
	if o.Environ != nil {
		env = lookup(o.Environ)
	}
	return &UI{
		out:     newStream(out, o, env),
		err:     newStream(err, o, env),
		in:      o.In,
		answers: bufio.NewReader(o.In),
		quiet:   o.Quiet,
		verbose: o.Verbose,
	}
}

func lookup(environ []string) func(string) string {
	return func(name string) string {
		value := ""
		for _, e := range environ {
			if k, v, ok := strings.Cut(e, "="); ok && k == name {
				value = v
			}
		}
		return value
	}
}

func newStream(w io.Writer, o Options, env func(string) string) *stream {
	s := &stream{w: w, fixed: o.Width}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.file = f
	}
	s.animated = s.file != nil && env("TERM") != "dumb"
	s.style = newStyle(wantColor(o.Color, s.file != nil, env))
	return s
}

func wantColor(option string, terminal bool, env func(string) string) bool {
	switch {
	case option == "always":
		return true
	case option == "never", env("NO_COLOR") != "":
		return false
	case env("CLICOLOR_FORCE") != "" && env("CLICOLOR_FORCE") != "0":
		return true
	}
	return terminal && env("TERM") != "dumb"
}

// width returns the number of columns; 0 means no limit.
func (s *stream) width() int {
	if s.fixed > 0 {
		return s.fixed
	}
	if s.file != nil {
		if w, _, err := term.GetSize(int(s.file.Fd())); err == nil && w > 0 {
			return w
		}
		return 80
	}
	return 0
}

// height returns the number of lines of the terminal; 24 when unknown.
func (s *stream) height() int {
	if s.file != nil {
		if _, h, err := term.GetSize(int(s.file.Fd())); err == nil && h > 0 {
			return h
		}
	}
	return 24
}

// style colours text. The text must already be escaped.
type style struct {
	bold, dim, red, green, yellow, cyan, heading, fail, warn func(...any) string
	// redStrong and greenStrong are for what differs in a line.
	redStrong, greenStrong func(...any) string
}

func newStyle(enabled bool) style {
	c := func(a ...color.Attribute) func(...any) string {
		c := color.New(a...)
		if enabled {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
		return c.Sprint
	}
	return style{
		bold:    c(color.Bold),
		dim:     c(color.Faint),
		red:     c(color.FgRed),
		green:   c(color.FgGreen),
		yellow:  c(color.FgYellow),
		cyan:    c(color.FgCyan),
		heading: c(color.Bold),
		fail:    c(color.FgRed, color.Bold),
		warn:    c(color.FgYellow, color.Bold),

		redStrong:   c(color.FgRed, color.ReverseVideo),
		greenStrong: c(color.FgGreen, color.ReverseVideo),
	}
}

// write prints escaped text. Err returns the first failure, after which nothing more is written to
// either stream.
func (u *UI) write(s *stream, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writeLocked(s, text)
}

func (u *UI) writeLocked(s *stream, text string) {
	if text == "" || u.failure != nil {
		return
	}
	w := s.w
	if u.live != nil && s.file != nil {
		w = u.live
	}
	if _, err := io.WriteString(w, text); err != nil {
		u.failure = fmt.Errorf("write output: %w", err)
	}
}

// ToStderr sends all further results to the second stream.
func (u *UI) ToStderr() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.out = u.err
}

// Stderr returns the second stream as a writer of whole lines, which appear above the live display.
// The caller escapes them.
func (u *UI) Stderr() io.Writer { return lineWriter{u} }

type lineWriter struct{ ui *UI }

func (w lineWriter) Write(b []byte) (int, error) {
	w.ui.write(w.ui.err, string(b))
	return len(b), w.ui.Err()
}

// Err returns the first write error, such as a full disk or a closed pipe.
func (u *UI) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failure
}

// Print prints text as a result, escaped line by line.
func (u *UI) Print(text string) {
	u.write(u.out, strings.Join(escapeLines(text), "\n")+"\n")
}

// Clear clears the terminal that results go to, for output that refreshes in place (ECMA-48: CUP,
// ED). Without a terminal it does nothing.
func (u *UI) Clear() {
	if u.out.animated {
		u.write(u.out, "\x1b[H\x1b[2J")
	}
}

// Note prints a remark on the second stream, escaped, unless Options.Quiet is set.
func (u *UI) Note(text string) {
	if !u.quiet {
		u.write(u.err, strings.Join(wrap(escapeLines(text), u.err.width()), "\n")+"\n")
	}
}

// Warning prints a warning that has no position in the configuration.
func (u *UI) Warning(text string) {
	u.write(u.err, u.err.labelled(u.err.style.warn("Warning:"), text))
}

// Error prints an error that has no position in the configuration.
func (u *UI) Error(err error) {
	u.write(u.err, u.err.labelled(u.err.style.fail("Error:"), err.Error()))
}

// labelled puts a coloured label before text and indents the lines after the first.
func (s *stream) labelled(label, text string) string {
	lines := wrap(escapeLines(text), s.width()-len("Warning: "))
	return label + " " + strings.Join(lines, "\n  ") + "\n"
}

// count formats a number with its noun: "1 host", "2 hosts".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
