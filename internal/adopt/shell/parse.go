package shell

import (
	"errors"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// parsedText is a parsed text, or the reason why it is not.
type parsedText struct {
	file *syntax.File
	err  error
}

// Parse parses a text. Its size and nesting are limited, since the parser recurses.
func Parse(text string) (*syntax.File, error) {
	if err := parsable(text); err != nil {
		return nil, err
	}
	return bash(text)
}

// bash parses a text that is parsable.
func bash(text string) (*syntax.File, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, errors.New("it is not a valid shell command")
	}
	return file, nil
}

// parsable returns why a text is not given to the parser, or nil.
func parsable(text string) error {
	nesting := 0
	for _, c := range []string{"(", "{", "`", "[", "if", "while", "until", "for", "case"} {
		nesting += strings.Count(text, c)
	}
	switch {
	case len(text) > maxText:
		return errors.New("it is too long")
	case nesting > maxNesting:
		return errors.New("it is nested too deeply")
	}
	return nil
}

// parse parses a text once.
func (e *evaluation) parse(text string) (*syntax.File, error) {
	if p, ok := e.parsed[text]; ok {
		return p.file, p.err
	}
	p := &parsedText{}
	e.parsed[text] = p
	e.spend(len(text) / 64)
	if p.err = parsable(text); p.err == nil && !Known(text) {
		p.err = errors.New("it is put together from unknown values")
	}
	if p.err == nil {
		p.file, p.err = bash(text)
	}
	return p.file, p.err
}

// Unescape removes backslashes like a POSIX shell (XCU 2.2.1, 2.2.3).
func Unescape(s string, quoted bool) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) || quoted && !strings.ContainsRune("$`\"\\\n", rune(s[i+1])) {
			out.WriteByte(s[i])
			continue
		}
		if i++; s[i] != '\n' {
			out.WriteByte(s[i])
		}
	}
	return out.String()
}
