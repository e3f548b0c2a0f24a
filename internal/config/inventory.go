package config

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// inventory holds the hosts of a configuration.
type inventory struct {
	blocks map[string]*hostBlock
	values map[string]cty.Value // of host.NAME, by block
	list   []*DeclaredHost      // in source order, host local last
	byName map[string]*DeclaredHost
}

func newInventory(blocks map[string]*hostBlock) *inventory {
	return &inventory{blocks: blocks, values: map[string]cty.Value{}, byName: map[string]*DeclaredHost{}}
}

// definitions returns the host blocks for EvaluateInOrder. context returns the values that
// expressions refer to.
func (v *inventory) definitions(e *lang.Evaluator, context func(exprs ...hclsyntax.Expression) *hcl.EvalContext) []lang.Definition {
	var list []lang.Definition
	for name, hb := range v.blocks {
		exprs := lang.Expressions(hb.body)
		list = append(list, lang.Definition{
			Name: "host." + name, At: hb.header, Exprs: exprs,
			Evaluate: func() (diags hcl.Diagnostics) {
				v.values[name], diags = hb.evaluate(e, context(exprs...), v.blocks)
				return diags
			},
			Skip: func() { v.values[name], hb.failed = cty.DynamicVal, true },
		})
	}
	return list
}

// order sets the list of hosts, in the order of their declaration. Call it after all blocks are
// evaluated.
func (v *inventory) order() {
	blocks := slices.Collect(maps.Values(v.blocks))
	slices.SortFunc(blocks, func(a, b *hostBlock) int {
		if lang.Before(&a.header, &b.header) {
			return -1
		}
		return 1
	})
	for _, hb := range blocks {
		for _, h := range hb.hosts {
			v.list = append(v.list, h)
			v.byName[h.Name] = h
		}
	}
}

// local returns host local. It adds the host if needed.
func (v *inventory) local() *DeclaredHost {
	if v.byName[localHost] == nil {
		h := &DeclaredHost{Name: localHost, Block: localHost, Local: true, Address: "localhost", Become: "none", ConfirmTimeout: defaultConfirm, value: localHostValue()}
		v.list = append(v.list, h)
		v.byName[localHost] = h
	}
	return v.byName[localHost]
}

// find returns the host with a name, or an error.
func (v *inventory) find(name string) (*DeclaredHost, *hcl.Diagnostic) {
	if h := v.byName[name]; h != nil {
		return h, nil
	}
	return nil, lang.ErrorNowhere("Unknown host",
		"There is no host named %q.%s", name, lang.DidYouMean(name, lang.SortedKeys(v.byName)))
}

// incomplete reports whether hosts or their arguments are not known: there was an error, or a
// variable has no value.
func (v *inventory) incomplete() bool {
	for _, hb := range v.blocks {
		if hb.failed || slices.ContainsFunc(hb.hosts, func(h *DeclaredHost) bool { return h.incomplete }) {
			return true
		}
	}
	return false
}

// withFacts returns the object host with the facts of each host.
func (v *inventory) withFacts(facts map[string]*wire.Facts) cty.Value {
	hosts := map[string]cty.Value{}
	for name, hb := range v.blocks {
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

// meantBy reports whether a reference includes the host: it is to the host, its group or all hosts.
func (h *DeclaredHost) meantBy(t hcl.Traversal) bool {
	root, name := lang.Reference(t)
	switch {
	case root != "host":
		return false
	case name == "":
		return true
	case name != h.Block || h.Key == "" || len(t) < 3:
		return name == h.Block
	}
	key := lang.StepName(t[2])
	return key == "" || key == h.Key
}
