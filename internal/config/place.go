package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// instance is a block with one of its for_each keys, or the only instance of a block without
// for_each.
type instance struct {
	block *block
	key   string         // `["key"]`, or "" without for_each
	local engine.Address // without a host
	ctx   *hcl.EvalContext
	hosts []*DeclaredHost
	// decoded has the evaluated body for each host, without facts. Hosts share one if the body does
	// not refer to target.
	decoded map[string]*decoded
	// parts has the parts of a composite for each host, without facts.
	parts map[string][]engine.Part
}

// address returns HOST/TYPE.NAME["key"] or HOST/mirror.NAME.
func (i *instance) address(host string) engine.Address {
	a := i.local
	a.Host = host
	return a
}

// placement finds the instances and hosts of blocks.
type placement struct {
	eval      *lang.Evaluator
	inventory *inventory
	globals   *globals
}

// blocks sets the instances of each block and their hosts.
func (p *placement) blocks(list []*block) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range list {
		if b.forEach == nil {
			diags = append(diags, p.instance(b, p.globals.all, "")...)
			continue
		}
		keys, keyDiags := forEach(p.eval, b.forEach, p.globals.all)
		diags = append(diags, keyDiags...)
		b.keysUnknown = keys == nil
		for _, k := range keys {
			diags = append(diags, p.instance(b, k.context(p.globals.all), engine.Index(k.key))...)
		}
	}
	return diags
}

func (p *placement) instance(b *block, ctx *hcl.EvalContext, key string) hcl.Diagnostics {
	local, _ := engine.ParseLocal(b.name + key) // its parts are valid identifiers, and a key as Index prints it
	i := &instance{block: b, key: key, local: local, ctx: ctx, decoded: map[string]*decoded{}, parts: map[string][]engine.Part{}}
	b.instances = append(b.instances, i)
	if b.hosts == nil {
		return nil
	}
	var diags hcl.Diagnostics
	i.hosts, diags = p.hostsOf(b.hosts, ctx)
	return diags
}

// hostsOf evaluates a hosts argument. ctx has the values that the block may refer to, without
// host.local.
func (p *placement) hostsOf(expr hclsyntax.Expression, ctx *hcl.EvalContext) ([]*DeclaredHost, hcl.Diagnostics) {
	hostsCtx := ctx.NewChild()
	hostsCtx.Variables = map[string]cty.Value{"host": p.globals.contextFor(expr).Variables["host"]}
	if diags := p.inventory.checkKeys(expr); diags.HasErrors() {
		return nil, diags
	}
	v, diags := p.eval.Eval(expr, hostsCtx)
	if diags.HasErrors() || p.eval.Bad(expr) {
		return nil, diags
	}
	if lang.IsSensitive(v) {
		return nil, append(diags, lang.ErrorAt(expr.Range(), "Sensitive value not allowed here",
			"The hosts of a block are printed, so the value must not be sensitive. If it is not secret, use nonsensitive(…)."))
	}
	const wanted = "a list of hosts and groups of hosts, as in [host.NAME]"
	in := &placing{inventory: p.inventory, wanted: wanted, seen: map[string]bool{}}
	if why := in.collect(v); why != "" {
		d := lang.ErrorAt(expr.Range(), "Invalid hosts argument", "%s", why)
		d.Expression, d.EvalContext = expr, hostsCtx
		return nil, append(diags, d)
	}
	if in.unknown {
		p.eval.Unsettled(expr)
	}
	return in.hosts, diags
}

// checkKeys reports keys that a group of hosts does not have, with a suggestion. The evaluator's
// error has none.
func (v *inventory) checkKeys(expr hclsyntax.Expression) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, t := range expr.Variables() {
		root, name := lang.Reference(t)
		hb := v.blocks[name]
		if root != "host" || hb == nil || hb.forEach == nil || hb.failed || len(t) < 3 {
			continue
		}
		key := lang.StepName(t[2])
		if slices.Contains(hostAttributes, key) {
			continue // checkHostReference has reported it
		}
		keys := make([]string, len(hb.hosts))
		known := key == ""
		for i, h := range hb.hosts {
			keys[i] = h.Key
			known = known || h.Key == key
		}
		if known {
			continue
		}
		hint := ""
		if s := lang.Suggest(key, keys); s != "" {
			hint = fmt.Sprintf(" Did you mean host.%s%s?", name, engine.Index(s))
		}
		diags = append(diags, lang.ErrorAt(t.SourceRange(), "Unknown host",
			"The block host %q has no key %q.%s", name, key, hint))
	}
	return diags
}

// hostType is the type of host.NAME.
var hostType = localHostValue().Type()

// placing collects hosts, each once.
type placing struct {
	inventory *inventory
	wanted    string // what the argument takes
	seen      map[string]bool
	hosts     []*DeclaredHost
	unknown   bool // some hosts are not known
}

// collect adds a host, or all hosts in lists and groups. It returns what is wrong with the value,
// or "".
func (p *placing) collect(v cty.Value) string {
	wanted := "The argument takes " + p.wanted + ", but "
	switch {
	case v.IsNull():
		return wanted + "an element is null."
	case !v.IsKnown():
		p.unknown = true
		return ""
	case v.Type().Equals(hostType):
		name := v.GetAttr("name")
		if !name.IsKnown() {
			p.unknown = true
			return ""
		}
		if name.IsNull() {
			return wanted + "an element is not a host."
		}
		return p.add(name.AsString())
	case !v.CanIterateElements():
		return wanted + fmt.Sprintf("an element is %s.%s", lang.DescribeType(v.Type()), p.hint(v))
	}
	for it := v.ElementIterator(); it.Next(); {
		_, elem := it.Element()
		if why := p.collect(elem); why != "" {
			return why
		}
	}
	return ""
}

func (p *placing) hint(v cty.Value) string {
	if v.Type() != cty.String {
		return ""
	}
	name := v.AsString()
	if hb := p.inventory.blocks[name]; hb != nil {
		return fmt.Sprintf(" Write host.%s without quotes.", name)
	}
	return ""
}

func (p *placing) add(name string) string {
	h := p.inventory.byName[name]
	if name == localHost {
		h = p.inventory.local()
	}
	if h == nil {
		return fmt.Sprintf("There is no host named %q.", name)
	}
	if !p.seen[name] {
		p.seen[name] = true
		p.hosts = append(p.hosts, h)
	}
	return ""
}
