package config

import (
	"fmt"
	"slices"
	"strconv"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/zclconf/go-cty/cty"
)

// instance is a block with one of its for_each keys: what it is placed on, and how it was decoded.
type instance struct {
	block *block
	key   string // `["key"]`, or "" without for_each
	ctx   *hcl.EvalContext
	hosts []*Host
	// decoded holds the body as evaluated for each host without facts; hosts share it where it does not refer to target.
	decoded map[string]*decoded
	// parts holds what a mirror expands to on each host without facts.
	parts map[string][]mirror.Part
}

// address is HOST/TYPE.NAME["key"] or HOST/mirror.NAME.
func (i *instance) address(host string) string { return engine.OnHost(host, i.block.name+i.key) }

// eachKey is one element of a for_each.
type eachKey struct {
	key   string
	value cty.Value
}

// context is ctx with the object each.
func (k eachKey) context(ctx *hcl.EvalContext) *hcl.EvalContext {
	child := ctx.NewChild()
	child.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(k.key), "value": k.value})}
	return child
}

// maxInstances is how many elements a for_each may have.
const maxInstances = 10_000

// forEach evaluates a for_each argument: a map, an object or a set of strings. The keys are sorted; nil means that they are not known, for an error.
func (c *Config) forEach(expr hclsyntax.Expression, ctx *hcl.EvalContext) ([]eachKey, hcl.Diagnostics) {
	v, diags := c.eval(expr, ctx)
	fail := func(format string, args ...any) ([]eachKey, hcl.Diagnostics) {
		d := errorAt(expr.Range(), "Invalid for_each argument", format, args...)
		d.Expression, d.EvalContext = expr, ctx
		return nil, append(diags, c.redact(expr, ctx, hcl.Diagnostics{d})...)
	}
	if diags.HasErrors() || c.bad[expr] {
		return nil, diags
	}
	// Elements may be sensitive: keys, and what says how many there are, may not.
	if v.IsMarked() || v.Type().IsSetType() && isSensitive(v) {
		return fail("The value is sensitive, but keys are part of addresses, which are printed. If the keys are not really secret, use nonsensitive(…).")
	}
	ty := v.Type()
	switch {
	case v.IsNull():
		return fail("The value is null. Use {} for nothing.")
	case !v.IsKnown():
		c.unsettled(expr)
		return nil, diags
	case ty.IsTupleType() || ty.IsListType():
		return fail("The value is a list. A map or a set of strings is wanted; toset([…]) makes a set of a list of strings.")
	case ty.IsSetType() && ty.ElementType() != cty.String && v.LengthInt() > 0:
		return fail("The value is %s. A map or a set of strings is wanted.", describeType(ty))
	case !ty.IsSetType() && !ty.IsMapType() && !ty.IsObjectType():
		return fail("The value is %s. A map or a set of strings is wanted.", describeType(ty))
	case v.LengthInt() > maxInstances:
		return fail("The value has %d elements. At most %d are allowed.", v.LengthInt(), maxInstances)
	}
	keys := []eachKey{}
	for it := v.ElementIterator(); it.Next(); {
		key, elem := it.Element()
		if ty.IsSetType() {
			key = elem
		}
		if !key.IsKnown() {
			c.unsettled(expr)
			return nil, diags
		}
		if key.IsNull() {
			return fail("A key is null.")
		}
		if why := checkKey(key.AsString()); why != "" {
			return fail("%s", why)
		}
		keys = append(keys, eachKey{key.AsString(), elem})
	}
	return keys, diags
}

// checkKey tells why a for_each key cannot be part of an address, or returns "".
func checkKey(key string) string {
	if key == "" {
		return "A key is empty."
	}
	if len(key) > 255 {
		return "A key is longer than 255 bytes."
	}
	for _, r := range key {
		if !unicode.IsPrint(r) {
			return fmt.Sprintf("The key %s holds a character that cannot be printed. Keys are part of addresses.", strconv.QuoteToASCII(key))
		}
	}
	return ""
}

// placeBlocks finds the instances of each block and the hosts that they are for.
func (c *Config) placeBlocks() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range c.blocks {
		if b.forEach == nil {
			diags = append(diags, c.placeInstance(b, c.global, "")...)
			continue
		}
		keys, keyDiags := c.forEach(b.forEach, c.global)
		diags = append(diags, keyDiags...)
		b.keysUnknown = keys == nil
		for _, k := range keys {
			diags = append(diags, c.placeInstance(b, k.context(c.global), engine.Index(k.key))...)
		}
	}
	return diags
}

func (c *Config) placeInstance(b *block, ctx *hcl.EvalContext, key string) hcl.Diagnostics {
	i := &instance{block: b, key: key, ctx: ctx, decoded: map[string]*decoded{}, parts: map[string][]mirror.Part{}}
	b.instances = append(b.instances, i)
	if b.hosts == nil {
		return nil
	}
	var diags hcl.Diagnostics
	i.hosts, diags = c.hostsOf(b.hosts, ctx)
	return diags
}

// hostsOf evaluates a hosts argument; ctx has what the block may refer to, but for host.local.
func (c *Config) hostsOf(expr hclsyntax.Expression, ctx *hcl.EvalContext) ([]*Host, hcl.Diagnostics) {
	hostsCtx := ctx.NewChild()
	hostsCtx.Variables = map[string]cty.Value{"host": c.contextFor(expr).Variables["host"]}
	if diags := c.checkHostKeys(expr); diags.HasErrors() {
		return nil, diags
	}
	v, diags := c.eval(expr, hostsCtx)
	if diags.HasErrors() || c.bad[expr] {
		return nil, diags
	}
	if isSensitive(v) {
		return nil, append(diags, errorAt(expr.Range(), "Sensitive value not allowed here", "Which hosts a block is for is printed, so it cannot be sensitive."))
	}
	p := &placing{config: c, seen: map[string]bool{}}
	if why := p.collect(v); why != "" {
		d := errorAt(expr.Range(), "Invalid hosts argument", "%s", why)
		d.Expression, d.EvalContext = expr, hostsCtx
		return nil, append(diags, d)
	}
	if p.unknown {
		c.unsettled(expr)
	}
	return p.hosts, diags
}

// checkHostKeys looks for keys that a group of hosts does not have, so that the right one can be suggested.
func (c *Config) checkHostKeys(expr hclsyntax.Expression) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, t := range expr.Variables() {
		root, name := reference(t)
		hb := c.hostBlocks[name]
		if root != "host" || hb == nil || hb.forEach == nil || hb.failed || len(t) < 3 {
			continue
		}
		key := stepName(t[2])
		if slices.Contains(hostAttributes, key) {
			continue // another error, which was reported
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
		if s := suggest(key, keys); s != "" {
			hint = fmt.Sprintf(" Did you mean host.%s%s?", name, engine.Index(s))
		}
		diags = append(diags, errorAt(t.SourceRange(), "Unknown host", "The hosts of the block host %q have no key %q.%s", name, key, hint))
	}
	return diags
}

// hostType is the type of host.NAME.
var hostType = localHostValue().Type()

// placing collects hosts, each once.
type placing struct {
	config  *Config
	seen    map[string]bool
	hosts   []*Host
	unknown bool // some are not known
}

// collect takes a host, or hosts in lists and groups. It returns what is wrong.
func (p *placing) collect(v cty.Value) string {
	const wanted = "The argument takes a list of hosts and groups of hosts, as in [host.NAME]; "
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
			return wanted + "an element is an object that is no host."
		}
		return p.add(name.AsString())
	case !v.CanIterateElements():
		return wanted + fmt.Sprintf("an element is %s.%s", describeType(v.Type()), p.hint(v))
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
	if hb := p.config.hostBlocks[name]; hb != nil {
		return fmt.Sprintf(" Write host.%s without quotes.", name)
	}
	return ""
}

func (p *placing) add(name string) string {
	h := p.config.byHost[name]
	if name == localHost {
		h = p.config.addLocal()
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
