package agent

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// The helper makes its messages by joining strings: package fmt and what it links have 150 KB. Functions that are used all over the package are kept
// from being inlined, which is another 40 KB.

// because is an error with its cause.
//
//go:noinline
func because(what string, cause error) error { return &caused{what, cause} }

type caused struct {
	what  string
	cause error
}

func (c *caused) Error() string { return c.what + ": " + c.cause.Error() }
func (c *caused) Unwrap() error { return c.cause }

// failure is an error with what the program that caused it printed. That may hold a secret, so it
// is no part of the message, however often the error is wrapped.
type failure struct {
	message string
	said    string // the line of the output that gives the reason
	output  string
	// withheld says that there was output, and it is not to be seen.
	withheld bool
}

func (f *failure) Error() string { return f.message }

// failureOf is the failure in an error; an empty one where there is none.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{}
}

// outputOf is the output that comes with an error.
func outputOf(err error) string { return failureOf(err).output }

// told is the message of an error with the reason that a program gave.
func told(err error) string {
	text := err.Error()
	if said := failureOf(err).said; said != "" {
		text += ": " + said
	}
	return text
}

// quiet is an error without anything that a program printed.
func quiet(err error) error {
	return &failure{message: err.Error(), withheld: outputOf(err) != ""}
}

// quote quotes a value that came from elsewhere, and shortens it.
//
//go:noinline
func quote(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return string(appendQuoted(nil, s))
}

//go:noinline
func itoa(n int) string { return strconv.Itoa(n) }

//go:noinline
func octal(n uint32) string { return "0" + strconv.FormatUint(uint64(n), 8) }
func utoa(n uint64) string  { return strconv.FormatUint(n, 10) }
func hex(b []byte) string {
	s := make([]byte, 0, 2*len(b))
	for _, c := range b {
		s = append(s, hexDigits[c>>4], hexDigits[c&15])
	}
	return string(s)
}

// printable makes sure that text survives JSON unchanged.
//
//go:noinline
func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

//go:noinline
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

// contains reports whether a list holds a string.
//
//go:noinline
func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

//go:noinline
func notAbsolute(p string) error { return errors.New(quote(p) + " is no absolute path") }

// lines are the lines of a text, each with its newline.
//
//go:noinline
func lines(s string) []string {
	l := strings.SplitAfter(s, "\n")
	if l[len(l)-1] == "" {
		l = l[:len(l)-1]
	}
	return l
}

// cut is strings.Cut.
//
//go:noinline
func cut(s, sep string) (before, after string, found bool) { return strings.Cut(s, sep) }

// sortStrings sorts a list. The sorting functions of the standard library are 10 KB for strings alone, and lists here are short.
func sortStrings(s []string) {
	for gap := len(s) / 2; gap > 0; gap /= 2 {
		for i := gap; i < len(s); i++ {
			for j := i; j >= gap && s[j] < s[j-gap]; j -= gap {
				s[j], s[j-gap] = s[j-gap], s[j]
			}
		}
	}
}

// period writes a duration in whole seconds or milliseconds.
func period(d time.Duration) string {
	if d%time.Second != 0 {
		return itoa(int(d/time.Millisecond)) + "ms"
	}
	return itoa(int(d/time.Second)) + "s"
}
