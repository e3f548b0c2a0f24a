package resources

import (
	"fmt"
	"strings"
)

// nginxToken is a word with the line that it begins on, counted from 1.
type nginxToken struct {
	word string
	line int
}

// nginxTokens reads a configuration as nginx does (ngx_conf_read_token): words, and ; { } by
// themselves. A word that was in quotes has a ' in front, so that "}" and a quoted one differ.
func nginxTokens(text string) ([]string, error) {
	tokens, err := nginxTokensAt(text)
	words := make([]string, len(tokens))
	for i, t := range tokens {
		words[i] = t.word
	}
	return words, err
}

// nginxTokensAt is as nginxTokens, with lines.
func nginxTokensAt(text string) ([]nginxToken, error) {
	var tokens []nginxToken
	line := 1
	for i, counted := 0, 0; i < len(text); {
		line += strings.Count(text[counted:i], "\n")
		counted = i
		switch c := text[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case strings.IndexByte(";{}", c) >= 0:
			tokens = append(tokens, nginxToken{string(c), line})
			i++
		default:
			word, n, err := nginxWord(text[i:])
			if err != nil {
				return nil, err
			}
			tokens = append(tokens, nginxToken{word, line})
			i += n
		}
	}
	return tokens, nil
}

// nginxWord reads one word and says how many bytes it took.
func nginxWord(text string) (string, int, error) {
	var word strings.Builder
	quote := byte(0)
	start := 0
	if text[0] == '"' || text[0] == '\'' {
		quote, start = text[0], 1
		word.WriteByte('\'')
	}
	for i := start; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			if escape := strings.IndexByte(`"'\trn`, text[i]); escape >= 0 {
				word.WriteByte("\"'\\\t\r\n"[escape])
			} else {
				word.WriteString(text[i-1 : i+1])
			}
		case c == '$' && quote == 0 && i+1 < len(text) && text[i+1] == '{':
			i++
			word.WriteString("${")
		case quote != 0 && c == quote:
			if i+1 < len(text) && strings.IndexByte(" \t\r\n;{)", text[i+1]) < 0 {
				return "", 0, fmt.Errorf("unexpected %q after a quote", text[i+1])
			}
			return word.String(), i + 1, nil
		case quote == 0 && strings.IndexByte(" \t\r\n;{", c) >= 0:
			return word.String(), i, nil
		default:
			word.WriteByte(c)
		}
	}
	return "", 0, fmt.Errorf("no end of the word %q", text)
}
