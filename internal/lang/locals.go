package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Locals holds the local values of a configuration. Values is filled by EvaluateInOrder.
type Locals struct {
	Values map[string]cty.Value

	eval   *Evaluator
	byName map[string]*local
}

// local is one argument of a locals block.
type local struct {
	name string
	expr hclsyntax.Expression
	rng  hcl.Range // of its name
}

// NewLocals returns an empty Locals.
func NewLocals(e *Evaluator) *Locals {
	return &Locals{Values: map[string]cty.Value{}, eval: e, byName: map[string]*local{}}
}

// Has reports whether a local value is declared.
func (ls *Locals) Has(name string) bool { return ls.byName[name] != nil }

// Names returns the names of the local values, sorted.
func (ls *Locals) Names() []string { return SortedKeys(ls.byName) }

// Reference returns the error of the reference local.name, or nil.
func (ls *Locals) Reference(name string, at hcl.Range, misses *Misses) *hcl.Diagnostic {
	if ls.Has(name) {
		return nil
	}
	return Undeclared(at, "local value", "local", name, Candidates(misses, ls.byName))
}

// Declare adds the local values of a locals block.
func (ls *Locals) Declare(b *hclsyntax.Block) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, inner := range b.Body.Blocks {
		diags = append(diags, ErrorAt(inner.TypeRange, "Unsupported block",
			"A locals block has only arguments, as in NAME = \"value\"."))
	}
	for _, a := range SortedAttributes(b.Body) {
		if first := ls.byName[a.Name]; first != nil {
			diags = append(diags, Duplicate("local value", a.Name, a.NameRange, first.rng))
			continue
		}
		ls.byName[a.Name] = &local{name: a.Name, expr: a.Expr, rng: a.NameRange}
	}
	return diags
}

// Check checks all expressions.
func (ls *Locals) Check(names Names) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range ls.Names() {
		diags = append(diags, ls.eval.Check(ls.byName[name].expr, names)...)
	}
	return diags
}

// Definitions returns the local values for EvaluateInOrder. context returns the values that an
// expression refers to.
func (ls *Locals) Definitions(context func(expr hclsyntax.Expression) *hcl.EvalContext) []Definition {
	var list []Definition
	for _, name := range ls.Names() {
		l := ls.byName[name]
		list = append(list, Definition{
			Name: "local." + name, At: l.rng, Exprs: []hclsyntax.Expression{l.expr},
			Evaluate: func() (diags hcl.Diagnostics) {
				ls.Values[name], diags = ls.eval.Eval(l.expr, context(l.expr))
				return diags
			},
			Skip: func() { ls.Values[name] = cty.DynamicVal },
		})
	}
	return list
}
