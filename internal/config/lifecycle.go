package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// lifecycle is the lifecycle block of a resource or a mirror. The zero value stands for no
// lifecycle block.
type lifecycle struct {
	preventDestroy bool
	preconditions  []precondition
	postconditions []*lang.Rule
}

// precondition is a rule that is checked before an apply.
type precondition struct {
	*lang.Rule
	uses targetUse // of the condition and the message
}

// lifecycleShape describes a lifecycle block for Structure.
type lifecycleShape struct {
	PreventDestroy bool                   `hcl:"prevent_destroy,optional"`
	Precondition   []lang.ValidationShape `hcl:"precondition,block"`
	Postcondition  []lang.ValidationShape `hcl:"postcondition,block"`
}

const lifecycleBlock = "lifecycle"

// declareLifecycle reads the lifecycle block, if there is one. Structure has checked it.
func (b *block) declareLifecycle(e *lang.Evaluator) hcl.Diagnostics {
	lb := lang.NestedBlock(b.source, lifecycleBlock, 0)
	if lb == nil {
		return nil
	}
	var diags hcl.Diagnostics
	b.life.preventDestroy, diags = e.Flag(lb.Body, "prevent_destroy", false)
	for _, r := range lang.RulesOf(lb.Body, "precondition") {
		b.life.preconditions = append(b.life.preconditions, precondition{r, targetUseOf(r.Expressions()...)})
	}
	if b.composite == nil {
		b.life.postconditions = lang.RulesOf(lb.Body, "postcondition")
	} else if post := lang.NestedBlock(lb.Body, "postcondition", 0); post != nil {
		diags = append(diags, lang.ErrorAt(post.TypeRange, "Unsupported block",
			"%s cannot have postconditions: it expands to many resources, and a postcondition checks the state of one. "+
				"Use a precondition or a check block.",
			lang.Sentence(b.what(), "")))
	}
	return diags
}

// hostContext returns the context of an instance with the object target.
func (i *instance) hostContext(h *DeclaredHost, facts *wire.Facts) *hcl.EvalContext {
	return targetContext(i.ctx, h, facts)
}

// foresee checks an instance's conditions on a host without facts. It reports errors and conditions
// that are false whatever the facts are. The verdict is that of the preconditions.
func (i *instance) foresee(e *lang.Evaluator, h *DeclaredHost) (lang.Verdict, hcl.Diagnostics) {
	if len(i.block.life.preconditions)+len(i.block.life.postconditions) == 0 {
		return lang.Holds, nil
	}
	ctx := i.hostContext(h, nil)
	pre, diags := i.judge(e, ctx, usesNothing)
	after := ctx.NewChild()
	after.Variables = map[string]cty.Value{"self": cty.DynamicVal}
	for _, r := range i.block.life.postconditions {
		_, ruleDiags := e.Judge(r, after, summaryPostcondition)
		diags = append(diags, ruleDiags...)
	}
	return pre, diags
}

const (
	summaryPrecondition  = "Precondition failed"
	summaryPostcondition = "Postcondition failed"
)

// judge evaluates the preconditions whose use of the host is at least least. It returns the worst
// verdict: Fails, then Undecided, then Holds.
func (i *instance) judge(e *lang.Evaluator, ctx *hcl.EvalContext, least targetUse) (lang.Verdict, hcl.Diagnostics) {
	worst := lang.Holds
	var diags hcl.Diagnostics
	for _, r := range i.block.life.preconditions {
		if r.uses < least {
			continue
		}
		v, ruleDiags := e.Judge(r.Rule, ctx, summaryPrecondition)
		diags = append(diags, ruleDiags...)
		if v == lang.Fails || v == lang.Undecided && worst == lang.Holds {
			worst = v
		}
	}
	return worst, diags
}

// postcondition returns a function that checks an instance's postconditions on a host, or nil if
// the instance has none.
func (i *instance) postcondition(e *lang.Evaluator, h *DeclaredHost, facts *wire.Facts, sensitive map[string]bool) func(found any) []engine.Problem {
	rules := i.block.life.postconditions
	if len(rules) == 0 {
		return nil
	}
	return func(found any) []engine.Problem {
		ctx := i.hostContext(h, facts)
		ctx.Variables["self"] = stateValue(i.block.state, found, sensitive)
		var problems []engine.Problem
		for n, r := range rules {
			attribute := fmt.Sprintf("%s.postcondition[%d].condition", lifecycleBlock, n)
			v, diags := e.Judge(r, ctx, summaryPostcondition)
			for _, d := range diags {
				problems = append(problems, engine.Problem{Severity: severityOf(d), Attribute: attribute, Summary: d.Summary, Detail: d.Detail})
			}
			if v == lang.Undecided && !diags.HasErrors() {
				problems = append(problems, engine.Problem{Attribute: attribute, Summary: summaryPostcondition,
					Detail: fmt.Sprintf("The condition needs facts of host %s, which are not known.", h.Name)})
			}
		}
		return problems
	}
}

func severityOf(d *hcl.Diagnostic) engine.Severity {
	if d.Severity == hcl.DiagWarning {
		return engine.Warning
	}
	return engine.Error
}
