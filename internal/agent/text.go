package agent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// failure is an error with the output of the program that caused it. The output may contain a
// secret, so it is never part of the message, however often the error is wrapped.
type failure struct {
	message string
	said    string // the line of the output with the reason
	output  string
	// withheld reports that there was output, and that it must not be shown.
	withheld bool
	cause    error
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.cause }

// failureOf returns the failure in an error, or an empty one.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{}
}

// outputOf returns the output that comes with an error.
func outputOf(err error) string { return failureOf(err).output }

// withReason returns the message of an error, with the reason that a program printed.
func withReason(err error) string {
	text := err.Error()
	if said := failureOf(err).said; said != "" {
		text += ": " + said
	}
	return text
}

// quiet returns an error without anything that a program printed: it does not wrap the failure.
func quiet(err error) error {
	return &failure{message: err.Error(), withheld: outputOf(err) != ""}
}

// quote quotes a value from outside, and shortens it.
func quote(s string) string {
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return strconv.Quote(s)
}

// octal formats a mode as chmod(1) takes it.
func octal(n uint32) string { return fmt.Sprintf("0%o", n) }

// printable makes sure that a text is unchanged by JSON.
func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// letterOrDigit reports whether r is an ASCII letter or digit.
func letterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

func notAbsolute(p string) error { return fmt.Errorf("%s is not an absolute path", quote(p)) }

// period formats a duration in whole seconds or milliseconds.
func period(d time.Duration) string {
	if d%time.Second != 0 {
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return fmt.Sprintf("%ds", int(d/time.Second))
}
