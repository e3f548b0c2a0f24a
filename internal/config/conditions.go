package config

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// rule is a condition, with the message for when it is false: a validation, precondition, postcondition or assert block.
type rule struct {
	block     string // the type of its block
	condition hclsyntax.Expression
	message   hclsyntax.Expression
	uses      targetUse // what the condition and the message need of the host
}

// rulesOf returns the rules of the nested blocks of a type. Those that lack an argument, which is reported elsewhere, have nil there.
func rulesOf(body *hclsyntax.Body, block string) []*rule {
	var rules []*rule
	for _, b := range body.Blocks {
		if b.Type == block && b.Body != nil {
			rules = append(rules, &rule{
				block: block, uses: targetUseOf(b.Body),
				condition: argumentOf(b.Body, "condition"), message: argumentOf(b.Body, "error_message"),
			})
		}
	}
	return rules
}

// complete tells whether the source has both arguments.
func (r *rule) complete() bool { return r.condition != nil && r.message != nil }

// check looks at both expressions. A message that refers to nothing is evaluated, since it may be needed years later.
func (r *rule) check(c *Config, s scope) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if r.condition != nil {
		diags = append(diags, c.check(r.condition, s)...)
	}
	if r.message == nil {
		return diags
	}
	messageDiags := c.check(r.message, s)
	if !messageDiags.HasErrors() && len(r.message.Variables()) == 0 {
		_, messageDiags = c.message(r, &hcl.EvalContext{Functions: c.functions})
		c.bad[r.message] = messageDiags.HasErrors()
	}
	return append(diags, messageDiags...)
}

// verdict is what a condition comes to.
type verdict int

const (
	undecided verdict = iota // not known, for facts that are missing or for an error
	holds
	fails
)

// judge evaluates a rule. If the condition is false, the last diagnostic says so: an error with the summary given and the message as its
// detail. A message that holds a sensitive value is not shown. Other diagnostics are of conditions and messages that are unusable.
func (c *Config) judge(r *rule, ctx *hcl.EvalContext, summary string) (verdict, hcl.Diagnostics) {
	if !r.complete() || c.bad[r.condition] {
		return undecided, nil
	}
	value, diags := c.eval(r.condition, ctx)
	if diags.HasErrors() {
		return undecided, diags
	}
	value, _ = value.UnmarkDeep()
	result, err := convert.Convert(value, cty.Bool)
	switch {
	case err != nil:
		return undecided, append(diags, errorAt(r.condition.Range(), "Invalid "+r.block+" condition", "The condition must be true or false."))
	case !result.IsKnown():
		return undecided, diags
	case result.IsNull():
		return undecided, append(diags, errorAt(r.condition.Range(), "Invalid "+r.block+" condition", "The condition must be true or false, but it is null."))
	case result.True():
		return holds, diags
	}
	text, messageDiags := c.message(r, ctx)
	d := errorAt(r.condition.Range(), summary, "%s", text)
	if !usesSensitive(r.condition, ctx) {
		// The values of the variables say why it is false.
		d.Expression, d.EvalContext = r.condition, ctx
	}
	return fails, append(append(diags, messageDiags...), d)
}

// judgeNow is judge for a rule that needs no host, so that it has a verdict before any is reached.
func (c *Config) judgeNow(r *rule, ctx *hcl.EvalContext, summary string) (verdict, hcl.Diagnostics) {
	v, diags := c.judge(r, ctx, summary)
	if v == undecided && r.complete() {
		c.unsettled(r.condition)
	}
	return v, diags
}

// message evaluates the message of a rule. The text is never empty.
func (c *Config) message(r *rule, ctx *hcl.EvalContext) (string, hcl.Diagnostics) {
	const otherwise = "The condition is false."
	if c.bad[r.message] {
		return otherwise, nil
	}
	value, diags := c.eval(r.message, ctx)
	if diags.HasErrors() {
		return otherwise, diags
	}
	invalid := func(why string) (string, hcl.Diagnostics) {
		return otherwise, append(diags, errorAt(r.message.Range(), "Invalid error message", "The error_message of %s block must be a string that is not empty, but %s.", withArticle(r.block), why))
	}
	sensitive := isSensitive(value)
	value, _ = value.UnmarkDeep()
	text, err := convert.Convert(value, cty.String)
	switch {
	case err != nil:
		return invalid("this is " + describeType(value.Type()))
	case !text.IsKnown():
		return otherwise + " The error message is not known yet.", diags
	case text.IsNull():
		return invalid("it is null")
	case strings.TrimSpace(text.AsString()) == "":
		return invalid("it is empty")
	case sensitive:
		return otherwise + " The error message is not shown, since it is made from a sensitive value.", diags
	}
	return strings.TrimSpace(text.AsString()), diags
}

// labelled adds a sentence to the details of diagnostics, which stay as they are.
func labelled(diags hcl.Diagnostics, about string) hcl.Diagnostics {
	out := make(hcl.Diagnostics, len(diags))
	for i, d := range diags {
		said := *d
		said.Detail = withSentence(said.Detail, about)
		out[i] = &said
	}
	return out
}
