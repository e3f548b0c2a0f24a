package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/zclconf/go-cty/cty"
)

// checkBlock is a check block: asserts whose failure stops nothing.
type checkBlock struct {
	name     string
	header   hcl.Range
	hostsArg hclsyntax.Expression // nil: the asserts are evaluated once, without a host
	asserts  []*rule
	hosts    []*Host
}

// checkShape is the tagged form of a check block, for the check of its structure.
type checkShape struct {
	Hosts  cty.Value         `hcl:"hosts,optional"`
	Assert []validationShape `hcl:"assert,block"`
}

func (c *Config) declareCheck(b *hclsyntax.Block) hcl.Diagnostics {
	k := &checkBlock{name: b.Labels[0], header: b.DefRange(), hostsArg: argumentOf(b.Body, "hosts"), asserts: rulesOf(b.Body, "assert")}
	diags := structure(b.Body, k.header, mustShape[checkShape](), "a check", nil)
	if len(k.asserts) == 0 {
		diags = append(diags, errorAt(k.header, "Missing block", "In a check, at least one block named \"assert\" is required."))
	}
	if first := c.checks[k.name]; first != nil {
		return append(diags, duplicate("check", k.name, k.header, first.header))
	}
	c.checks[k.name] = k
	return diags
}

func (k *checkBlock) check(c *Config) hcl.Diagnostics {
	var diags hcl.Diagnostics
	s := scope{global: true, eachWhy: noForEach}
	if k.hostsArg != nil {
		withLocal := s
		withLocal.local = true
		diags = append(diags, c.check(k.hostsArg, withLocal)...)
		s.target = true
	}
	for _, r := range k.asserts {
		diags = append(diags, r.check(c, s)...)
	}
	return diags
}

const summaryCheck = "Check failed"

// placeChecks finds the hosts of each check, runs those that are for none, and finds asserts that cannot be evaluated.
func (c *Config) placeChecks() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range sortedKeys(c.checks) {
		k := c.checks[name]
		if k.hostsArg == nil {
			for _, r := range k.asserts {
				v, ruleDiags := c.judgeNow(r, c.global, summaryCheck)
				diags = append(diags, asWarning(v, ruleDiags)...)
			}
			continue
		}
		hosts, hostDiags := c.hostsOf(k.hostsArg, c.global)
		k.hosts = hosts
		diags = append(diags, hostDiags...)
		if len(hosts) == 0 {
			hosts = []*Host{unknownHost()}
		}
		found := make([]hcl.Diagnostics, len(hosts))
		for n, h := range hosts {
			for _, r := range k.asserts {
				v, ruleDiags := c.judge(r, k.context(c, h, nil), summaryCheck)
				found[n] = append(found[n], asWarning(v, ruleDiags)...)
			}
			// Whether an assert fails is for Resources to tell, when the host's facts are there.
			found[n] = slices.DeleteFunc(found[n], func(d *hcl.Diagnostic) bool { return d.Severity == hcl.DiagWarning })
		}
		diags = append(diags, perHost(hosts, found)...)
	}
	return diags
}

// context is what the asserts are evaluated in for a host.
func (k *checkBlock) context(c *Config, h *Host, facts *wire.Facts) *hcl.EvalContext {
	ctx := c.global.NewChild()
	ctx.Variables = map[string]cty.Value{"target": h.target(facts)}
	return ctx
}

// asWarning makes a warning of the failure of an assert.
func asWarning(v verdict, diags hcl.Diagnostics) hcl.Diagnostics {
	if v == fails {
		diags[len(diags)-1].Severity = hcl.DiagWarning
	}
	return diags
}

// runCheck evaluates a check for a host, if it is for that host. There are warnings only: an assert that these facts keep from being
// evaluated stops nothing either.
func (c *Config) runCheck(k *checkBlock, h *Host, facts *wire.Facts) hcl.Diagnostics {
	if !slices.Contains(k.hosts, h) {
		return nil
	}
	var diags hcl.Diagnostics
	for _, r := range k.asserts {
		v, ruleDiags := c.judge(r, k.context(c, h, facts), summaryCheck)
		diags = append(diags, ruleDiags...)
		if v == undecided && len(ruleDiags) == 0 {
			diags = append(diags, errorAt(r.condition.Range(), "Check has no result", "Whether the condition holds is not known: it needs facts of the host."))
		}
	}
	diags = labelled(diags, soOn+h.Name+".")
	for _, d := range diags {
		d.Severity = hcl.DiagWarning
	}
	return diags
}
