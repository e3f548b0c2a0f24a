package resources

import (
	"fmt"
	"strings"
)

// caddyToken is a word of a Caddyfile.
type caddyToken struct {
	word   string
	quoted bool
}

// caddyTokens reads a Caddyfile as Caddy does: words, which end at white space, between double
// quotes or backticks if they begin with one.
func caddyTokens(text string) (tokens []caddyToken, err error) {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case c == '"' || c == '`':
			word, n, ok := caddyQuotedWord(text[i:])
			if !ok {
				return nil, fmt.Errorf("no end of the word %q", text[i:])
			}
			tokens = append(tokens, caddyToken{word, true})
			i += n
		default:
			n := strings.IndexAny(text[i:], " \t\r\n")
			if n < 0 {
				n = len(text) - i
			}
			tokens = append(tokens, caddyToken{text[i : i+n], false})
			i += n
		}
	}
	return tokens, nil
}

// caddyQuotedWord reads a word in quotes, and returns how many bytes it takes.
func caddyQuotedWord(text string) (word string, n int, ok bool) {
	var b strings.Builder
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			return b.String(), i + 1, true
		case c == '\\' && quote == '"' && i+1 < len(text):
			i++
			if text[i] != '"' {
				b.WriteByte('\\')
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, false
}

// checkExtra requires whole directives: an open block would take in what follows, and a closing
// brace would end the site's block. Words with a brace at one end, in quotes or not, and texts of
// several lines are refused, since versions of Caddy differ in what they read.
func (caddy) checkExtra(text string) error {
	if err := checkLines(strings.ReplaceAll(text, "\t", " ")); err != nil {
		return err
	}
	switch {
	case strings.Contains(text, "{$"):
		return fmt.Errorf("it has an environment variable, which only Caddy's unit sets: write its value")
	case strings.Contains(text, "<<"):
		return fmt.Errorf("it has <<, which begins a text of several lines: use one between backticks")
	case strings.Contains(text, "\\\n") || strings.HasSuffix(text, "\\"):
		return fmt.Errorf("a line ends with \\: write the directive on one line")
	}
	depth := 0
	for line := range strings.SplitSeq(text, "\n") {
		tokens, err := caddyTokens(line)
		if err != nil {
			return fmt.Errorf("Caddy cannot read it: %w", err) //nolint:staticcheck // the name of the server
		}
		for i, token := range tokens {
			switch word := token.word; {
			case word == "{" && !token.quoted && i > 0 && i == len(tokens)-1:
				depth++
			case word == "}" && !token.quoted && len(tokens) == 1 && depth > 0:
				depth--
			case strings.HasSuffix(word, "{") || strings.HasPrefix(word, "}"):
				return fmt.Errorf("%q is not a whole block: end the line of a directive with {, and write } on a line of its own",
					strings.TrimSpace(line))
			}
		}
	}
	if depth > 0 {
		return fmt.Errorf("it ends within a block: end each block with } on a line of its own")
	}
	return nil
}
