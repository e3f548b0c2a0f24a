package resources

import (
	"fmt"
	"strings"
)

// apacheDirective is a directive of Apache's configuration, or a section with what is in it.
type apacheDirective struct {
	name  string
	words []string // without quotes
	block []apacheDirective
	line  int // of the file, from 1
}

// apacheTree reads configuration as Apache does (ap_cfg_getline, ap_getword_conf): a line is a
// directive, \ at its end joins it with the next one, and # begins a comment only at the beginning.
func apacheTree(text string) ([]apacheDirective, error) {
	root := &apacheDirective{}
	open := []*apacheDirective{root}
	for _, l := range apacheLines(text) {
		top := open[len(open)-1]
		if name, ok := strings.CutPrefix(l.text, "</"); ok {
			if len(open) == 1 || !strings.EqualFold(name, top.name[1:]+">") {
				return nil, fmt.Errorf("line %d, %.60q, ends no section", l.number, l.text)
			}
			open = open[:len(open)-1]
			above := open[len(open)-1]
			above.block = append(above.block, *top)
			continue
		}
		d := apacheDirective{line: l.number}
		rest := l.text
		section := strings.HasPrefix(rest, "<")
		if section {
			if rest, ok := strings.CutSuffix(rest, ">"); ok {
				l.text = rest
			} else {
				return nil, fmt.Errorf("line %d, %.60q, lacks its >", l.number, l.text)
			}
			rest = l.text
		}
		for rest != "" {
			var word string
			var err error
			if word, rest, err = apacheWord(rest); err != nil {
				return nil, fmt.Errorf("line %d: %w", l.number, err)
			}
			d.words = append(d.words, word)
		}
		if d.name, d.words = d.words[0], d.words[1:]; section {
			if len(d.name) < 2 {
				return nil, fmt.Errorf("line %d begins a section without a name", l.number)
			}
			open = append(open, &d)
		} else {
			top.block = append(top.block, d)
		}
	}
	if len(open) > 1 {
		return nil, fmt.Errorf("the section %s> of line %d has no end", open[len(open)-1].name, open[len(open)-1].line)
	}
	return root.block, nil
}

// apacheLine is a line of configuration that is neither empty nor a comment.
type apacheLine struct {
	text   string
	number int
}

func apacheLines(text string) (lines []apacheLine) {
	joined, first := "", 0
	for number, line := range strings.Split(text, "\n") {
		if joined == "" {
			first = number + 1
		}
		line = strings.TrimSuffix(line, "\r")
		if cut, ok := strings.CutSuffix(line, `\`); ok {
			joined += cut
			continue
		}
		if line = strings.Trim(joined+line, " \t"); line != "" && line[0] != '#' {
			lines = append(lines, apacheLine{line, first})
		}
		joined = ""
	}
	return lines
}

// apacheWord reads the first word of a line, and returns what follows it. Between quotes, \ escapes
// a quote of that kind or a backslash, and stays in front of anything else.
func apacheWord(line string) (word, rest string, err error) {
	if line[0] != '"' && line[0] != '\'' {
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			return line[:i], strings.TrimLeft(line[i:], " \t"), nil
		}
		return line, "", nil
	}
	quote := line[0]
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && (line[i+1] == '\\' || line[i+1] == quote):
			i++
			b.WriteByte(line[i])
		case c == quote:
			return b.String(), strings.TrimLeft(line[i+1:], " \t"), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("no end of the quote in %.60q", line)
}
