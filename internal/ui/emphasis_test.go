package ui

import (
	"fmt"
	"strings"
	"testing"
)

// In colour, [ and ] stand for what is set off.
func TestChangedWords(t *testing.T) {
	t.Parallel()
	s := newStyle(true)
	bracket := strings.NewReplacer("\x1b[31;7m", "[", "\x1b[0;22;27m", "]", "\x1b[32;7m", "[", "\x1b[0;27m", "]", "\x1b[31m", "", "\x1b[32m", "", "\x1b[0m", "")
	for _, c := range []struct{ before, after, want string }{
		{`server_name m1.example.org old.example.org;`, `server_name m1.example.org new.example.org;`, `-server_name m1.example.org [old.example.org]; +server_name m1.example.org [new.example.org];`},
		{"a b c", "a b c d", "-a b c +a b c[ d]"},
		{"nothing is alike here", "completely other words", "-nothing is alike here +completely other words"},
		{"", "new", "- +new"},
		{"one two three", "one 2 three", "-one [two] three +one [2] three"},
	} {
		before, after := s.change("-", c.before, "+", c.after)
		if got := bracket.Replace(before) + " " + bracket.Replace(after); got != c.want {
			t.Errorf("%q\nwant %q", got, c.want)
		}
		plainBefore, plainAfter := newStyle(false).change("-", c.before, "+", c.after)
		if plainBefore != "-"+c.before || plainAfter != "+"+c.after {
			t.Errorf("without colour: %q, %q", plainBefore, plainAfter)
		}
	}
}

func TestPairs(t *testing.T) {
	t.Parallel()
	for signs, want := range map[string]string{
		"":           "[]",
		" -+ ":       "[-1 2 1 -1]",
		"--++":       "[2 3 0 1]",
		"--+":        "[-1 2 1]",
		"-++ -+":     "[1 0 -1 -1 5 4]",
		"++--":       "[-1 -1 -1 -1]",
		"@-\\+\\ --": "[-1 -1 -1 -1 -1 -1 -1 -1]",
	} {
		var lines []diffLine
		for i := range len(signs) {
			lines = append(lines, diffLine{sign: signs[i]})
		}
		if got := fmt.Sprint(pairs(lines)); got != want {
			t.Errorf("%q: %s, want %s", signs, got, want)
		}
	}
}
