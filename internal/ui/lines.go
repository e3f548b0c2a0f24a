package ui

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Lines reads lines of input. On a terminal it offers a prompt, line editing and a history.
type Lines struct {
	in       *os.File // the terminal; nil without one
	out      *stream
	terminal *term.Terminal
	plain    *bufio.Reader
}

// NewLines returns a reader of lines from Options.In. complete returns the completions of a word
// for the tab key; it may be nil.
func NewLines(u *UI, complete func(word string) []string) *Lines {
	l := &Lines{out: u.err}
	if l.out.file == nil {
		l.out = u.out
	}
	f, ok := u.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || !l.out.animated {
		l.plain = u.answers
		return l
	}
	l.in = f
	l.terminal = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{f, l.out.file}, "")
	l.terminal.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' || complete == nil {
			return "", 0, false
		}
		return completeWord(line, pos, complete)
	}
	return l
}

// Interactive reports whether lines are read from a terminal.
func (l *Lines) Interactive() bool { return l.terminal != nil }

// Read returns the next line without its newline. The error is io.EOF at the end of input (on a
// terminal: Ctrl-D or Ctrl-C), or the cause of ctx. The terminal's state is restored in every case.
func (l *Lines) Read(ctx context.Context, prompt string) (string, error) {
	if l.terminal != nil {
		state, err := term.MakeRaw(int(l.in.Fd()))
		if err != nil {
			return "", err
		}
		defer func() { _ = term.Restore(int(l.in.Fd()), state) }() // MakeRaw worked, so this does
		if width := l.out.width(); width > 0 {
			_ = l.terminal.SetSize(width, l.out.height()) // an error only affects the display
		}
		l.terminal.SetPrompt(prompt)
	}
	type result struct {
		line string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		line, err := l.read()
		results <- result{line, err}
	}()
	select {
	case r := <-results:
		return r.line, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (l *Lines) read() (string, error) {
	if l.terminal != nil {
		line, err := l.terminal.ReadLine()
		if err != nil {
			_, _ = io.WriteString(l.out.file, "\r\n") // further output starts below the prompt
		}
		return line, err
	}
	line, err := l.plain.ReadString('\n')
	if err == io.EOF && line != "" {
		err = nil
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), err
}

// completeWord completes the word before a position up to the common prefix of its completions.
func completeWord(line string, pos int, complete func(word string) []string) (string, int, bool) {
	start := pos
	for start > 0 && (isWordByte(line[start-1])) {
		start--
	}
	word := line[start:pos]
	common := ""
	for i, c := range complete(word) {
		if i == 0 {
			common = c
			continue
		}
		n := 0
		for n < len(common) && n < len(c) && common[n] == c[n] {
			n++
		}
		common = common[:n]
	}
	if len(common) <= len(word) {
		return line, pos, true // true: do not insert the tab
	}
	return line[:start] + common + line[pos:], start + len(common), true
}

func isWordByte(b byte) bool {
	return b == '.' || b == '_' || b == '-' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}
