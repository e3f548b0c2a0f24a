package lang

import (
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// HCL's parser and evaluator recurse for every bracket, operator and template directive, and a Go
// program cannot recover from a stack overflow. Its lexer does not recurse, so the depth is
// measured on tokens before the parser runs.
const (
	maxNesting = 200  // nested brackets, braces, templates and directives
	maxChain   = 1000 // operators of one expression, including the expressions around it
	// maxExponent is the largest decimal exponent of a number. Numbers have the range of IEEE 754
	// double precision: the text of a larger number could be of any length.
	maxExponent = 308
	maxDigits   = 400
)

// frame is one level of nesting.
type frame struct {
	chain      int      // operators of the current expression
	directives []string // open if and for directives of a template
}

type nesting struct {
	frames     []frame
	chain      int // of all frames
	directives int // of all frames
}

// checkNesting returns an error for the first token that is nested too deeply, or nil.
func checkNesting(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	n := nesting{frames: []frame{{}}}
	last := hclsyntax.TokenNewline // the last token that is neither a newline nor a comment
	newline := false               // a newline follows it
	for i, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenComment:
			newline = newline || strings.HasSuffix(string(t.Bytes), "\n")
			continue
		case hclsyntax.TokenNewline:
			newline = true
			continue
		case hclsyntax.TokenNumberLit:
			if d := checkNumber(t); d != nil {
				return d
			}
		}
		n.token(tokens, i, last, newline)
		if len(n.frames)-1+n.directives > maxNesting {
			return ErrorAt(t.Range, "Nested too deeply",
				"Brackets, blocks and templates can be nested at most %d levels deep.", maxNesting)
		}
		if n.chain > maxChain {
			return ErrorAt(t.Range, "Expression too long",
				"An expression can have at most %d operators. Split it with local values.", maxChain)
		}
		last, newline = t.Type, false
	}
	return nil
}

func (n *nesting) token(tokens hclsyntax.Tokens, i int, last hclsyntax.TokenType, newline bool) {
	t := tokens[i]
	if t.Type == hclsyntax.TokenComma || newline && !continues(t.Type, last) && !continues(last, last) {
		n.resetChain()
	}
	if deepens(t.Type, last) {
		n.top().chain++
		n.chain++
	}
	switch t.Type {
	case hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenOBrace, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc,
		hclsyntax.TokenTemplateInterp:
		n.frames = append(n.frames, frame{})
	case hclsyntax.TokenTemplateControl:
		n.directive(tokens, i)
		n.frames = append(n.frames, frame{})
	case hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc,
		hclsyntax.TokenTemplateSeqEnd:
		n.close()
	}
}

func (n *nesting) top() *frame { return &n.frames[len(n.frames)-1] }

func (n *nesting) resetChain() {
	n.chain -= n.top().chain
	n.top().chain = 0
}

func (n *nesting) close() {
	if len(n.frames) == 1 {
		return // the parser reports the error
	}
	n.resetChain()
	n.directives -= len(n.top().directives)
	n.frames = n.frames[:len(n.frames)-1]
}

// directive counts a template directive. Its keyword follows the opening token i. The content
// between if and endif, or for and endfor, is one level deeper.
func (n *nesting) directive(tokens hclsyntax.Tokens, i int) {
	if i+1 >= len(tokens) {
		return
	}
	f := n.top()
	switch word := string(tokens[i+1].Bytes); word {
	case "if", "for":
		f.directives = append(f.directives, word)
		n.directives++
	case "endif", "endfor":
		if open := len(f.directives); open > 0 && "end"+f.directives[open-1] == word {
			f.directives = f.directives[:open-1]
			n.directives--
		}
	}
}

// continues reports whether a token after last continues the expression that last belongs to.
func continues(t, last hclsyntax.TokenType) bool {
	return t == hclsyntax.TokenDot || t == hclsyntax.TokenDoubleColon || deepens(t, last)
}

// deepens reports whether a token makes the parser or the evaluator recurse one level deeper. An
// opening bracket does if it is an index, that is, if it follows the end of a term.
func deepens(t, last hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenOr, hclsyntax.TokenAnd, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenGreaterThan,
		hclsyntax.TokenGreaterThanEq, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenPlus, hclsyntax.TokenMinus,
		hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent, hclsyntax.TokenBang, hclsyntax.TokenQuestion,
		hclsyntax.TokenColon:
		return true
	case hclsyntax.TokenOBrack:
		switch last {
		case hclsyntax.TokenIdent, hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenCQuote,
			hclsyntax.TokenCHeredoc, hclsyntax.TokenNumberLit, hclsyntax.TokenStar:
			return true
		}
	}
	return false
}

// checkNumber rejects number literals that are out of range, before anything computes with them.
func checkNumber(t hclsyntax.Token) *hcl.Diagnostic {
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(string(t.Bytes)), "e")
	e, err := strconv.Atoi(exponent)
	if scientific && (err != nil || e > maxExponent || e < -maxExponent) || len(mantissa) > maxDigits {
		return ErrorAt(t.Range, "Number out of range", "Numbers must be between -1e%d and 1e%d.", maxExponent, maxExponent)
	}
	return nil
}
