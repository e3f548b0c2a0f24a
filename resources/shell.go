package resources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	// bareWord is text that a POSIX shell reads literally without quotes (XCU 2.2, 2.6).
	bareWord = regexp.MustCompile(`^[A-Za-z0-9@%_+=:,./-]+$`)
	// assignment is the beginning of a word that sets a variable before a command (XCU 2.9.1).
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\+?=`)
	// option is a long option with its value.
	option = regexp.MustCompile(`^(--[A-Za-z0-9][A-Za-z0-9-]*=)(.+)$`)
)

// reserved are the reserved words of POSIX shells (XCU 2.4) and of bash.
var reserved = []string{
	"if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "in",
	"function", "select", "time", "coproc", "namespace",
}

// ShellQuote quotes a word so that a POSIX shell reads exactly that word. It is the only function
// that writes text for a shell. A word that needs no quotes stays bare. A word with single quotes
// and nothing special between double quotes gets double quotes; any other gets single quotes. Of a
// long option, only the value is quoted. A backslash is always between single quotes, which
// cronEscape relies on.
//
// A newline, a carriage return or a NUL character in the word is an error: a line of a script or a
// crontab cannot contain it.
func ShellQuote(word string) (string, error) {
	if i := strings.IndexAny(word, "\n\r\x00"); i >= 0 {
		return "", fmt.Errorf("%q contains %q, which is not possible in a command line", word, word[i])
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

// ShellJoin quotes each word of argv, so that a POSIX shell runs exactly that command.
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

// cronEscape escapes a command from ShellJoin for a crontab line. Cron ends the command at a bare
// %, removes the backslash of \%, and some crons (FreeBSD's, and others derived from Vixie's) turn
// two backslashes into one. So each % gets a backslash, and no backslash may precede another or an
// escaped %: there, two single quotes close and open again the quotes that ShellJoin puts around
// backslashes.
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
