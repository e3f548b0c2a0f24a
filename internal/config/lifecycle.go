package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/zclconf/go-cty/cty"
)

// lifecycle is the lifecycle block of a resource or a mirror. Its zero value is that of a block without one.
type lifecycle struct {
	preventDestroy bool
	preconditions  []*rule
	postconditions []*rule
}

// lifecycleShape is the tagged form of a lifecycle block, for the check of its structure.
type lifecycleShape struct {
	PreventDestroy bool              `hcl:"prevent_destroy,optional"`
	Precondition   []validationShape `hcl:"precondition,block"`
	Postcondition  []validationShape `hcl:"postcondition,block"`
}

const lifecycleBlock = "lifecycle"

// withBlock is the shape with one more nested block, which no struct is filled from.
func withBlock(s *shape, name string, goType reflect.Type) *shape {
	more := &shape{fields: append(slices.Clip(s.fields), field{name: name, index: -1, goType: goType, block: true}), byName: map[string]*field{}}
	for i := range more.fields {
		more.byName[more.fields[i].name] = &more.fields[i]
	}
	return more
}

// withoutBlocks is a body without its nested blocks of that type.
func withoutBlocks(body *hclsyntax.Body, name string) *hclsyntax.Body {
	rest := &hclsyntax.Body{Attributes: body.Attributes, SrcRange: body.SrcRange, EndRange: body.EndRange}
	for _, b := range body.Blocks {
		if b.Type != name {
			rest.Blocks = append(rest.Blocks, b)
		}
	}
	return rest
}

// declareLifecycle reads the lifecycle block of b.source, if there is one; structure has checked it.
func (c *Config) declareLifecycle(b *block) hcl.Diagnostics {
	lb := nestedBlock(b.source, lifecycleBlock, 0)
	if lb == nil {
		return nil
	}
	var diags hcl.Diagnostics
	b.life.preventDestroy, diags = c.flag(lb.Body, "prevent_destroy", false)
	b.life.preconditions = rulesOf(lb.Body, "precondition")
	if !b.isMirror() {
		b.life.postconditions = rulesOf(lb.Body, "postcondition")
	} else if post := nestedBlock(lb.Body, "postcondition", 0); post != nil {
		diags = append(diags, errorAt(post.TypeRange, "Unsupported block",
			"A mirror has no postconditions: it is many resources, and a postcondition is about the state of one. Use a precondition, or a check block."))
	}
	return diags
}

// checkLifecycle looks at the expressions of a lifecycle block. inner is the scope of the body around it.
func (c *Config) checkLifecycle(b *block, inner scope) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, r := range b.life.preconditions {
		diags = append(diags, r.check(c, inner)...)
	}
	inner.self = stateNames(b.state)
	for _, r := range b.life.postconditions {
		diags = append(diags, r.check(c, inner)...)
	}
	return diags
}

// hostContext is an instance's context with the object target.
func (i *instance) hostContext(h *Host, facts *wire.Facts) *hcl.EvalContext {
	ctx := i.ctx.NewChild()
	ctx.Variables = map[string]cty.Value{"target": h.target(facts)}
	return ctx
}

// foresee finds what is wrong with an instance's conditions on a host of which no facts are known: what is false whatever they are.
// The verdict is that of the preconditions.
func (c *Config) foresee(i *instance, h *Host) (verdict, hcl.Diagnostics) {
	if len(i.block.life.preconditions)+len(i.block.life.postconditions) == 0 {
		return holds, nil
	}
	ctx := i.hostContext(h, nil)
	pre, diags := c.preconditions(i, ctx, usesNothing)
	after := ctx.NewChild()
	after.Variables = map[string]cty.Value{"self": cty.DynamicVal}
	for _, r := range i.block.life.postconditions {
		_, ruleDiags := c.judge(r, after, summaryPostcondition)
		diags = append(diags, ruleDiags...)
	}
	return pre, diags
}

const (
	summaryPrecondition  = "Precondition failed"
	summaryPostcondition = "Postcondition failed"
)

// preconditions judges those that need as much of the host as least, or more. Undecided is worse than holds, and fails is worse than either.
func (c *Config) preconditions(i *instance, ctx *hcl.EvalContext, least targetUse) (verdict, hcl.Diagnostics) {
	worst := holds
	var diags hcl.Diagnostics
	for _, r := range i.block.life.preconditions {
		if r.uses < least {
			continue
		}
		v, ruleDiags := c.judge(r, ctx, summaryPrecondition)
		diags = append(diags, ruleDiags...)
		if v == fails || v == undecided && worst == holds {
			worst = v
		}
	}
	return worst, diags
}

// preconditions judges the preconditions of an instance on a host that need facts. The others hold, or Load has reported them.
func (w *wanting) preconditions(i *instance, h *Host) verdict {
	if w.dry || len(i.block.life.preconditions) == 0 {
		return holds
	}
	facts, address := w.facts[h.Name], i.address(h.Name)
	v, diags := w.config.preconditions(i, i.hostContext(h, facts), usesFacts)
	w.diags = append(w.diags, labelled(diags, "This is about "+address+".")...)
	switch {
	case v == undecided && facts == nil:
		w.missingFacts(i, h, address, false)
	case v == undecided && !diags.HasErrors():
		w.diags = append(w.diags, errorAt(i.block.header, summaryUnknown,
			"Whether a precondition of %s holds is not known, although the facts of host %s are.", address, h.Name))
	}
	return v
}

// unfit tells whether a mirror's preconditions are not known to hold on a host. What is wrong is told with that host's own resources.
func (w *wanting) unfit(i *instance, h *Host) bool {
	if w.dry || len(i.block.life.preconditions) == 0 {
		return false
	}
	v, _ := w.config.preconditions(i, i.hostContext(h, w.facts[h.Name]), usesFacts)
	return v != holds
}

// postcondition is the check of an instance's postconditions on a host, or nil if there are none.
func (c *Config) postcondition(i *instance, h *Host, facts *wire.Facts, sensitive map[string]bool) func(found any) []engine.Problem {
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
			v, diags := c.judge(r, ctx, summaryPostcondition)
			for _, d := range diags {
				problems = append(problems, engine.Problem{Severity: severityOf(d), Attribute: attribute, Summary: d.Summary, Detail: d.Detail})
			}
			if v == undecided && !diags.HasErrors() {
				problems = append(problems, engine.Problem{Attribute: attribute, Summary: summaryPostcondition,
					Detail: fmt.Sprintf("Whether the condition holds is not known, since it needs facts of host %s.", h.Name)})
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

// stateNames lists the attributes that a found state can have: those that are set in a configuration, and those that the type derives.
func stateNames(t reflect.Type) []string {
	names := []string{}
	for _, f := range reflect.VisibleFields(t) {
		if name := stateName(f); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func stateName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("hcl"), ",")
	if name == "" {
		name, _, _ = strings.Cut(f.Tag.Get("plan"), ",")
	}
	return name
}

// stateValue is the object self: the attributes of a found state (*S, or nil for an object that is null) with the names and values that
// plans show. Every attribute of the type is there, so that a condition can ask for it: a pointer that is nil is null.
func stateValue(t reflect.Type, found any, sensitive map[string]bool) cty.Value {
	v := reflect.ValueOf(found)
	if found == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	attrs := map[string]cty.Value{}
	for _, f := range reflect.VisibleFields(t) {
		if stateName(f) != "" {
			attrs[stateName(f)] = plainValue(engine.Plain(reflect.Zero(f.Type).Interface()))
		}
	}
	for _, a := range engine.Attributes(found, sensitive) {
		value := plainValue(engine.Plain(a.Value))
		if a.Sensitive {
			value = value.Mark(sensitiveMark)
		}
		attrs[a.Name] = value
	}
	return cty.ObjectVal(attrs)
}

// plainValue is the value of what engine.Plain returns.
func plainValue(v any) cty.Value {
	switch v := v.(type) {
	case string:
		return cty.StringVal(v)
	case bool:
		return cty.BoolVal(v)
	case int64:
		return cty.NumberIntVal(v)
	case uint64:
		return cty.NumberUIntVal(v)
	case float64:
		if math.IsNaN(v) {
			break
		}
		return cty.NumberFloatVal(v)
	case []any:
		elems := make([]cty.Value, len(v))
		for i, e := range v {
			elems[i] = plainValue(e)
		}
		return cty.TupleVal(elems)
	case map[string]any:
		attrs := make(map[string]cty.Value, len(v))
		for name, e := range v {
			attrs[name] = plainValue(e)
		}
		return cty.ObjectVal(attrs)
	}
	return cty.NullVal(cty.DynamicPseudoType)
}
