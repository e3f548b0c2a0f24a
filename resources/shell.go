package resources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	// bareWord is text that a POSIX shell (XCU 2.2, 2.6) takes literally wherever it stands in a word.
	bareWord = regexp.MustCompile(`^[A-Za-z0-9@%_+=:,./-]+$`)
	// assignment is how a word begins that would set a variable in front of a command (XCU 2.9.1).
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\+?=`)
	// option is a long option with its value.
	option = regexp.MustCompile(`^(--[A-Za-z0-9][A-Za-z0-9-]*=)(.+)$`)
)

// reserved are the shell's own words (XCU 2.4), and those that only bash has.
var reserved = []string{
	"if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "in",
	"function", "select", "time", "coproc", "namespace",
}

// ShellQuote writes a word so that a POSIX shell reads exactly that word, whatever is in it. It is the only place where
// text is made for a shell. A word that needs no quotes stays bare; one with single quotes and nothing that is special
// between double quotes is put between those; any other between single quotes; of a long option only the value is
// quoted. A backslash stands only between single quotes.
//
// It is an error for the word to hold a newline, a carriage return or a NUL character: no line of a file that is read
// by a shell can carry them.
func ShellQuote(word string) (string, error) {
	if i := strings.IndexAny(word, "\n\r\x00"); i >= 0 {
		return "", fmt.Errorf("%q holds %q, which no line of a command can hold", word, word[i])
	}
	if m := option.FindStringSubmatch(word); m != nil {
		value, err := ShellQuote(m[2])
		return m[1] + value, err
	}
	switch {
	case bareWord.MatchString(word) && !assignment.MatchString(word) && !slices.Contains(reserved, word):
		return word, nil
	case strings.Contains(word, "'") && !strings.ContainsAny(word, "\"$`\\!"):
		return `"` + word + `"`, nil
	}
	return "'" + strings.ReplaceAll(word, "'", `'"'"'`) + "'", nil
}

// ShellJoin writes a command so that a POSIX shell runs exactly that argv: each word as ShellQuote writes it.
func ShellJoin(argv []string) (string, error) {
	words := make([]string, len(argv))
	for i, arg := range argv {
		word, err := ShellQuote(arg)
		if err != nil {
			return "", fmt.Errorf("argument %d: %w", i, err)
		}
		words[i] = word
	}
	return strings.Join(words, " "), nil
}

// cronEscape writes a command of ShellJoin as the command of a crontab line. Cron ends the command at a bare %, takes the
// backslash from \%, and some of them (FreeBSD's, and others of Vixie's line) make one backslash of two. So each %
// gets a backslash, and a backslash never stands before another or before that one: there the single quotes, in which all
// backslashes of ShellJoin are, are closed and opened again.
func cronEscape(command string) string {
	var out strings.Builder
	for i := range len(command) {
		c := command[i]
		if (c == '%' || c == '\\') && i > 0 && command[i-1] == '\\' {
			out.WriteString("''")
		}
		if c == '%' {
			out.WriteByte('\\')
		}
		out.WriteByte(c)
	}
	return out.String()
}
