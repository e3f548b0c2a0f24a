package resources

import (
	"fmt"
	"strings"
)

// nginxTokens reads a configuration as nginx does (ngx_conf_read_token): words, and ; { } by
// themselves. A word that was in quotes has a ' in front, so that "}" and a quoted one differ.
func nginxTokens(text string) ([]string, error) {
	var tokens []string
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case strings.IndexByte(";{}", c) >= 0:
			tokens = append(tokens, string(c))
			i++
		default:
			word, n, err := nginxWord(text[i:])
			if err != nil {
				return nil, err
			}
			tokens = append(tokens, word)
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
