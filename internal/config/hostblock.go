package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// hostBlock is a host block: one host, or with for_each a group of hosts.
type hostBlock struct {
	name    string
	body    *hclsyntax.Body
	header  hcl.Range
	forEach hclsyntax.Expression
	hosts   []*DeclaredHost
	failed  bool // its hosts are not known because of an error
}

// hostArguments are the arguments of a host block.
type hostArguments struct {
	Address        *string           `hcl:"address,optional"`
	User           *string           `hcl:"user,optional"`
	Port           *int              `hcl:"port,optional"`
	Become         *string           `hcl:"become,optional"`
	BecomePassword string            `hcl:"become_password,optional"`
	HostKey        cty.Value         `hcl:"host_key,optional"`
	Identities     []string          `hcl:"identities,optional"`
	Jump           cty.Value         `hcl:"jump,optional"`
	ConnectTimeout *string           `hcl:"connect_timeout,optional"`
	ConfirmTimeout *string           `hcl:"confirm_timeout,optional"`
	Labels         map[string]string `hcl:"labels,optional"`
	Connection     *connectionShape  `hcl:"connection,block"`
}

// connectionShape has the arguments of the nested connection block.
type connectionShape struct {
	Type string `hcl:"type"`
}

func (d *declarations) declareHost(b *hclsyntax.Block) hcl.Diagnostics {
	hb := &hostBlock{name: b.Labels[0], body: b.Body, header: b.DefRange(), forEach: lang.ArgumentOf(b.Body, "for_each")}
	diags := d.eval.Structure(b.Body, hb.header, lang.MustShape[hostArguments](), "a host", []string{"for_each"})
	diags = append(diags, missingAddress(hb)...)
	if hb.name == localHost {
		return append(diags, lang.ErrorAt(b.LabelRanges[0], "Reserved name",
			"The name %q is reserved for this machine, which needs no host block. Use it as in hosts = [host.local].", localHost))
	}
	if first := d.hostBlocks[hb.name]; first != nil {
		return append(diags, lang.Duplicate("host", hb.name, hb.header, first.header))
	}
	d.hostBlocks[hb.name] = hb
	return diags
}

// checkHost checks the expressions of a host block.
func (d *declarations) checkHost(hb *hostBlock) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if hb.forEach != nil {
		diags = append(diags, d.check(scope{eachWhy: notInEach}, hb.forEach)...)
	}
	s := scope{each: hb.forEach != nil, eachWhy: noForEach}
	return append(diags, d.check(s, lang.MustShape[hostArguments]().Expressions(hb.body, "for_each")...)...)
}

// evaluate sets the hosts of a block and returns the value of host.NAME. others has all host
// blocks; those that this one refers to are evaluated.
func (hb *hostBlock) evaluate(e *lang.Evaluator, ctx *hcl.EvalContext, others map[string]*hostBlock) (cty.Value, hcl.Diagnostics) {
	if hb.forEach == nil {
		h, diags := readHost(e, hb, ctx, "", others)
		hb.hosts = []*DeclaredHost{h}
		return h.value, diags
	}
	keys, diags := forEach(e, hb.forEach, ctx)
	if keys == nil {
		hb.failed = true
		return cty.DynamicVal, diags
	}
	values := map[string]cty.Value{}
	found := make([]hcl.Diagnostics, len(keys))
	for n, k := range keys {
		h, hostDiags := readHost(e, hb, k.context(ctx), k.key, others)
		found[n] = hostDiags
		hb.hosts, values[k.key] = append(hb.hosts, h), h.value
	}
	return cty.ObjectVal(values), append(diags, perHost(hb.hosts, found)...)
}
