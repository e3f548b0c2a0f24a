package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLines edits lines on a terminal, which is as it was after each.
func TestLines(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 80, 24)
	u := New(p.tty, p.tty, Options{In: p.tty, Environ: []string{"TERM=xterm"}})
	l := NewLines(u, func(word string) []string {
		if word == "var.s" {
			return []string{"var.sponsor_name", "var.sponsor_url"}
		}
		return nil
	})
	if !l.Interactive() {
		t.Fatal("not interactive")
	}
	before, err := unix.IoctlGetTermios(int(p.master.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	// read types once the prompt is there: before, the terminal itself would act on what is typed.
	prompts := 0
	read := func(typed string) (string, error) {
		prompts++
		type result struct {
			line string
			err  error
		}
		results := make(chan result)
		go func() {
			line, err := l.Read(t.Context(), fmt.Sprintf("%d> ", prompts))
			results <- result{line, err}
		}()
		p.await(t, "the prompt", func(text string) bool { return strings.Contains(text, fmt.Sprintf("%d> ", prompts)) })
		p.typeText(t, typed)
		r := <-results
		after, err := unix.IoctlGetTermios(int(p.master.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("%q: the terminal is not as it was", typed)
		}
		return r.line, r.err
	}
	for _, c := range []struct{ what, typed, want string }{
		{"a line", "1 + 2\r", "1 + 2"},
		{"backspace and left", "lenth(x)\x1b[D\x1b[D\x1b[D\x1b[D\x7fgt\r", "length(x)"},
		{"the line before the last", "\x1b[A\x1b[A\r", "1 + 2"},
		{"what is completed", "[var.s\t_x]\r", "[var.sponsor__x]"},
		{"nothing to complete", "zz\t\r", "zz"},
	} {
		if got, err := read(c.typed); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.what, got, err, c.want)
		}
	}
	for _, end := range []string{"\x04", "\x03"} {
		l = NewLines(u, nil)
		if got, err := read(end); !errors.Is(err, io.EOF) {
			t.Errorf("%q: %q, %v", end, got, err)
		}
	}
	l = NewLines(u, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the end"))
	if _, err := l.Read(ctx, "> "); err == nil || err.Error() != "the end" {
		t.Errorf("got %v", err)
	}
	p.typeText(t, "\r") // for the reader that was left
}

func TestLinesPlain(t *testing.T) {
	t.Parallel()
	u, out, stderr := newTest(Options{In: strings.NewReader("a\r\nb\n\nlast")})
	l := NewLines(u, nil)
	var got []string
	for {
		line, err := l.Read(t.Context(), "> ")
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if strings.Join(got, "|") != "a|b||last" || l.Interactive() || out.Len()+stderr.Len() > 0 {
		t.Errorf("got %q, printed %q %q", got, out, stderr)
	}
}
