package lang

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Rule is a condition with the message to show when it is false: a validation, precondition,
// postcondition or assert block.
type Rule struct {
	block     string // the type of its block
	condition hclsyntax.Expression
	message   hclsyntax.Expression
}

// RulesOf returns the rules in a body's nested blocks of one type. An argument that is missing is
// nil; Structure reports it.
func RulesOf(body *hclsyntax.Body, block string) []*Rule {
	var rules []*Rule
	for _, b := range body.Blocks {
		if b.Type == block && b.Body != nil {
			rules = append(rules, &Rule{
				block:     block,
				condition: ArgumentOf(b.Body, "condition"), message: ArgumentOf(b.Body, "error_message"),
			})
		}
	}
	return rules
}

// Expressions returns the condition and the message, without those that are missing.
func (r *Rule) Expressions() []hclsyntax.Expression {
	return slices.DeleteFunc([]hclsyntax.Expression{r.condition, r.message}, func(e hclsyntax.Expression) bool { return e == nil })
}

// complete reports whether the block has both arguments.
func (r *Rule) complete() bool { return r.condition != nil && r.message != nil }

// Check checks both expressions. A constant message is also evaluated: otherwise an error in it
// would show up only when the condition fails, perhaps years later.
func (r *Rule) Check(e *Evaluator, names Names) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if r.condition != nil {
		diags = append(diags, e.Check(r.condition, names)...)
	}
	if r.message == nil {
		return diags
	}
	messageDiags := e.Check(r.message, names)
	if !messageDiags.HasErrors() && len(r.message.Variables()) == 0 {
		_, messageDiags = e.message(r, &hcl.EvalContext{Functions: e.Functions})
		e.bad[r.message] = messageDiags.HasErrors()
	}
	return append(diags, messageDiags...)
}

// Verdict is the result of a condition.
type Verdict int

const (
	// Undecided means that the result is unknown: facts are missing, or there was an error.
	Undecided Verdict = iota
	// Holds means that the condition is true.
	Holds
	// Fails means that the condition is false.
	Fails
)

// Judge evaluates a rule. If the condition is false, the last diagnostic is an error with the given
// summary and the rule's message as its detail. A message with a sensitive value is not shown. Any
// other diagnostics are about conditions and messages that cannot be used.
func (e *Evaluator) Judge(r *Rule, ctx *hcl.EvalContext, summary string) (Verdict, hcl.Diagnostics) {
	if !r.complete() || e.bad[r.condition] {
		return Undecided, nil
	}
	value, diags := e.Eval(r.condition, ctx)
	if diags.HasErrors() {
		return Undecided, diags
	}
	value, _ = value.UnmarkDeep()
	result, err := convert.Convert(value, cty.Bool)
	switch {
	case err != nil:
		return Undecided, append(diags, ErrorAt(r.condition.Range(), "Invalid "+r.block+" condition",
			"The condition must be true or false."))
	case !result.IsKnown():
		return Undecided, diags
	case result.IsNull():
		return Undecided, append(diags, ErrorAt(r.condition.Range(), "Invalid "+r.block+" condition",
			"The condition must be true or false, but it is null."))
	case result.True():
		return Holds, diags
	}
	text, messageDiags := e.message(r, ctx)
	d := ErrorAt(r.condition.Range(), summary, "%s", text)
	if !usesSensitive(r.condition, ctx) {
		// With these, the printed diagnostic also shows the values of the variables.
		d.Expression, d.EvalContext = r.condition, ctx
	}
	return Fails, append(append(diags, messageDiags...), d)
}

// JudgeNow is Judge for a rule that depends on no host. Its result must be known before any host is
// reached.
func (e *Evaluator) JudgeNow(r *Rule, ctx *hcl.EvalContext, summary string) (Verdict, hcl.Diagnostics) {
	v, diags := e.Judge(r, ctx, summary)
	if v == Undecided && r.complete() {
		e.Unsettled(r.condition)
	}
	return v, diags
}

// message evaluates the message of a rule. The text is never empty.
func (e *Evaluator) message(r *Rule, ctx *hcl.EvalContext) (string, hcl.Diagnostics) {
	const otherwise = "The condition is false."
	if e.bad[r.message] {
		return otherwise, nil
	}
	value, diags := e.Eval(r.message, ctx)
	if diags.HasErrors() {
		return otherwise, diags
	}
	invalid := func(why string) (string, hcl.Diagnostics) {
		return otherwise, append(diags, ErrorAt(r.message.Range(), "Invalid error message",
			"The error_message of %s block must be a non-empty string, but %s.", WithArticle(r.block), why))
	}
	sensitive := IsSensitive(value)
	value, _ = value.UnmarkDeep()
	text, err := convert.Convert(value, cty.String)
	switch {
	case err != nil:
		return invalid("this is " + DescribeType(value.Type()))
	case !text.IsKnown():
		return otherwise + " Its error message is not known yet.", diags
	case text.IsNull():
		return invalid("it is null")
	case strings.TrimSpace(text.AsString()) == "":
		return invalid("it is empty")
	case sensitive:
		return otherwise + " Its error message is not shown because it contains a sensitive value.", diags
	}
	return strings.TrimSpace(text.AsString()), diags
}
