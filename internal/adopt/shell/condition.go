package shell

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// answer is the result of a test.
type answer int

const (
	no answer = iota
	yes
	perhaps
)

func decided(b bool) answer {
	if b {
		return yes
	}
	return no
}

func (a answer) not() answer {
	switch a {
	case yes:
		return no
	case no:
		return yes
	}
	return perhaps
}

func (a answer) status() status {
	return status{code: map[answer]int{no: 1}[a], unknown: a == perhaps}
}

// condition evaluates a test of [[ … ]].
func condition(s *shell, x syntax.TestExpr) answer {
	if !s.spend(1) {
		return perhaps
	}
	switch x := x.(type) {
	case *syntax.Word:
		return unaryTest(s, "-n", wordOf(s, x))
	case *syntax.ParenTest:
		return condition(s, x.X)
	case *syntax.UnaryTest:
		if x.Op == syntax.TsNot {
			return condition(s, x.X).not()
		}
		if w, ok := x.X.(*syntax.Word); ok {
			return unaryTest(s, x.Op.String(), wordOf(s, w))
		}
	case *syntax.BinaryTest:
		return binaryCondition(s, x)
	}
	return perhaps
}

func binaryCondition(s *shell, x *syntax.BinaryTest) answer {
	if x.Op == syntax.AndTest || x.Op == syntax.OrTest {
		return both(x.Op == syntax.AndTest, condition(s, x.X), func() answer { return condition(s, x.Y) })
	}
	left, isWord := x.X.(*syntax.Word)
	right, isPattern := x.Y.(*syntax.Word)
	if !isWord || !isPattern {
		return perhaps
	}
	a := wordOf(s, left)
	switch x.Op {
	case syntax.TsMatch, syntax.TsMatchShort, syntax.TsNoMatch:
		b := patternOf(s, right)
		if !Known(a) || !Known(b) {
			return perhaps
		}
		matches := decided(matchesPattern(s, b, a))
		if x.Op == syntax.TsNoMatch {
			return matches.not()
		}
		return matches
	case syntax.TsReMatch:
		return expression(s, a, wordOf(s, right))
	}
	return binaryTest(s, a, x.Op.String(), wordOf(s, right))
}

// both combines two answers by and, or by or; the second one is asked only if it matters.
func both(and bool, a answer, second func() answer) answer {
	if and && a == no || !and && a == yes {
		return a
	}
	b := second()
	switch {
	case and && b == no, !and && b == yes:
		return b
	case a == perhaps || b == perhaps:
		return perhaps
	}
	return b
}

// expression matches a POSIX extended regular expression.
func expression(s *shell, text, expr string) answer {
	if !Known(text) || !Known(expr) || !s.spend(1+len(expr)/4+len(text)/8) {
		return perhaps
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return perhaps
	}
	m := re.FindStringSubmatch(text)
	if m != nil {
		s.set("BASH_REMATCH", variable{array: true, list: m[:min(len(m), maxFields)]})
	}
	return decided(m != nil)
}

// unaryTest evaluates a test of one operand. What is on the disk of the host may change, so tests
// of files are not decided.
func unaryTest(s *shell, op, a string) answer {
	switch op {
	case "-z", "-n":
		if strings.Trim(a, Unknown) == "" && a != "" {
			return perhaps
		}
		return decided((a == "") == (op == "-z"))
	case "-v":
		if !Known(a) {
			return perhaps
		}
		_, set := lookup(s, a, nil)
		return decided(set)
	case "-t": // nothing that is scheduled has a terminal
		return no
	}
	return perhaps
}

func binaryTest(s *shell, a, op, b string) answer {
	switch op {
	case "=", "==", "!=", "<", ">", `\<`, `\>`:
		if !Known(a) || !Known(b) {
			return perhaps
		}
	}
	switch op {
	case "=", "==":
		return decided(a == b)
	case "!=":
		return decided(a != b)
	case "<", `\<`:
		return decided(a < b)
	case ">", `\>`:
		return decided(a > b)
	}
	x, errX := strconv.ParseInt(strings.TrimSpace(a), 10, 64)
	y, errY := strconv.ParseInt(strings.TrimSpace(b), 10, 64)
	if errX != nil || errY != nil {
		if Known(a) && Known(b) && strings.HasPrefix(op, "-") && !slices.Contains([]string{"-nt", "-ot", "-ef"}, op) {
			return no // not numbers: the test fails
		}
		return perhaps
	}
	switch op {
	case "-eq":
		return decided(x == y)
	case "-ne":
		return decided(x != y)
	case "-lt":
		return decided(x < y)
	case "-le":
		return decided(x <= y)
	case "-gt":
		return decided(x > y)
	case "-ge":
		return decided(x >= y)
	}
	return perhaps
}

// bracket evaluates the arguments of test(1) by precedence: or, and, not, primaries.
func bracket(s *shell, words []string) answer {
	b := &bracketReader{shell: s, words: words}
	if len(words) == 0 {
		return no
	}
	a := b.or()
	if len(b.words) > 0 {
		return perhaps
	}
	return a
}

type bracketReader struct {
	*shell
	words []string
	depth int
}

func (b *bracketReader) next(word string) bool {
	if len(b.words) > 0 && b.words[0] == word {
		b.words = b.words[1:]
		return true
	}
	return false
}

func (b *bracketReader) or() answer {
	a := b.and()
	for b.next("-o") {
		a = both(false, a, b.and)
	}
	return a
}

func (b *bracketReader) and() answer {
	a := b.primary()
	for b.next("-a") {
		a = both(true, a, b.primary)
	}
	return a
}

func (b *bracketReader) primary() answer {
	w := b.words
	if b.depth++; len(w) == 0 || b.depth > maxFields {
		return perhaps
	}
	binary := func(op string) bool {
		return slices.Contains([]string{"=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt",
			"-ot", "-ef"}, op)
	}
	switch {
	case len(w) >= 3 && binary(w[1]):
		b.words = w[3:]
		return binaryTest(b.shell, w[0], w[1], w[2])
	case w[0] == "!" && len(w) > 1:
		b.words = w[1:]
		return b.primary().not()
	case w[0] == "(" && len(w) > 2:
		b.words = w[1:]
		a := b.or()
		b.next(")")
		return a
	case len(w) >= 2 && len(w[0]) == 2 && w[0][0] == '-' && w[1] != "-a" && w[1] != "-o":
		b.words = w[2:]
		return unaryTest(b.shell, w[0], w[1])
	}
	b.words = w[1:]
	return unaryTest(b.shell, "-n", w[0])
}
