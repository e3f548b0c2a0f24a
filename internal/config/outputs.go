package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/zclconf/go-cty/cty"
)

// Output is the value of an output block.
type Output struct {
	Value     cty.Value // without marks; not wholly known if it needs facts of a host that was not reached
	Sensitive bool
	// Needs are the hosts whose facts are missing, where the value is not wholly known.
	Needs []string
}

func (c *Config) declareOutput(b *hclsyntax.Block) hcl.Diagnostics {
	o := &output{name: b.Labels[0], header: b.DefRange(), value: argumentOf(b.Body, "value")}
	diags := structure(b.Body, o.header, mustShape[outputShape](), "an output", nil)
	sensitive, flagDiags := c.flag(b.Body, "sensitive", false)
	o.sensitive = sensitive
	diags = append(append(diags, flagDiags...), c.constantText(b.Body, "description")...)
	if first := c.outputs[o.name]; first != nil {
		return append(diags, duplicate("output", o.name, o.header, first.header))
	}
	c.outputs[o.name] = o
	return diags
}

// Outputs evaluates the outputs. facts holds the facts of the hosts that were reached, for host.NAME.facts; it may be nil.
func (c *Config) Outputs(facts map[string]*wire.Facts) (map[string]Output, hcl.Diagnostics) {
	if c.failed {
		return nil, hcl.Diagnostics{errorNowhere("Configuration has errors", "Its outputs are not known.")}
	}
	outputs, diags := c.evalOutputs(facts)
	return outputs, tidy(diags)
}

func (c *Config) evalOutputs(facts map[string]*wire.Facts) (map[string]Output, hcl.Diagnostics) {
	outputs := map[string]Output{}
	if len(c.outputs) == 0 {
		return outputs, nil
	}
	ctx := c.global.NewChild()
	ctx.Variables = map[string]cty.Value{"host": c.hostsWithFacts(facts)}
	var diags hcl.Diagnostics
	for _, name := range sortedKeys(c.outputs) {
		o := c.outputs[name]
		if o.value == nil {
			continue
		}
		v, valueDiags := c.eval(o.value, ctx)
		diags = append(diags, valueDiags...)
		if isSensitive(v) && !o.sensitive {
			diags = append(diags, errorAt(o.value.Range(), "Output with a sensitive value",
				"The value of the output %q is sensitive. Outputs are printed: mark it with sensitive = true, or, if it is not really secret, use nonsensitive(…).", name))
			continue
		}
		v, _ = v.UnmarkDeep()
		outputs[name] = Output{v, o.sensitive, c.factsMissing(o.value, v, facts)}
	}
	return outputs, diags
}

// factsMissing lists the hosts whose facts keep an expression from having a known value, v.
func (c *Config) factsMissing(expr hclsyntax.Expression, v cty.Value, facts map[string]*wire.Facts) []string {
	if v.IsWhollyKnown() {
		return nil
	}
	refers := func(h *Host) bool {
		return slices.ContainsFunc(expr.Variables(), func(t hcl.Traversal) bool { return refersToHost(t, h) })
	}
	var names []string
	for _, h := range c.hosts {
		if facts[h.Name] == nil && !h.Local && refers(h) {
			names = append(names, h.Name)
		}
	}
	return names
}

// refersToHost reports whether a reference is to a host, to its group, or to all hosts.
func refersToHost(t hcl.Traversal, h *Host) bool {
	root, name := reference(t)
	switch {
	case root != "host":
		return false
	case name == "":
		return true
	case name != h.Block || h.Key == "" || len(t) < 3:
		return name == h.Block
	}
	key := stepName(t[2])
	return key == "" || key == h.Key
}

// hostsWithFacts is the object host with the facts of each host added.
func (c *Config) hostsWithFacts(facts map[string]*wire.Facts) cty.Value {
	hosts := map[string]cty.Value{}
	for name, hb := range c.hostBlocks {
		group := map[string]cty.Value{}
		for _, h := range hb.hosts {
			group[h.Key] = h.target(facts[h.Name])
		}
		switch {
		case hb.failed:
			hosts[name] = cty.DynamicVal
		case hb.forEach != nil:
			hosts[name] = cty.ObjectVal(group)
		default:
			hosts[name] = group[""]
		}
	}
	return cty.ObjectVal(hosts)
}
