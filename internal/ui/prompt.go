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

// ErrNoTerminal reports that there is no terminal to prompt on.
var ErrNoTerminal = errors.New("no terminal for a prompt")

// ErrInterrupted reports that a signal ended a prompt.
var ErrInterrupted = errors.New("interrupted")

// Confirm asks for confirmation on the second stream, or on the first if only that one is a
// terminal. It returns true only for the answer "yes"; end of input counts as no. If standard input
// is not a terminal, the error is ErrNoTerminal and names --auto-approve.
func (u *UI) Confirm(prompt string) (bool, error) {
	f, ok := u.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, fmt.Errorf("%w: standard input is not a terminal; to skip the confirmation, add --auto-approve",
			ErrNoTerminal)
	}
	return u.confirm(prompt)
}

func (u *UI) confirm(prompt string) (bool, error) {
	to := u.err
	if to.file == nil && u.out.file != nil {
		to = u.out // the second stream is redirected: the prompt would not be seen
	}
	st := to.style
	u.write(to, st.bold(strings.Join(escapeLines(prompt), "\n"))+
		"\n  Only \"yes\" is accepted.\n\n  "+st.bold("Answer:")+" ")
	line, err := interruptible(func() (string, error) { return u.answers.ReadString('\n') })
	if err != nil {
		u.write(to, "\n")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line) == "yes", nil
}

// Password prompts for a secret on the controlling terminal, /dev/tty, without echo. The error is
// ErrNoTerminal if the process has none, and ErrInterrupted after SIGINT or SIGTERM. The terminal's
// state is restored in every case.
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
	// An interrupted read is still pending, with echo off.
	restored := term.Restore(fd, before)
	_, newline := fmt.Fprintln(tty)
	if err := errors.Join(err, restored, newline); err != nil {
		return "", fmt.Errorf("read a password: %w", err)
	}
	return secret, nil
}

// interruptible returns the result of read, or ErrInterrupted at the first SIGINT or SIGTERM. The
// read then stays pending, since a terminal read cannot be cancelled; the process is about to exit.
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
