package ui

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Lines reads lines of input: on a terminal with a prompt, editing and a history, otherwise as they come.
type Lines struct {
	in       *os.File // the terminal; nil: there is none
	out      *stream
	terminal *term.Terminal
	plain    *bufio.Reader
}

// NewLines begins to read lines from what Options.In is. complete returns the words that a word may
// become when the tabulator key is pressed; it may be nil.
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

// Interactive tells whether lines are typed on a terminal.
func (l *Lines) Interactive() bool { return l.terminal != nil }

// Read returns the next line without its end. It ends with io.EOF, on a terminal after Ctrl-D or Ctrl-C, or with the error of ctx. The terminal is then as it was.
func (l *Lines) Read(ctx context.Context, prompt string) (string, error) {
	if l.terminal != nil {
		state, err := term.MakeRaw(int(l.in.Fd()))
		if err != nil {
			return "", err
		}
		defer func() { _ = term.Restore(int(l.in.Fd()), state) }() // it was possible a moment ago
		if width := l.out.width(); width > 0 {
			_ = l.terminal.SetSize(width, l.out.height()) // only the display suffers
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
			_, _ = io.WriteString(l.out.file, "\r\n") // what comes next is not to stand behind the prompt
		}
		return line, err
	}
	line, err := l.plain.ReadString('\n')
	if err == io.EOF && line != "" {
		err = nil
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), err
}

// completeWord completes the word before a position in a line as far as it is certain.
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
		return line, pos, true // the key is not to be typed
	}
	return line[:start] + common + line[pos:], start + len(common), true
}

func isWordByte(b byte) bool {
	return b == '.' || b == '_' || b == '-' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}
