package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Flag evaluates an argument that must be a constant true or false. Without the argument, and with
// errors, the result is otherwise.
func (e *Evaluator) Flag(body *hclsyntax.Body, name string, otherwise bool) (bool, hcl.Diagnostics) {
	expr := ArgumentOf(body, name)
	if expr == nil {
		return otherwise, nil
	}
	if diags := e.Check(expr, NoNames); diags.HasErrors() {
		return otherwise, diags
	}
	v, diags := e.Constant(expr)
	if diags.HasErrors() {
		return otherwise, diags
	}
	v, err := convert.Convert(v, cty.Bool)
	if err != nil || v.IsNull() || !v.IsKnown() {
		return otherwise, append(diags, ErrorAt(expr.Range(), "Wrong type of value",
			"The argument %q takes true or false.", name))
	}
	return v.True(), diags
}

// constantText checks that an argument is a constant string.
func (e *Evaluator) constantText(body *hclsyntax.Body, name string) hcl.Diagnostics {
	expr := ArgumentOf(body, name)
	if expr == nil {
		return nil
	}
	if diags := e.Check(expr, NoNames); diags.HasErrors() {
		return diags
	}
	v, diags := e.Constant(expr)
	if diags.HasErrors() {
		return diags
	}
	if v.IsNull() || v.Type() != cty.String {
		diags = append(diags, ErrorAt(expr.Range(), "Wrong type of value", "The argument %q takes a constant string.", name))
	}
	return diags
}
