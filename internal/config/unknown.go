package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// An unknown value is not an absence. A value may be unknown for these reasons only: facts of a
// host that was not reached, a variable without a value in validate, or an error that is reported.
// Each place that meets one says which host it waits for, or is an error; none takes it for
// nothing.

const summaryUnknown = "Value is not known"

// refersToUnknown reports whether anything that an expression refers to is not wholly known. An
// expression whose value is unknown for another reason has an error.
func refersToUnknown(expr hclsyntax.Expression, ctx *hcl.EvalContext) bool {
	return slices.ContainsFunc(expr.Variables(), func(t hcl.Traversal) bool {
		v, ok := reached(t, ctx)
		return ok && !v.IsWhollyKnown()
	})
}

// unsettled notes an expression that must be known before any host is reached, and is not: it says
// which hosts or elements there are, how hosts are reached, or whether the configuration is right.
func (c *Config) unsettled(expr hclsyntax.Expression) {
	c.unsettledExprs = append(c.unsettledExprs, expr)
}

// reportUnsettled makes errors of these expressions, unless errors or variables without a value say
// why. To go on would be to plan for fewer hosts, and to remove what the others have.
func (c *Config) reportUnsettled(reported hcl.Diagnostics) hcl.Diagnostics {
	if reported.HasErrors() || len(c.withoutValue) > 0 {
		return nil
	}
	var diags hcl.Diagnostics
	for _, expr := range c.unsettledExprs {
		diags = append(diags, errorAt(expr.Range(), summaryUnknown, "This must be known before any host is reached, and it is not."))
	}
	return diags
}

// unknownArguments reports a body of which arguments are unknown: what it needs are facts of the
// host, or if they are there, it is wrong.
func (w *wanting) unknownArguments(i *instance, h *Host, d *decoded, local bool) {
	if w.dry || w.facts[h.Name] == nil {
		w.missingFacts(i, h, i.address(h.Name), local)
		return
	}
	for _, path := range sortedKeys(d.unknown) {
		w.diags = append(w.diags, errorAt(i.block.attributeRange(path), summaryUnknown,
			"The value of %q of %s is not known, although the facts of host %s are.", path, i.address(h.Name), h.Name))
	}
}
