// Package lang is the language that configurations are written in: HCL with Terraform's rules,
// functions, variables, local values and outputs. It reads sources, checks what expressions refer
// to, evaluates them within limits of size and work, and fills structs from bodies.
//
// It knows no hosts, no resources and no mirrors. What its blocks are called and mean, and which
// objects there are besides var, local and path, is for the package that uses it: see package
// config.
package lang

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// mark is the type of the marks that values carry through expressions.
type mark string

// SensitiveMark is carried by whatever is made from a sensitive value.
const SensitiveMark mark = "sensitive"

// IsSensitive tells whether any part of a value is sensitive.
func IsSensitive(v cty.Value) bool {
	if !v.ContainsMarked() {
		return false
	}
	_, marks := v.UnmarkDeep()
	_, ok := marks[SensitiveMark]
	return ok
}

// Evaluator checks and evaluates the expressions of one configuration. It knows what the language
// is made of, and nothing of what its blocks mean: what an expression may refer to comes with each
// of them. Once all expressions are checked, it may be used by many goroutines at once.
type Evaluator struct {
	Functions map[string]function.Function
	Reader    *Reader
	Sources   *Sources
	Secrets   *Secrets

	hint func(name string) string

	bad       map[hclsyntax.Expression]bool
	crlfFiles map[string]bool // whose heredocs have lines that end with CRLF
	// unsettled are expressions that say which hosts or elements there are, and have no known
	// value.
	unsettled []hclsyntax.Expression
}

// NewEvaluator returns the evaluator of the configuration in a directory. With confine, it reads no
// files outside that directory. hint is a sentence about a name that is neither an argument nor a
// block, with a space before it, or "".
func NewEvaluator(dir string, confine bool, hint func(name string) string) *Evaluator {
	e := &Evaluator{
		Reader: &Reader{Dir: dir, Confine: confine}, Sources: &Sources{}, Secrets: &Secrets{}, hint: hint,
		bad: map[hclsyntax.Expression]bool{}, crlfFiles: map[string]bool{},
	}
	e.Functions = functionTable(e)
	return e
}

// Bad reports whether Check has found an expression to be wrong, so that it has no value.
func (e *Evaluator) Bad(expr hclsyntax.Expression) bool { return e.bad[expr] }

// Forget drops what is known of an expression that is not evaluated again.
func (e *Evaluator) Forget(expr hclsyntax.Expression) { delete(e.bad, expr) }

// Eval evaluates an expression. With errors, and for an expression that was found bad before, the
// value is cty.DynamicVal. No diagnostic shows a sensitive value, neither in its text nor by the
// variables that it carries.
func (e *Evaluator) Eval(expr hclsyntax.Expression, ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	if e.bad[expr] {
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
			v, diags = cty.DynamicVal, hcl.Diagnostics{ErrorAt(expr.Range(), "Expression cannot be evaluated",
				"The evaluation failed in an unexpected way. Please report this with the expression.")}
		}
		diags = withPlace(e.Redact(expr, child, unpackTemplates(suggestKeys(expr, child, diags))), expr.Range())
	}()
	v, diags = expr.Value(child)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if why := tooLarge(v); why != "" {
		return cty.DynamicVal, append(diags, ErrorAt(expr.Range(), "Value too large", "%s", why))
	}
	if !v.IsWhollyKnown() && !refersToUnknown(expr, child) {
		return cty.DynamicVal, append(diags, ErrorAt(expr.Range(), SummaryUnknown, "All that the expression refers to is known, but it has no known value. A null in it may be the reason."))
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

// Constant evaluates an expression that may refer to nothing.
func (e *Evaluator) Constant(expr hclsyntax.Expression) (cty.Value, hcl.Diagnostics) {
	return e.Eval(expr, &hcl.EvalContext{})
}

// templateError carries the diagnostics of a template through a function call.
type templateError struct{ diags hcl.Diagnostics }

func (e *templateError) Error() string {
	d := e.diags[0]
	return fmt.Sprintf("%s: %s: %s", Place(*d.Subject), d.Summary, strings.TrimSuffix(d.Detail, "."))
}

// unpackTemplates replaces the failure of a templatefile call by what is wrong in the template.
func unpackTemplates(diags hcl.Diagnostics) hcl.Diagnostics {
	var flat hcl.Diagnostics
	for _, d := range diags {
		var inner *templateError
		if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok && errors.As(call.FunctionCallError(), &inner) {
			for _, t := range inner.diags {
				copied := *t
				copied.Detail += fmt.Sprintf("\n\nThe template is used at %s.", Place(*d.Subject))
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
					d.Detail += DidYouMean(StepName(t[n]), keysOf(v))
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
		return SortedKeys(ty.AttributeTypes())
	case ty.IsMapType() && v.IsKnown():
		return SortedKeys(v.AsValueMap())
	}
	return nil
}

const reasonHidden = "The reason is not shown, since the expression uses a sensitive value."

// Redact takes from diagnostics whatever could show a sensitive value, if the expression uses one:
// inside a `for`, and in the errors of functions, values have lost their marks.
func (e *Evaluator) Redact(expr hclsyntax.Expression, ctx *hcl.EvalContext, diags hcl.Diagnostics) hcl.Diagnostics {
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
			r.Detail = e.redactQuoted(r.Detail, expr.Range())
		}
		r.Expression, r.EvalContext, r.Extra = nil, nil, nil
		redacted[i] = &r
	}
	return redacted
}

// Quoted matches quoted words in a text.
var Quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// redactQuoted keeps quoted words of a text only if they stand in the source of the expression.
func (e *Evaluator) redactQuoted(text string, expr hcl.Range) string {
	var source string
	if f := e.Sources.file(expr.Filename); f != nil && expr.CanSliceBytes(f.Bytes) {
		source = string(expr.SliceBytes(f.Bytes))
	}
	return Quoted.ReplaceAllStringFunc(text, func(q string) string {
		if strings.Contains(source, q[1:len(q)-1]) {
			return q
		}
		return "(sensitive value)"
	})
}

// usesSensitive tells whether an expression refers to a sensitive value or makes one.
func usesSensitive(expr hclsyntax.Expression, ctx *hcl.EvalContext) bool {
	for _, t := range expr.Variables() {
		if v, ok := reached(t, ctx); ok && IsSensitive(v) {
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

// An unknown value is not an absence. A value may be unknown for these reasons only: facts of a
// host that was not reached, a variable without a value in validate, or an error that is reported.
// Each place that meets one says which host it waits for, or is an error; none takes it for
// nothing.

// SummaryUnknown is the summary of errors about unknown values.
const SummaryUnknown = "Value is not known"

// refersToUnknown reports whether anything that an expression refers to is not wholly known. An
// expression whose value is unknown for another reason has an error.
func refersToUnknown(expr hclsyntax.Expression, ctx *hcl.EvalContext) bool {
	return slices.ContainsFunc(expr.Variables(), func(t hcl.Traversal) bool {
		v, ok := reached(t, ctx)
		return ok && !v.IsWhollyKnown()
	})
}

// Unsettled notes an expression that must be known before any host is reached, and is not: it says
// which hosts or elements there are, how hosts are reached, or whether the configuration is right.
func (e *Evaluator) Unsettled(expr hclsyntax.Expression) {
	e.unsettled = append(e.unsettled, expr)
}

// ReportUnsettled makes errors of these expressions. It is for a configuration without errors whose
// variables all have values: to go on would be to plan for fewer hosts, and to remove what the
// others have.
func (e *Evaluator) ReportUnsettled() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, expr := range e.unsettled {
		diags = append(diags, ErrorAt(expr.Range(), SummaryUnknown, "This must be known before any host is reached, and it is not."))
	}
	return diags
}
