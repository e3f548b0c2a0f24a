package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// checkBlock is a check block: its asserts cause warnings, which stop nothing.
type checkBlock struct {
	name     string
	header   hcl.Range
	hostsArg hclsyntax.Expression // nil: the asserts are evaluated once, without a host
	asserts  []*lang.Rule
	hosts    []*DeclaredHost
}

// checkShape describes a check block for Structure.
type checkShape struct {
	Hosts  cty.Value              `hcl:"hosts,optional"`
	Assert []lang.ValidationShape `hcl:"assert,block"`
}

func (d *declarations) declareCheck(b *hclsyntax.Block) hcl.Diagnostics {
	k := &checkBlock{name: b.Labels[0], header: b.DefRange(), hostsArg: lang.ArgumentOf(b.Body, "hosts"), asserts: lang.RulesOf(b.Body, "assert")}
	diags := d.eval.Structure(b.Body, k.header, lang.MustShape[checkShape](), "a check", nil)
	if len(k.asserts) == 0 {
		diags = append(diags, lang.ErrorAt(k.header, "Missing block", "A check needs at least one assert block."))
	}
	if first := d.checks[k.name]; first != nil {
		return append(diags, lang.Duplicate("check", k.name, k.header, first.header))
	}
	d.checks[k.name] = k
	return diags
}

// checkCheck checks the expressions of a check block.
func (d *declarations) checkCheck(k *checkBlock) hcl.Diagnostics {
	var diags hcl.Diagnostics
	s := scope{eachWhy: noForEach}
	if k.hostsArg != nil {
		withLocal := s
		withLocal.local = true
		diags = append(diags, d.check(withLocal, k.hostsArg)...)
		s.target = true
	}
	for _, r := range k.asserts {
		diags = append(diags, r.Check(d.eval, d.names(s))...)
	}
	return diags
}

const summaryCheck = "Check failed"

// place sets the hosts of a check and reports asserts that cannot be evaluated. It runs a check
// without hosts, which needs no facts.
func (k *checkBlock) place(p *placement) hcl.Diagnostics {
	if k.hostsArg == nil {
		var diags hcl.Diagnostics
		for _, r := range k.asserts {
			v, ruleDiags := p.eval.JudgeNow(r, p.globals.all, summaryCheck)
			diags = append(diags, asWarning(v, ruleDiags)...)
		}
		return diags
	}
	hosts, diags := p.hostsOf(k.hostsArg, p.globals.all)
	k.hosts = hosts
	if len(hosts) == 0 {
		hosts = []*DeclaredHost{unknownHost()}
	}
	found := make([]hcl.Diagnostics, len(hosts))
	for n, h := range hosts {
		for _, r := range k.asserts {
			v, ruleDiags := p.eval.Judge(r, targetContext(p.globals.all, h, nil), summaryCheck)
			found[n] = append(found[n], asWarning(v, ruleDiags)...)
		}
		// Resources reports failed asserts, once the host's facts are known.
		found[n] = slices.DeleteFunc(found[n], func(d *hcl.Diagnostic) bool { return d.Severity == hcl.DiagWarning })
	}
	return append(diags, perHost(hosts, found)...)
}

// targetContext returns a child context with the object target for a host. facts may be nil.
func targetContext(ctx *hcl.EvalContext, h *DeclaredHost, facts *wire.Facts) *hcl.EvalContext {
	ctx = ctx.NewChild()
	ctx.Variables = map[string]cty.Value{"target": h.target(facts)}
	return ctx
}

// asWarning turns the error of a failed assert into a warning.
func asWarning(v lang.Verdict, diags hcl.Diagnostics) hcl.Diagnostics {
	if v == lang.Fails {
		diags[len(diags)-1].Severity = hcl.DiagWarning
	}
	return diags
}

// run evaluates the check for a host, if the check has that host. All diagnostics are warnings,
// also for asserts that cannot be evaluated with these facts.
func (k *checkBlock) run(e *lang.Evaluator, global *hcl.EvalContext, h *DeclaredHost, facts *wire.Facts) hcl.Diagnostics {
	if !slices.Contains(k.hosts, h) {
		return nil
	}
	var diags hcl.Diagnostics
	for _, r := range k.asserts {
		v, ruleDiags := e.Judge(r, targetContext(global, h, facts), summaryCheck)
		diags = append(diags, ruleDiags...)
		if v == lang.Undecided && len(ruleDiags) == 0 {
			diags = append(diags, lang.ErrorAt(r.Expressions()[0].Range(), "Check has no result",
				"The condition needs facts of the host, which are not known."))
		}
	}
	diags = lang.Labelled(diags, soOn+h.Name+".")
	for _, d := range diags {
		d.Severity = hcl.DiagWarning
	}
	return diags
}
