package config

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// consoleName is what diagnostics call the input of a Console.
const consoleName = "console"

// Console evaluates expressions that are typed in. It is for one goroutine, and while it is in use the Config is for the same one.
type Console struct {
	config *Config
	ctx    *hcl.EvalContext
	scope  scope
	source []byte // all that was typed in
	lines  int    // how many
}

// Console returns a Console whose expressions may refer to what those of a resource may: var, local, host and path, and target, which is the host given. Without
// a host there is no target. facts holds the facts of the hosts that were reached; it may be nil.
func (c *Config) Console(host string, facts map[string]*wire.Facts) (*Console, hcl.Diagnostics) {
	if c.failed {
		return nil, hcl.Diagnostics{lang.ErrorNowhere("Configuration has errors", "Its values are not known.")}
	}
	ctx := c.global.NewChild()
	ctx.Variables = map[string]cty.Value{"host": c.inventory.withFacts(facts)}
	k := &Console{config: c, ctx: ctx, scope: scope{
		facts:     true,
		eachWhy:   "There is no block here, so there is no for_each.",
		targetWhy: "The object target is the host that an expression is evaluated for. Choose one with --host.",
	}}
	if host == "" {
		return k, nil
	}
	h, unknown := c.inventory.find(host)
	if unknown != nil {
		return nil, hcl.Diagnostics{unknown}
	}
	k.scope.target = true
	ctx.Variables["target"] = h.target(facts[host])
	return k, nil
}

// Answer is what an expression comes to.
type Answer struct {
	Value cty.Value // may have marks and unknown parts
	Type  string    // the value's type, where type(…) asks for it instead of the value
}

// Eval evaluates one expression, given as whole lines. The answer is nil when the lines hold no
// expression, and with errors. Diagnostics count lines from the first one that this Console was
// given.
func (k *Console) Eval(lines []byte) (*Answer, hcl.Diagnostics) {
	c := k.config
	start := hcl.Pos{Line: k.lines + 1, Column: 1, Byte: len(k.source)}
	if k.lines += max(bytes.Count(lines, []byte{'\n'}), 1); len(lines) <= lang.MaxSource {
		k.source = append(k.source, lines...)
	}
	if !bytes.HasSuffix(k.source, []byte{'\n'}) {
		k.source = append(k.source, '\n')
	}
	c.eval.Sources.Set(consoleName, k.source)
	if diags := lang.CheckSource(lines, consoleName, hclsyntax.LexExpression); diags.HasErrors() {
		return nil, moved(diags, start)
	}
	if blank(lines) {
		return nil, nil
	}
	expr, diags := hclsyntax.ParseExpression(lines, consoleName, start)
	if diags.HasErrors() {
		return nil, lang.Tidy(diags)
	}
	call, typed := expr.(*hclsyntax.FunctionCallExpr)
	if typed = typed && call.Name == "type" && len(call.Args) == 1; typed {
		expr = call.Args[0]
	}
	c.declared.misses = 0
	if diags := c.declared.check(k.scope, expr); diags.HasErrors() {
		c.eval.Forget(expr)
		return nil, lang.Tidy(diags)
	}
	v, diags := c.eval.Eval(expr, k.ctx)
	if diags.HasErrors() {
		return nil, lang.Tidy(diags)
	}
	answer := &Answer{Value: v}
	if typed {
		answer.Type = typeexpr.TypeString(v.Type())
	}
	return answer, lang.Tidy(diags)
}

// moved shifts diagnostics about lines that begin elsewhere than a file does.
func moved(diags hcl.Diagnostics, start hcl.Pos) hcl.Diagnostics {
	shift := func(r *hcl.Range) {
		for _, p := range []*hcl.Pos{&r.Start, &r.End} {
			p.Line += start.Line - 1
			p.Byte += start.Byte
		}
	}
	for _, d := range diags {
		for _, r := range []*hcl.Range{d.Subject, d.Context} {
			if r != nil {
				shift(r)
			}
		}
	}
	return diags
}

// blank tells whether lines hold nothing but comments.
func blank(lines []byte) bool {
	tokens, _ := hclsyntax.LexExpression(lines, consoleName, hcl.InitialPos)
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenComment, hclsyntax.TokenNewline, hclsyntax.TokenEOF:
		default:
			return false
		}
	}
	return true
}

// Open tells whether lines end inside of brackets, a string or a heredoc, so that more lines belong to the expression.
func Open(lines []byte) bool {
	if len(lines) > lang.MaxSource {
		return false // Eval refuses it
	}
	tokens, _ := hclsyntax.LexExpression(lines, consoleName, hcl.InitialPos)
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenOBrace, hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			depth--
		}
	}
	return depth > 0
}

// Names returns what a reference or a call that begins with prefix may be, sorted: names of objects and functions.
func (k *Console) Names(prefix string) []string {
	c := k.config
	var names []string
	add := func(root string, members []string) {
		for _, m := range members {
			names = append(names, root+"."+m)
		}
	}
	add("path", pathNames)
	add("var", c.declared.variables.Names())
	add("local", c.declared.locals.Names())
	add("host", lang.SortedKeys(c.declared.hostBlocks))
	if k.scope.target {
		add("target", targetAttributes)
		addFacts(&names, "target.facts", factsType)
	}
	for name := range c.eval.Functions {
		names = append(names, name+"(")
	}
	names = append(names, "type(")
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) })
	slices.Sort(names)
	return names
}

func addFacts(names *[]string, prefix string, ty cty.Type) {
	for _, name := range lang.SortedKeys(ty.AttributeTypes()) {
		*names = append(*names, prefix+"."+name)
		if inner := ty.AttributeType(name); inner.IsObjectType() {
			addFacts(names, prefix+"."+name, inner)
		}
	}
}
