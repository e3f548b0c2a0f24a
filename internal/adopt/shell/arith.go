package shell

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// number is an integer that may be unknown.
type number struct {
	value int64
	known bool
}

func (n number) String() string {
	if !n.known {
		return Unknown
	}
	return strconv.FormatInt(n.value, 10)
}

func truth(b bool) number {
	if b {
		return number{1, true}
	}
	return number{0, true}
}

// arithmetic evaluates an arithmetic expression.
func arithmetic(s *shell, x syntax.ArithmExpr) number {
	if !s.spend(1) {
		return number{}
	}
	switch x := x.(type) {
	case nil:
		return number{known: true}
	case *syntax.Word:
		return numeral(s, wordOf(s, x), 0)
	case *syntax.ParenArithm:
		return arithmetic(s, x.X)
	case *syntax.UnaryArithm:
		return unary(s, x)
	case *syntax.BinaryArithm:
		return binary(s, x)
	}
	return number{}
}

// numeral converts text, which may be the name of a variable.
func numeral(s *shell, text string, depth int) number {
	text = strings.TrimSpace(text)
	if text == "" {
		return number{known: true}
	}
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return number{n, true}
	}
	if depth > 8 || !syntax.ValidName(text) {
		return number{}
	}
	values, set := lookup(s, text, nil)
	if !set {
		return number{known: true}
	}
	return numeral(s, strings.Join(values, ""), depth+1)
}

func unary(s *shell, x *syntax.UnaryArithm) number {
	n := arithmetic(s, x.X)
	switch x.Op {
	case syntax.Not:
		return number{truth(n.value == 0).value, n.known}
	case syntax.BitNegation:
		return number{^n.value, n.known}
	case syntax.Minus:
		return number{-n.value, n.known}
	case syntax.Inc, syntax.Dec:
		next := number{n.value + 1, n.known}
		if x.Op == syntax.Dec {
			next.value = n.value - 1
		}
		store(s, x.X, next)
		if x.Post {
			return n
		}
		return next
	}
	return n
}

// store assigns a number to the variable that an expression names.
func store(s *shell, x syntax.ArithmExpr, n number) {
	if w, ok := x.(*syntax.Word); ok && syntax.ValidName(w.Lit()) {
		s.set(w.Lit(), variable{value: n.String()})
	}
}

// assignments are the operators that assign, with the operator of the value.
var assignments = map[syntax.BinAritOperator]syntax.BinAritOperator{
	syntax.AddAssgn: syntax.Add, syntax.SubAssgn: syntax.Sub, syntax.MulAssgn: syntax.Mul,
	syntax.QuoAssgn: syntax.Quo, syntax.RemAssgn: syntax.Rem,
	syntax.AndAssgn: syntax.And, syntax.OrAssgn: syntax.Or, syntax.XorAssgn: syntax.Xor,
	syntax.ShlAssgn: syntax.Shl, syntax.ShrAssgn: syntax.Shr,
}

func binary(s *shell, x *syntax.BinaryArithm) number {
	if x.Op == syntax.TernQuest {
		branches, ok := x.Y.(*syntax.BinaryArithm)
		condition := arithmetic(s, x.X)
		switch {
		case !ok || !condition.known:
			return number{}
		case condition.value != 0:
			return arithmetic(s, branches.X)
		}
		return arithmetic(s, branches.Y)
	}
	if x.Op == syntax.Assgn {
		n := arithmetic(s, x.Y)
		store(s, x.X, n)
		return n
	}
	a, b := arithmetic(s, x.X), arithmetic(s, x.Y)
	if op, assigns := assignments[x.Op]; assigns {
		n := compute(op, a, b)
		store(s, x.X, n)
		return n
	}
	return compute(x.Op, a, b)
}

func compute(op syntax.BinAritOperator, a, b number) number {
	if op == syntax.Comma {
		return b
	}
	if !a.known || !b.known {
		return number{}
	}
	x, y := a.value, b.value
	switch op {
	case syntax.Add:
		return number{x + y, true}
	case syntax.Sub:
		return number{x - y, true}
	case syntax.Mul:
		return number{x * y, true}
	case syntax.Quo, syntax.Rem:
		if y == 0 || y == -1 {
			return number{}
		}
		if op == syntax.Quo {
			return number{x / y, true}
		}
		return number{x % y, true}
	case syntax.Eql:
		return truth(x == y)
	case syntax.Neq:
		return truth(x != y)
	case syntax.Gtr:
		return truth(x > y)
	case syntax.Lss:
		return truth(x < y)
	case syntax.Geq:
		return truth(x >= y)
	case syntax.Leq:
		return truth(x <= y)
	case syntax.And:
		return number{x & y, true}
	case syntax.Or:
		return number{x | y, true}
	case syntax.Xor:
		return number{x ^ y, true}
	case syntax.AndArit:
		return truth(x != 0 && y != 0)
	case syntax.OrArit:
		return truth(x != 0 || y != 0)
	case syntax.Shl:
		if y >= 0 && y < 63 {
			return number{x << y, true}
		}
	case syntax.Shr:
		if y >= 0 && y < 63 {
			return number{x >> y, true}
		}
	}
	return number{}
}
