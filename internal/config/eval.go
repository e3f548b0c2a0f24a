package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// mark is the type of the marks that values carry through expressions.
type mark string

// sensitiveMark is carried by whatever is made from a sensitive value.
const sensitiveMark mark = "sensitive"

// isSensitive tells whether any part of a value is sensitive.
func isSensitive(v cty.Value) bool {
	if !v.ContainsMarked() {
		return false
	}
	_, marks := v.UnmarkDeep()
	_, ok := marks[sensitiveMark]
	return ok
}

// eval evaluates an expression. With errors, and for an expression that was found bad before, the value is cty.DynamicVal.
// No diagnostic shows a sensitive value, neither in its text nor by the variables that it carries.
func (c *Config) eval(expr hclsyntax.Expression, ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	if c.bad[expr] {
		return cty.DynamicVal, nil
	}
	b := &budget{}
	child := ctx.NewChild()
	child.Variables = map[string]cty.Value{budgetName: cty.CapsuleVal(budgetType, b)}
	defer func() {
		p := recover()
		switch {
		case b.exceeded != nil: // by a panic of its own, or by one that a function call turned into an error
			v, diags = cty.DynamicVal, hcl.Diagnostics{b.exceeded}
		case p != nil:
			v, diags = cty.DynamicVal, hcl.Diagnostics{errorAt(expr.Range(), "Expression cannot be evaluated",
				"The evaluation failed in an unexpected way. Please report this with the expression.")}
		}
		diags = withPlace(c.redact(expr, child, c.unpackTemplates(suggestKeys(expr, child, diags))), expr.Range())
	}()
	v, diags = expr.Value(child)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if why := tooLarge(v); why != "" {
		return cty.DynamicVal, append(diags, errorAt(expr.Range(), "Value too large", "%s", why))
	}
	if !v.IsWhollyKnown() && !refersToUnknown(expr, child) {
		return cty.DynamicVal, append(diags, errorAt(expr.Range(), summaryUnknown, "All that the expression refers to is known, but it has no known value. A null in it may be the reason."))
	}
	return v, diags
}

// reached is the value of as many steps of a reference as can be followed.
func reached(t hcl.Traversal, ctx *hcl.EvalContext) (cty.Value, bool) {
	for n := len(t); n > 0; n-- {
		if v, diags := t[:n].TraverseAbs(ctx); !diags.HasErrors() {
			return v, true
		}
	}
	return cty.NilVal, false
}

// constant evaluates an expression that may refer to nothing.
func (c *Config) constant(expr hclsyntax.Expression) (cty.Value, hcl.Diagnostics) {
	return c.eval(expr, &hcl.EvalContext{})
}

// templateError carries the diagnostics of a template through a function call.
type templateError struct{ diags hcl.Diagnostics }

func (e *templateError) Error() string {
	d := e.diags[0]
	return fmt.Sprintf("%s: %s: %s", place(*d.Subject), d.Summary, strings.TrimSuffix(d.Detail, "."))
}

// unpackTemplates replaces the failure of a templatefile call by what is wrong in the template.
func (c *Config) unpackTemplates(diags hcl.Diagnostics) hcl.Diagnostics {
	var flat hcl.Diagnostics
	for _, d := range diags {
		var inner *templateError
		if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok && errors.As(call.FunctionCallError(), &inner) {
			for _, t := range inner.diags {
				copied := *t
				copied.Detail += fmt.Sprintf("\n\nThe template is used at %s.", place(*d.Subject))
				flat = append(flat, &copied)
			}
			continue
		}
		flat = append(flat, d)
	}
	return flat
}

// suggestKeys adds a suggestion to errors about attributes and elements that are not there.
func suggestKeys(expr hclsyntax.Expression, ctx *hcl.EvalContext, diags hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range diags {
		if d.Subject == nil || strings.Contains(d.Detail, "Did you mean") {
			continue
		}
		for _, t := range expr.Variables() {
			for n := 1; n < len(t); n++ {
				if t[n].SourceRange() != *d.Subject {
					continue
				}
				if v, errs := t[:n].TraverseAbs(ctx); !errs.HasErrors() {
					d.Detail += didYouMean(stepName(t[n]), keysOf(v))
				}
			}
		}
	}
	return diags
}

// keysOf lists the keys of a map or an object, unless they are sensitive.
func keysOf(v cty.Value) []string {
	switch ty := v.Type(); {
	case v.IsMarked() || v.IsNull():
		return nil
	case ty.IsObjectType():
		return sortedKeys(ty.AttributeTypes())
	case ty.IsMapType() && v.IsKnown():
		return sortedKeys(v.AsValueMap())
	}
	return nil
}

const reasonHidden = "The reason is not shown, since the expression uses a sensitive value."

// redact takes from diagnostics whatever could show a sensitive value, if the expression uses one: inside a `for`, and in the errors of
// functions, values have lost their marks.
func (c *Config) redact(expr hclsyntax.Expression, ctx *hcl.EvalContext, diags hcl.Diagnostics) hcl.Diagnostics {
	if len(diags) == 0 || !usesSensitive(expr, ctx) {
		return diags
	}
	redacted := make(hcl.Diagnostics, len(diags))
	for i, d := range diags {
		r := *d
		call, isCall := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d)
		switch {
		case isCall && call.FunctionCallError() != nil:
			r.Detail = fmt.Sprintf("The call to function %q failed. %s", call.CalledFunctionName(), reasonHidden)
		case isCall: // says which parameter is of which type
		default:
			r.Detail = c.redactQuoted(r.Detail, expr.Range())
		}
		r.Expression, r.EvalContext, r.Extra = nil, nil, nil
		redacted[i] = &r
	}
	return redacted
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// redactQuoted keeps quoted words of a text only if they stand in the source of the expression.
func (c *Config) redactQuoted(text string, expr hcl.Range) string {
	var source string
	if f := c.file(expr.Filename); f != nil && expr.CanSliceBytes(f.Bytes) {
		source = string(expr.SliceBytes(f.Bytes))
	}
	return quoted.ReplaceAllStringFunc(text, func(q string) string {
		if strings.Contains(source, q[1:len(q)-1]) {
			return q
		}
		return "(sensitive value)"
	})
}

// usesSensitive tells whether an expression refers to a sensitive value or makes one.
func usesSensitive(expr hclsyntax.Expression, ctx *hcl.EvalContext) bool {
	for _, t := range expr.Variables() {
		if v, ok := reached(t, ctx); ok && isSensitive(v) {
			return true
		}
	}
	found := false
	_ = hclsyntax.VisitAll(expr, func(node hclsyntax.Node) hcl.Diagnostics {
		call, ok := node.(*hclsyntax.FunctionCallExpr)
		found = found || ok && call.Name == "sensitive"
		return nil
	})
	return found
}
