package cli

import (
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// afterApply prints the outputs after an apply that succeeded, and what is still missing.
func afterApply(g *global, p *run.Pass, result *engine.Result) error {
	facts := map[string]*wire.Facts{}
	for _, h := range p.Plan.Hosts {
		if h.Facts != nil {
			facts[h.Host] = h.Facts
		}
	}
	outputs, diags := p.Config.Outputs(facts)
	g.ui.Diagnostics(diags, p.Config.Files())
	if len(outputs) > 0 {
		g.print("\n")
	}
	if err := printOutputs(g, outputs, false); err != nil {
		return err
	}
	g.ui.NextSteps(nextSteps(result))
	return nil
}

// nextSteps returns what an apply leaves to do: syncs of mirrors that are new on their host, a look
// at new sites, and the entries whose files have changed.
func nextSteps(result *engine.Result) []ui.NextStep {
	var synced, served []string
	published := false
	for _, h := range result.Hosts {
		var tree, site bool
		for _, c := range h.Done {
			a, ok := engine.ParseAddress(c.Address)
			if !ok || a.Type != "mirror" {
				continue
			}
			tree = tree || a.Part == "tree" && c.Action == engine.Create
			site = site || a.Part == "site" && c.Action == engine.Create
			published = published || a.Part == "publish" && c.Action != engine.Delete
		}
		if tree {
			synced = append(synced, h.Host)
		}
		if site {
			served = append(served, h.Host)
		}
	}
	var steps []ui.NextStep
	add := func(why string, command ...string) { steps = append(steps, ui.NextStep{Command: command, Why: why}) }
	if len(synced) > 0 {
		add("fill the new mirrors now, before their schedule does", append([]string{"sync"}, few(synced)...)...)
	}
	if len(served) > 0 {
		add("see the mirrors as clients do, from here", append([]string{"verify"}, few(served)...)...)
	}
	if published {
		add("compare the entries with AlmaLinux's list; publish alone proposes them", "publish", "--check")
	}
	return steps
}

// few returns the names of hosts, or none for all hosts where a line would be too long.
func few(hosts []string) []string {
	if len(hosts) > 8 {
		return nil
	}
	return hosts
}
