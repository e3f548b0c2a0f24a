package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// Output is the value of an output block.
type Output struct {
	Value     cty.Value // without marks; partly unknown if it needs facts of hosts that were not reached
	Sensitive bool
	// Needs has the hosts whose facts are missing, if the value is not wholly known.
	Needs []string
}

// Outputs evaluates the outputs. facts holds the facts of the hosts that were reached, for
// host.NAME.facts. It may be nil.
func (c *Config) Outputs(facts map[string]*wire.Facts) (map[string]Output, hcl.Diagnostics) {
	if c.failed {
		return nil, hcl.Diagnostics{lang.ErrorNowhere("Configuration has errors",
			"Its outputs are not known. Run `mirrorform validate` to see the errors.")}
	}
	outputs, diags := c.evalOutputs(facts)
	return outputs, lang.Tidy(diags)
}

func (c *Config) evalOutputs(facts map[string]*wire.Facts) (map[string]Output, hcl.Diagnostics) {
	outputs := map[string]Output{}
	if c.declared.outputs.Empty() {
		return outputs, nil
	}
	ctx := c.global.NewChild()
	ctx.Variables = map[string]cty.Value{"host": c.inventory.withFacts(facts)}
	results, diags := c.declared.outputs.Evaluate(ctx)
	for name, r := range results {
		outputs[name] = Output{r.Value, r.Sensitive, c.inventory.factsMissing(r.Expr, r.Value, facts)}
	}
	return outputs, diags
}

// factsMissing returns the hosts whose missing facts make the value of an expression unknown.
func (v *inventory) factsMissing(expr hclsyntax.Expression, value cty.Value, facts map[string]*wire.Facts) []string {
	if value.IsWhollyKnown() {
		return nil
	}
	refers := func(h *DeclaredHost) bool {
		return slices.ContainsFunc(expr.Variables(), h.meantBy)
	}
	var names []string
	for _, h := range v.list {
		if facts[h.Name] == nil && !h.Local && refers(h) {
			names = append(names, h.Name)
		}
	}
	return names
}
