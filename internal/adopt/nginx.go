package adopt

import (
	"errors"
	"strings"
)

// Limits for nginx's configuration.
const (
	maxDirectives = 20000
	maxBlocks     = 32 // nested blocks
)

// directive is a directive of nginx: a name, arguments, and the directives in its block.
type directive struct {
	line  int
	name  string
	args  []string
	block []*directive
	open  bool // it has a block
	file  string
}

var errNginx = errors.New("it is not a valid configuration of nginx")

// parseNginx parses a configuration file of nginx. It keeps open blocks in a slice instead of
// recursing, so deep nesting cannot overflow the stack.
func parseNginx(text string) ([]*directive, error) {
	root := &directive{}
	stack := []*directive{root}
	var words []string
	line, begin, count := 1, 0, 0
	for i := 0; i < len(text); {
		c := text[i]
		switch c {
		case '\n':
			line++
			i++
		case ' ', '\t', '\r':
			i++
		case '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case ';', '{', '}':
			i++
			top := stack[len(stack)-1]
			if c == '}' {
				if len(words) > 0 || len(stack) == 1 {
					return nil, errNginx
				}
				stack = stack[:len(stack)-1]
				continue
			}
			if len(words) == 0 {
				return nil, errNginx
			}
			if count++; count > maxDirectives || len(stack) > maxBlocks {
				return nil, errors.New("it is too large")
			}
			d := &directive{line: begin, name: words[0], args: words[1:], open: c == '{'}
			top.block = append(top.block, d)
			words = nil
			if c == '{' {
				stack = append(stack, d)
			}
		default:
			if len(words) == 0 {
				begin = line
			}
			word, n, ok := nginxWord(text[i:])
			if !ok {
				return nil, errNginx
			}
			line += strings.Count(text[i:i+n], "\n")
			words = append(words, word)
			i += n
		}
	}
	if len(words) > 0 || len(stack) > 1 {
		return nil, errNginx
	}
	return root.block, nil
}

// nginxWord parses one word, with or without quotes, and returns its length in bytes.
func nginxWord(text string) (word string, n int, ok bool) {
	var out strings.Builder
	quote := byte(0)
	if text[0] == '"' || text[0] == '\'' {
		quote, n = text[0], 1
	}
	for n < len(text) {
		c := text[n]
		switch {
		case c == '\\' && n+1 < len(text):
			if next := text[n+1]; quote == 0 || next != quote && next != '\\' {
				out.WriteByte(c) // in quotes, a backslash escapes only the quote and itself
			}
			out.WriteByte(text[n+1])
			n += 2
		case quote != 0 && c == quote:
			return out.String(), n + 1, true
		case quote == 0 && c == '$' && n+1 < len(text) && text[n+1] == '{':
			out.WriteString("${")
			n += 2
			for n < len(text) && text[n] != '}' && text[n] != '\n' {
				out.WriteByte(text[n])
				n++
			}
			if n < len(text) && text[n] == '}' {
				out.WriteByte('}')
				n++
			}
		case quote == 0 && strings.IndexByte(" \t\r\n;{}", c) >= 0:
			return out.String(), n, true
		default:
			out.WriteByte(c)
			n++
		}
	}
	return out.String(), n, quote == 0
}
