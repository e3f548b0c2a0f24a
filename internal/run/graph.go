package run

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/graph"
)

// Graph returns the dependency graph of the hosts. With facts, an unreachable host is an error.
func (r *Run) Graph(ctx context.Context, withFacts bool) ([]graph.HostGraph, error) {
	facts := map[string]*wire.Facts{}
	if withFacts {
		var err error
		if facts, err = r.Facts(ctx, r.Hosts); err != nil {
			return nil, err
		}
	}
	var hosts []graph.HostGraph
	var found []config.HostDiagnostics
	for _, h := range r.Hosts {
		var resources []*engine.Resource
		var pending []string
		var hostDiags hcl.Diagnostics
		target := engine.Target{Name: h.Name}
		switch {
		case !r.Declares(h.Name):
			continue // it is only in its manifest
		case withFacts:
			target.Facts = *facts[h.Name]
			resources, hostDiags = r.Config.Resources(h.Name, facts)
		default:
			resources, pending, hostDiags = r.Config.Declared(h.Name)
		}
		found = append(found, config.HostDiagnostics{Host: h.Name, Diagnostics: hostDiags})
		r.targets.mayMeet(pending)
		if hostDiags.HasErrors() {
			continue
		}
		resources = r.choose(target, resources)
		needs, problems := engine.Dependencies(target, resources)
		found = append(found, config.HostDiagnostics{Host: h.Name, Diagnostics: r.Config.Problems(problems)})
		if len(problems) == 0 {
			hosts = append(hosts, graph.NewHostGraph(h.Name, resources, needs, r.targets.meant(pending)))
		}
	}
	diags := r.Config.Together(found)
	r.observer.Diagnostics(diags, r.Config.Files())
	if diags.HasErrors() {
		return nil, ErrReported
	}
	return hosts, r.targets.unmet(&engine.Plan{})
}
