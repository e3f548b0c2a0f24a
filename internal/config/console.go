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

// consoleName is the file name in diagnostics for the input of a Console.
const consoleName = "console"

// Console evaluates expressions from an interactive session. It is not safe for concurrent use, and
// while it is in use, neither is the Config.
type Console struct {
	config *Config
	ctx    *hcl.EvalContext
	scope  scope
	source []byte // all input so far
	lines  int    // the number of lines in it
}

// Console returns a Console. Its expressions can refer to var, local, host and path, and to target,
// which is the given host. Without a host there is no target. facts holds the facts of the hosts
// that were reached; it may be nil.
func (c *Config) Console(host string, facts map[string]*wire.Facts) (*Console, hcl.Diagnostics) {
	if c.failed {
		return nil, hcl.Diagnostics{lang.ErrorNowhere("Configuration has errors",
			"Its values are not known. Run `mirrorform validate` to see the errors.")}
	}
	ctx := c.global.NewChild()
	ctx.Variables = map[string]cty.Value{"host": c.inventory.withFacts(facts)}
	k := &Console{config: c, ctx: ctx, scope: scope{
		facts:     true,
		eachWhy:   "The object each is available only in blocks with a for_each argument, not in the console.",
		targetWhy: "The object target is the host that an expression is evaluated for. Select one with --host.",
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

// Answer is the result of an expression.
type Answer struct {
	Value cty.Value // may have marks and unknown parts
	Type  string    // the type of the value, if the expression was type(…)
}

// Eval evaluates one expression, which is one or more whole lines. The answer is nil if the lines
// contain no expression, and with errors. Line numbers in diagnostics count from the first line of
// this Console.
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

// moved shifts diagnostics whose positions are relative to start.
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

// blank reports whether lines contain no tokens but comments.
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

// Open reports whether lines end inside of brackets or a heredoc, so that the expression continues
// on the next line.
func Open(lines []byte) bool {
	if len(lines) > lang.MaxSource {
		return false // Eval reports the error
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

// Names returns the names of objects and functions that begin with prefix, sorted. They complete a
// reference or a call.
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
