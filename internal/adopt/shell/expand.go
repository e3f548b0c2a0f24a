package shell

import (
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// expander collects the fields of one word (XCU 2.6).
type expander struct {
	*shell
	fields []string
	now    strings.Builder
	any    bool // the present field exists, although it may be empty
	glob   bool // the word has an unquoted pattern
}

// words returns the fields of several words.
func fieldsOf(s *shell, words []*syntax.Word) []string {
	var out []string
	for _, w := range words {
		out = append(out, fieldsOfWord(s, w)...)
		if len(out) > maxFields {
			return append(out[:maxFields], Unknown)
		}
	}
	return out
}

// split returns the fields of a word: braces, tildes, parameters, substitutions and patterns are
// expanded, and unquoted results are split.
func fieldsOfWord(s *shell, w *syntax.Word) []string {
	var out []string
	for _, one := range braces(s, w) {
		x := &expander{shell: s}
		for i, p := range one.Parts {
			x.part(p, i == 0)
		}
		x.end()
		if x.glob && len(x.fields) == 1 {
			x.fields = matches(s, x.fields[0])
		}
		out = append(out, x.fields...)
	}
	return out
}

// word returns a word as one field, as in assignments, redirections and case.
func wordOf(s *shell, w *syntax.Word) string {
	if w == nil {
		return ""
	}
	return joined(s, w.Parts, true)
}

// join returns parts as one text. With tilde, one at its beginning is a home directory.
func joined(s *shell, parts []syntax.WordPart, tilde bool) string {
	x := &expander{shell: s}
	for i, p := range parts {
		switch p := p.(type) {
		case *syntax.ParamExp:
			x.text(strings.Join(parameter(s, p), " "))
		case *syntax.CmdSubst:
			x.text(substitute(s, p))
		default:
			x.part(p, tilde && i == 0)
		}
	}
	return limited(x.now.String())
}

// text adds text to the present field.
func (x *expander) text(t string) {
	x.any = true
	if strings.HasPrefix(t, Unknown) && strings.HasSuffix(x.now.String(), Unknown) { // two unknown parts are one
		t = t[len(Unknown):]
	}
	if x.spend(len(t)/64) && x.now.Len() <= maxValue {
		x.now.WriteString(limited(t))
	}
}

// end ends the present field.
func (x *expander) end() {
	if x.any && len(x.fields) <= maxFields {
		x.fields = append(x.fields, limited(x.now.String()))
	}
	x.now.Reset()
	x.any = false
}

// part adds an unquoted part of a word.
func (x *expander) part(p syntax.WordPart, first bool) {
	switch p := p.(type) {
	case *syntax.Lit:
		text := p.Value
		if first && strings.HasPrefix(text, "~") {
			name, rest, slash := strings.Cut(text[1:], "/")
			x.text(homeDir(x.shell, name))
			text = ""
			if slash {
				text = "/" + rest
			}
		}
		x.glob = x.glob || strings.ContainsAny(text, "*?[")
		x.text(Unescape(text, false))
	case *syntax.SglQuoted:
		x.single(p)
	case *syntax.DblQuoted:
		x.double(p)
	case *syntax.ParamExp:
		for i, value := range parameter(x.shell, p) {
			if i > 0 {
				x.end()
			}
			x.splitInto(value)
		}
	case *syntax.CmdSubst:
		x.splitInto(substitute(x.shell, p))
	case *syntax.ArithmExp:
		x.text(arithmetic(x.shell, p.X).String())
	default: // process substitutions, extended patterns
		x.text(Unknown)
	}
}

func (x *expander) single(p *syntax.SglQuoted) {
	value := p.Value
	if p.Dollar {
		text, err := strconv.Unquote(`"` + strings.NewReplacer(`\'`, "'", `"`, `\"`, `\e`, `\x1b`).Replace(value) + `"`)
		if err != nil {
			text = Unknown
		}
		value = text
	}
	x.text(value)
}

func (x *expander) double(p *syntax.DblQuoted) {
	x.any = x.any || len(p.Parts) == 0
	for _, q := range p.Parts {
		switch q := q.(type) {
		case *syntax.Lit:
			x.text(Unescape(q.Value, true))
		case *syntax.ParamExp:
			values := parameter(x.shell, q)
			if !words(q) {
				values = []string{strings.Join(values, " ")}
			}
			for i, value := range values {
				if i > 0 {
					x.end()
				}
				x.text(value)
			}
		case *syntax.CmdSubst:
			x.text(substitute(x.shell, q))
		default:
			x.part(q, false)
		}
	}
}

// words reports whether a quoted parameter has a field for each of its values: "$@", "${a[@]}".
func words(p *syntax.ParamExp) bool {
	if p.Param != nil && p.Param.Value == "@" {
		return true
	}
	w, ok := p.Index.(*syntax.Word)
	return ok && w.Lit() == "@"
}

// splitInto adds the unquoted result of an expansion, split at IFS.
func (x *expander) splitInto(value string) {
	ifs := " \t\n"
	if v, set := x.vars["IFS"]; set {
		ifs = v.value
	}
	if value == "" {
		return
	}
	if ifs == "" {
		x.text(value)
		return
	}
	separates := func(r rune) bool { return strings.ContainsRune(ifs, r) }
	if strings.IndexFunc(value[:1], separates) == 0 {
		x.end()
	}
	list := strings.FieldsFunc(value, separates)
	for i, f := range list {
		if i > 0 {
			x.end()
		}
		x.text(f)
		if len(x.fields) > maxFields {
			return
		}
	}
	if last := value[len(value)-1:]; len(list) > 0 && strings.IndexFunc(last, separates) == 0 {
		x.end()
	}
}

// homeDir returns the home directory of a user, or of this shell's without a name.
func homeDir(s *shell, user string) string {
	if user == "" {
		if v, ok := s.vars["HOME"]; ok {
			return v.value
		}
		user = s.user
	}
	if home := s.host.Home(user); home != "" {
		return home
	}
	return Unknown
}

// substitute returns the output of a command substitution.
func substitute(s *shell, c *syntax.CmdSubst) string {
	if s.depth >= maxDepth {
		return Unknown
	}
	sub := s.subshell()
	sub.out = &strings.Builder{}
	sub.statements(c.Stmts)
	s.substituted = true
	if s.status = sub.status; s.status.unknown {
		s.status.command = 0
	}
	return limited(strings.TrimRight(sub.out.String(), "\n"))
}

// braces expands the braces of a word, up to a limit.
func braces(s *shell, w *syntax.Word) []*syntax.Word {
	whole := []*syntax.Word{w}
	if len(w.Parts) == 0 {
		return whole
	}
	copied := &syntax.Word{Parts: append([]syntax.WordPart{}, w.Parts...)}
	if !syntax.SplitBraces(copied) {
		return whole
	}
	list := []*syntax.Word{{}}
	for _, p := range copied.Parts {
		alternatives := [][]syntax.WordPart{{p}}
		if b, ok := p.(*syntax.BraceExp); ok {
			alternatives = braceElements(s, b)
		}
		var next []*syntax.Word
		for _, before := range list {
			for _, parts := range alternatives {
				if len(next) >= maxFields || !s.spend(1) {
					return []*syntax.Word{{Parts: []syntax.WordPart{&syntax.Lit{Value: Unknown}}}}
				}
				next = append(next, &syntax.Word{Parts: append(append([]syntax.WordPart{}, before.Parts...), parts...)})
			}
		}
		list = next
	}
	return list
}

func braceElements(s *shell, b *syntax.BraceExp) [][]syntax.WordPart {
	var out [][]syntax.WordPart
	if !b.Sequence {
		for _, e := range b.Elems {
			for _, w := range braces(s, e) {
				out = append(out, w.Parts)
			}
		}
		return out
	}
	bounds := []int{0, 0, 1}
	for i, e := range b.Elems {
		text := e.Lit()
		n, err := strconv.Atoi(text)
		if err != nil && len(text) == 1 {
			n, err = int(text[0]), nil
		}
		if err != nil || i >= len(bounds) {
			return [][]syntax.WordPart{{&syntax.Lit{Value: Unknown}}}
		}
		bounds[i] = n
	}
	_, err := strconv.Atoi(b.Elems[0].Lit())
	from, to, step := bounds[0], bounds[1], max(bounds[2], -bounds[2], 1)
	for n := from; len(out) <= maxFields; {
		text := strconv.Itoa(n)
		if err != nil {
			text = string(rune(n))
		}
		out = append(out, []syntax.WordPart{&syntax.Lit{Value: text}})
		if from <= to {
			n += step
		} else {
			n -= step
		}
		if from <= to && n > to || from > to && n < to {
			break
		}
	}
	return out
}

// matches expands a pattern of file names in a directory that is known. A pattern without a match
// stays, as in a shell; so does one that is not an absolute path, such as that of an option.
func matches(s *shell, word string) []string {
	dir, base := path.Split(word)
	if !path.IsAbs(word) || strings.ContainsAny(dir, "*?[") || !Known(word) || base == "" {
		return []string{word}
	}
	names, ok := s.host.Entries(path.Clean(dir))
	if !ok {
		return []string{Unknown}
	}
	var out []string
	for _, name := range names {
		if strings.HasPrefix(name, ".") == strings.HasPrefix(base, ".") && matchesPattern(s, base, name) &&
			len(out) < maxFields {
			out = append(out, dir+name)
		}
	}
	if len(out) == 0 {
		return []string{word}
	}
	return out
}
