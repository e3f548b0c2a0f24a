package ui

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/mirrorform/mirrorform/internal/plain"
	"golang.org/x/term"
)

// ErrNoTerminal is the error of a question that nobody is there to answer.
var ErrNoTerminal = errors.New("no terminal to ask on")

// ErrInterrupted is the error of a question that a signal ended.
var ErrInterrupted = errors.New("interrupted")

// Confirm asks a question on the second stream, or on the first if only that is a terminal; only the answer "yes" is true. When standard input is not a terminal the error is
// ErrNoTerminal and names --auto-approve; when it ends, the answer is no.
func (u *UI) Confirm(prompt string) (bool, error) {
	f, ok := u.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, fmt.Errorf("%w: standard input is not one; use --auto-approve to go ahead without being asked", ErrNoTerminal)
	}
	return u.confirm(prompt)
}

func (u *UI) confirm(prompt string) (bool, error) {
	to := u.err
	if to.file == nil && u.out.file != nil {
		to = u.out // where it is seen
	}
	st := to.style
	u.write(to, st.bold(strings.Join(escapeLines(prompt), "\n"))+"\n  Only \"yes\" is accepted.\n\n  "+st.bold("Answer:")+" ")
	line, err := interruptible(func() (string, error) { return u.answers.ReadString('\n') })
	if err != nil {
		u.write(to, "\n")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line) == "yes", nil
}

// Password asks for a secret on the controlling terminal, /dev/tty, without echo. The error is ErrNoTerminal when the process has none, and
// ErrInterrupted after SIGINT or SIGTERM; the terminal is as it was in every case.
func (u *UI) Password(prompt string) (secret string, err error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	defer func() { err = errors.Join(err, tty.Close()) }()
	u.asking.Lock()
	defer u.asking.Unlock()
	return askPassword(tty, prompt)
}

func askPassword(tty *os.File, prompt string) (secret string, err error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	if _, err := fmt.Fprintf(tty, "%s: ", plain.Escape(prompt)); err != nil {
		return "", fmt.Errorf("ask for a password: %w", err)
	}
	secret, err = interruptible(func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	// An interrupted read is still waiting with the echo off.
	restored := term.Restore(fd, before)
	_, newline := fmt.Fprintln(tty)
	if err := errors.Join(err, restored, newline); err != nil {
		return "", fmt.Errorf("read a password: %w", err)
	}
	return secret, nil
}

// interruptible returns what read does, or ErrInterrupted at the first SIGINT or SIGTERM. The read then goes on by itself, since a
// terminal cannot be told to stop; the process is about to end.
func interruptible(read func() (string, error)) (string, error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		return a.text, a.err
	case <-signals:
		return "", ErrInterrupted
	}
}
