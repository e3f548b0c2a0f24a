package shell

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

// lookup returns the values of a parameter: one, or those of "$@" and of an array. set reports
// whether it is set.
func lookup(s *shell, name string, index syntax.ArithmExpr) (values []string, set bool) {
	switch name {
	case "@", "*":
		return s.params, len(s.params) > 0
	case "#":
		if s.more && len(s.locals) == 0 {
			return []string{Unknown}, true
		}
		return []string{strconv.Itoa(len(s.params))}, true
	case "0":
		return []string{s.name}, true
	case "?":
		if s.status.unknown {
			return []string{Unknown}, true
		}
		return []string{strconv.Itoa(s.status.code)}, true
	case "$", "!", "RANDOM", "SECONDS", "PPID", "EPOCHSECONDS", "SRANDOM", "HOSTNAME", "BASHPID", "UID", "EUID",
		"COLUMNS", "LINES", "_":
		if v, assigned := s.vars[name]; !assigned || !Known(v.value) {
			return []string{Unknown}, true
		}
	case "-":
		return []string{"hB"}, true
	case "PWD":
		if s.dir == "" {
			return []string{Unknown}, true
		}
		return []string{s.dir}, true
	case "BASH_SOURCE":
		if _, assigned := s.vars[name]; !assigned {
			return []string{s.name}, true
		}
	case "BASH_VERSION":
		return []string{"5.2.0"}, true
	}
	if n, err := strconv.Atoi(name); err == nil {
		switch {
		case n > len(s.params) && s.more && len(s.locals) == 0:
			return []string{Unknown}, true
		case n < 1 || n > len(s.params):
			return nil, false
		}
		return []string{s.params[n-1]}, true
	}
	v, set := s.vars[name]
	if !set {
		return nil, false
	}
	return elementOf(s, v, index)
}

// element returns the values of a variable under an index.
func elementOf(s *shell, v variable, index syntax.ArithmExpr) (values []string, set bool) {
	w, _ := index.(*syntax.Word)
	all := w != nil && (w.Lit() == "@" || w.Lit() == "*")
	switch {
	case !v.array && (index == nil || all):
		return []string{v.value}, true
	case all:
		return v.list, len(v.list) > 0
	case v.keys != nil:
		if w == nil {
			return nil, false
		}
		key := wordOf(s, w)
		if !Known(key) {
			return []string{Unknown}, true
		}
		if i := slices.Index(v.keys, key); i >= 0 {
			return []string{v.list[i]}, true
		}
		return nil, false
	}
	n := number{known: true}
	if index != nil {
		n = arithmetic(s, index)
	}
	list := v.list
	if !v.array {
		list = []string{v.value}
	}
	if n.value < 0 {
		n.value += int64(len(list))
	}
	switch {
	case !n.known:
		return []string{Unknown}, true
	case n.value < 0 || n.value >= int64(len(list)):
		return nil, false
	}
	return []string{list[n.value]}, true
}

// parameter returns the values of a parameter expansion.
func parameter(s *shell, p *syntax.ParamExp) []string {
	if p.Param == nil || p.Width || p.IsSet || p.Flags != nil || p.NestedParam != nil || len(p.Modifiers) > 0 {
		return []string{Unknown}
	}
	if p.Excl {
		return indirect(s, p)
	}
	values, set := lookup(s, p.Param.Value, p.Index)
	list := words(p) || p.Param.Value == "*" || listIndex(p.Index)
	if p.Length {
		if list {
			return []string{strconv.Itoa(len(values))}
		}
		text := strings.Join(values, "")
		if !Known(text) {
			return []string{Unknown}
		}
		return []string{strconv.Itoa(utf8.RuneCountInString(text))}
	}
	if p.Exp != nil && p.Exp.Op <= syntax.AssignUnsetOrNull {
		return defaults(s, p, values, set)
	}
	if p.Slice != nil {
		return sliced(s, p, values, list)
	}
	if p.Repl == nil && p.Exp == nil {
		return values
	}
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, limited(modify(s, p, v)))
	}
	return out
}

func listIndex(index syntax.ArithmExpr) bool {
	w, ok := index.(*syntax.Word)
	return ok && (w.Lit() == "@" || w.Lit() == "*")
}

// indirect expands ${!NAME}, ${!PREFIX*} and ${!ARRAY[@]}.
func indirect(s *shell, p *syntax.ParamExp) []string {
	switch {
	case p.Names != 0:
		var names []string
		for _, name := range slices.Sorted(maps.Keys(s.vars)) {
			if strings.HasPrefix(name, p.Param.Value) {
				names = append(names, name)
			}
		}
		return names
	case listIndex(p.Index):
		v := s.vars[p.Param.Value]
		if v.keys != nil {
			return v.keys
		}
		keys := make([]string, len(v.list))
		for i := range v.list {
			keys[i] = strconv.Itoa(i)
		}
		return keys
	}
	values, _ := lookup(s, p.Param.Value, p.Index)
	name := strings.Join(values, "")
	if !Known(name) {
		return []string{Unknown}
	}
	name, index, isElement := strings.Cut(name, "[")
	if isElement {
		if index == "@]" || index == "*]" {
			return s.vars[name].list
		}
		return []string{Unknown}
	}
	values, set := lookup(s, name, nil)
	if p.Exp != nil && p.Exp.Op <= syntax.AssignUnsetOrNull {
		return defaults(s, p, values, set)
	}
	return values
}

// defaults expands ${a-b}, ${a:+b} and the like.
func defaults(s *shell, p *syntax.ParamExp, values []string, set bool) []string {
	text := strings.Join(values, "")
	op := p.Exp.Op
	if orNull := op == syntax.AlternateUnsetOrNull || op == syntax.DefaultUnsetOrNull ||
		op == syntax.AssignUnsetOrNull || op == syntax.ErrorUnsetOrNull; orNull {
		if text == Unknown && s.choose(s.site(p), 2) != 0 { // it may be empty
			set = false
		}
		set = set && text != ""
	}
	other := func() []string {
		if p.Exp.Word == nil {
			return nil
		}
		if q, ok := p.Exp.Word.Parts[0].(*syntax.DblQuoted); ok && len(p.Exp.Word.Parts) == 1 {
			return []string{joined(s, q.Parts, false)}
		}
		return []string{wordOf(s, p.Exp.Word)}
	}
	switch op {
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if !set {
			return nil
		}
		return other()
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		if !set {
			s.flow, s.status = exits, status{code: 1}
			return nil
		}
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		if !set {
			values = other()
			s.set(p.Param.Value, variable{value: strings.Join(values, " ")})
		}
	default:
		if !set {
			return other()
		}
	}
	return values
}

// slice expands ${a:OFFSET:LENGTH}.
func sliced(s *shell, p *syntax.ParamExp, values []string, list bool) []string {
	from, length := arithmetic(s, p.Slice.Offset), number{known: true, value: maxValue}
	if p.Slice.Length != nil {
		length = arithmetic(s, p.Slice.Length)
	}
	text := []rune(strings.Join(values, ""))
	size := int64(len(text))
	if list {
		size = int64(len(values))
		if p.Param.Value == "@" || p.Param.Value == "*" { // from 1
			from.value = max(from.value-1, 0)
		}
	}
	if from.value < 0 {
		from.value += size
	}
	if length.value < 0 {
		length.value += size - from.value
	}
	switch {
	case !from.known || !length.known || !list && !Known(string(text)):
		return []string{Unknown}
	case from.value < 0 || from.value > size || length.value < 0:
		return nil
	}
	end := from.value + min(length.value, size-from.value)
	if list {
		return values[from.value:end]
	}
	return []string{string(text[from.value:end])}
}

// modify expands ${a#b}, ${a/b/c}, ${a^^} and the like for one value.
func modify(s *shell, p *syntax.ParamExp, value string) string {
	if p.Repl != nil {
		return replaced(s, value, patternOf(s, p.Repl.Orig), wordOf(s, p.Repl.With), p.Repl.All)
	}
	if value == Unknown {
		return Unknown
	}
	switch p.Exp.Op {
	case syntax.RemSmallSuffix, syntax.RemLargeSuffix, syntax.RemSmallPrefix, syntax.RemLargePrefix:
		return trim(s, value, patternOf(s, p.Exp.Word), p.Exp.Op)
	case syntax.UpperAll:
		return strings.ToUpper(value)
	case syntax.LowerAll:
		return strings.ToLower(value)
	case syntax.UpperFirst, syntax.LowerFirst:
		r, n := utf8.DecodeRuneInString(value)
		first := strings.ToUpper(string(r))
		if p.Exp.Op == syntax.LowerFirst {
			first = strings.ToLower(string(r))
		}
		return first + value[n:]
	case syntax.OtherParamOps:
		if w := wordOf(s, p.Exp.Word); w == "Q" || w == "E" {
			return value
		}
	}
	return Unknown
}

// trim removes what matches a pattern from the beginning or the end of a value.
func trim(s *shell, value, pat string, op syntax.ParExpOperator) string {
	mode := pattern.Mode(0)
	if op == syntax.RemSmallSuffix || op == syntax.RemSmallPrefix {
		mode = pattern.Shortest
	}
	suffix := op == syntax.RemSmallSuffix || op == syntax.RemLargeSuffix
	expr, err := pattern.Regexp(pat, mode)
	if err != nil || !Known(pat) || !s.spend(1+len(pat)/8+len(value)/8) {
		return Unknown
	}
	switch {
	case !suffix:
		expr = "^(?:" + expr + ")"
	case op == syntax.RemSmallSuffix: // the shortest suffix begins as late as possible
		expr = "(?s)^.*(" + expr + ")$"
	default:
		expr = "(" + expr + ")$"
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return Unknown
	}
	loc := re.FindStringSubmatchIndex(value)
	switch {
	case loc == nil:
		return value
	case suffix:
		return value[:loc[2]]
	}
	return value[loc[1]:]
}

func replaced(s *shell, value, pat, with string, all bool) string {
	anchor := ""
	if strings.HasPrefix(pat, "#") || strings.HasPrefix(pat, "%") {
		anchor, pat = pat[:1], pat[1:]
	}
	expr, err := pattern.Regexp(pat, 0)
	if err != nil || pat == "" || !Known(pat) || !s.spend(1+len(pat)/8+len(value)/8) {
		return Unknown
	}
	switch anchor {
	case "#":
		expr = "^(?:" + expr + ")"
	case "%":
		expr = "(?:" + expr + ")$"
	}
	re, err := regexp.Compile(expr)
	if err != nil || len(re.FindAllStringIndex(value, -1))*len(with) > maxValue {
		return Unknown
	}
	if all {
		return re.ReplaceAllLiteralString(value, with)
	}
	loc := re.FindStringIndex(value)
	if loc == nil {
		return value
	}
	return value[:loc[0]] + with + value[loc[1]:]
}

// pattern returns a word as a pattern: what is quoted in it stands for itself.
func patternOf(s *shell, w *syntax.Word) string {
	if w == nil {
		return ""
	}
	var out strings.Builder
	for i, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			out.WriteString(p.Value)
		case *syntax.SglQuoted, *syntax.DblQuoted:
			out.WriteString(pattern.QuoteMeta(joined(s, []syntax.WordPart{p}, false), 0))
		case *syntax.ExtGlob:
			out.WriteString(p.Op.String() + p.Pattern.Value + ")")
		default:
			out.WriteString(joined(s, []syntax.WordPart{p}, i == 0))
		}
	}
	return limited(out.String())
}

// match reports whether a known text matches a pattern.
func matchesPattern(s *shell, pat, text string) bool {
	expr, err := pattern.Regexp(pat, pattern.EntireString|pattern.ExtendedOperators)
	if err != nil || !s.spend(1+len(pat)/8+len(text)/8) {
		return false
	}
	re, err := regexp.Compile(expr)
	return err == nil && re.MatchString(text)
}
