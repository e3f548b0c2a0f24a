// Package lang implements the configuration language: HCL with Terraform's rules, functions,
// variables, local values and outputs. It reads sources, checks references, evaluates expressions
// within limits of size and work, and fills structs from bodies.
//
// It does not know about hosts, resources or mirrors. The package that uses it (package config)
// defines the blocks and the objects that expressions refer to.
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

// mark is the type of cty marks on values. A value keeps its marks through expressions.
type mark string

// SensitiveMark marks a sensitive value and every value made from it.
const SensitiveMark mark = "sensitive"

// IsSensitive reports whether any part of a value is sensitive.
func IsSensitive(v cty.Value) bool {
	if !v.ContainsMarked() {
		return false
	}
	_, marks := v.UnmarkDeep()
	_, ok := marks[SensitiveMark]
	return ok
}

// Evaluator checks and evaluates the expressions of one configuration. It does not know what blocks
// mean: each call passes the names that the expression may refer to. Once all expressions are
// checked, it is safe for concurrent use.
type Evaluator struct {
	Functions map[string]function.Function
	Reader    *Reader
	Sources   *Sources
	Secrets   *Secrets

	hint func(name string) string

	bad       map[hclsyntax.Expression]bool
	crlfFiles map[string]bool // files with a warning about heredocs with CRLF line ends
	// unsettled holds expressions with unknown values that must be known before any host is
	// reached.
	unsettled []hclsyntax.Expression
}

// NewEvaluator returns an evaluator for the configuration in a directory. With confine, it reads no
// files outside that directory. hint returns a sentence about a name that is neither an argument
// nor a block, with a leading space, or "".
func NewEvaluator(dir string, confine bool, hint func(name string) string) *Evaluator {
	e := &Evaluator{
		Reader: &Reader{Dir: dir, Confine: confine}, Sources: &Sources{}, Secrets: &Secrets{}, hint: hint,
		bad: map[hclsyntax.Expression]bool{}, crlfFiles: map[string]bool{},
	}
	e.Functions = functionTable(e)
	return e
}

// Bad reports whether Check has found errors in an expression. It has no value then.
func (e *Evaluator) Bad(expr hclsyntax.Expression) bool { return e.bad[expr] }

// Forget drops the state of an expression that is not evaluated again.
func (e *Evaluator) Forget(expr hclsyntax.Expression) { delete(e.bad, expr) }

// Eval evaluates an expression. With errors, and for an expression that Check found bad, the value
// is cty.DynamicVal. No diagnostic shows a sensitive value, neither in its text nor in the
// variables attached to it.
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
		case b.exceeded != nil: // metered panicked, or a function call turned its panic into an error
			v, diags = cty.DynamicVal, hcl.Diagnostics{b.exceeded}
		case p != nil:
			v, diags = cty.DynamicVal, hcl.Diagnostics{ErrorAt(expr.Range(), "Expression cannot be evaluated",
				"This is a bug in mirrorform: the evaluation panicked. Report it with this expression.")}
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
		return cty.DynamicVal, append(diags, ErrorAt(expr.Range(), SummaryUnknown,
			"The expression has no value, although everything it refers to is known. The cause may be a null in it."))
	}
	return v, diags
}

// reached returns the value of the longest part of a reference that can be followed.
func reached(t hcl.Traversal, ctx *hcl.EvalContext) (cty.Value, bool) {
	for n := len(t); n > 0; n-- {
		if v, diags := t[:n].TraverseAbs(ctx); !diags.HasErrors() {
			return v, true
		}
	}
	return cty.NilVal, false
}

// Constant evaluates an expression without references.
func (e *Evaluator) Constant(expr hclsyntax.Expression) (cty.Value, hcl.Diagnostics) {
	return e.Eval(expr, &hcl.EvalContext{})
}

// templateError carries the diagnostics of a template through a function call.
type templateError struct{ diags hcl.Diagnostics }

func (e *templateError) Error() string {
	d := e.diags[0]
	return fmt.Sprintf("%s: %s: %s", Place(*d.Subject), d.Summary, strings.TrimSuffix(d.Detail, "."))
}

// unpackTemplates replaces the error of a templatefile call with the errors in the template.
func unpackTemplates(diags hcl.Diagnostics) hcl.Diagnostics {
	var flat hcl.Diagnostics
	for _, d := range diags {
		var inner *templateError
		if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok && errors.As(call.FunctionCallError(), &inner) {
			for _, t := range inner.diags {
				copied := *t
				copied.Detail += fmt.Sprintf("\n\nThe template is called at %s.", Place(*d.Subject))
				flat = append(flat, &copied)
			}
			continue
		}
		flat = append(flat, d)
	}
	return flat
}

// suggestKeys adds a suggestion to errors about missing attributes and elements.
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

// keysOf returns the keys of a map or an object, unless they are sensitive.
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

const reasonHidden = "The reason is not shown because the expression uses a sensitive value."

// Redact removes from diagnostics everything that could show a sensitive value, if the expression
// uses one. Marks cannot decide this: inside a `for` and in errors of functions, values have lost
// their marks.
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
		case isCall: // the text names only parameters and their types
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

// redactQuoted keeps quoted words of a text only if the source of the expression contains them.
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

// usesSensitive reports whether an expression refers to a sensitive value or calls sensitive(…).
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

// An unknown value does not mean "absent". There are three reasons for one: facts of a host that
// was not reached, a variable without a value in validate, or an error that was already reported.
// Code that meets an unknown value must name the host it needs facts of, or report an error. To
// treat the value as empty would plan removals.

// SummaryUnknown is the summary of errors about unknown values.
const SummaryUnknown = "Value is not known"

// refersToUnknown reports whether anything that an expression refers to is not wholly known. If
// not, an unknown result is an error of the expression.
func refersToUnknown(expr hclsyntax.Expression, ctx *hcl.EvalContext) bool {
	return slices.ContainsFunc(expr.Variables(), func(t hcl.Traversal) bool {
		v, ok := reached(t, ctx)
		return ok && !v.IsWhollyKnown()
	})
}

// Unsettled records an expression whose value must be known before any host is reached, but is not.
// Such expressions define hosts, for_each elements, connections and validations.
func (e *Evaluator) Unsettled(expr hclsyntax.Expression) {
	e.unsettled = append(e.unsettled, expr)
}

// ReportUnsettled returns an error for each of these expressions. Call it for a configuration
// without errors whose variables all have values. To continue would plan for too few hosts and
// elements, and remove what belongs to the missing ones.
func (e *Evaluator) ReportUnsettled() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, expr := range e.unsettled {
		diags = append(diags, ErrorAt(expr.Range(), SummaryUnknown, "This value must be known before any host is reached."))
	}
	return diags
}
