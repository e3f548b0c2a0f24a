package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// The types of connection blocks.
const (
	connectionSSH   = "ssh"
	connectionLocal = "local"
)

// missingAddress is the error of a host block that has no address, and no connection block that may make it needless.
func missingAddress(hb *hostBlock) hcl.Diagnostics {
	if hb.body.Attributes["address"] != nil || slices.ContainsFunc(hb.body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "connection" }) {
		return nil
	}
	return hcl.Diagnostics{errorAt(hb.header, "Missing required argument", "In a host, the argument \"address\" is required.")}
}

// setConnection checks a host's connection block, and the address, which only a host that is reached over SSH needs.
func (h *Host) setConnection(hb *hostBlock, a *hostArguments, d *decoder) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if a.Connection != nil && !d.failed["connection.type"] && !d.unknown["connection.type"] {
		at, ways := hb.header, []string{connectionSSH, connectionLocal}
		for _, b := range hb.body.Blocks {
			if attr := b.Body.Attributes["type"]; attr != nil {
				at = attr.Expr.Range()
			}
		}
		if !slices.Contains(ways, a.Connection.Type) {
			d.failed["connection.type"] = true
			diags = append(diags, errorAt(at, "Invalid type of connection", "The types are ssh and local, not %q.%s", a.Connection.Type, didYouMean(a.Connection.Type, ways)))
		}
		h.OnThisMachine = a.Connection.Type == connectionLocal
		if h.OnThisMachine && d.config.confine {
			diags = append(diags, errorAt(at, "Host not allowed", "This host is the machine that mirrorform runs on, and --confine keeps a configuration from reading it. Leave out --confine only if you trust everybody who may change this configuration."))
		}
	}
	if h.OnThisMachine {
		h.Address = "localhost"
		for _, name := range []string{"user", "port", "host_key", "identities", "jump", "connect_timeout"} {
			if attr := hb.body.Attributes[name]; attr != nil {
				diags = append(diags, errorAt(attr.NameRange, "Argument without effect", "This host is the machine that mirrorform runs on, which is not reached over SSH, so %q means nothing here.", name))
			}
		}
		return diags
	}
	if a.Address == nil && !d.failed["address"] && !d.unknown["address"] && !d.failed["connection.type"] {
		d.failed["address"] = true
		if missingAddress(hb) == nil { // or else it was said
			diags = append(diags, errorAt(hb.header, "Missing required argument", "In a host, the argument \"address\" is required, and has no value here."))
		}
	}
	return diags
}

// jumpHost finds the host that the value of jump means, or tells what is wrong.
func (c *Config) jumpHost(v cty.Value) (*Host, string) {
	const wanted = "The argument takes one host, as in host.bastion; "
	switch {
	case !v.IsWhollyKnown():
		return nil, "" // made from something with an error of its own
	case v.Type() == cty.String && c.hostBlocks[v.AsString()] != nil:
		return nil, wanted + fmt.Sprintf("this is a string. Write host.%s without quotes.", v.AsString())
	case !v.Type().Equals(hostType) && v.CanIterateElements():
		return nil, wanted + "this is several. One of a group is host.NAME[\"KEY\"]."
	case !v.Type().Equals(hostType):
		return nil, wanted + fmt.Sprintf("this is %s.", describeType(v.Type()))
	}
	if v.GetAttr("name").IsNull() {
		return nil, wanted + "this is an object that is no host."
	}
	for _, hb := range c.hostBlocks {
		for _, h := range hb.hosts {
			if h.Name != v.GetAttr("name").AsString() {
				continue
			}
			if h.OnThisMachine {
				return nil, fmt.Sprintf("host.%s is the machine that mirrorform runs on: there is nothing to jump through.", hb.name)
			}
			return h, ""
		}
	}
	return nil, wanted + "this is an object that is no host."
}
