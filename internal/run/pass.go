package run

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
)

// Pass is one plan of a run with its apply. Most commands have one; retire may have two.
type Pass struct {
	*Run
	Plan *engine.Plan
	// Problems are those of the configuration, evaluated with this plan's facts, and those of
	// resources on their hosts.
	Problems hcl.Diagnostics

	hosts []engine.Host
}

// NewPlan makes a plan and reports its problems to the observer. A --target that matches no
// resource is an error. The caller must close the pass.
func (r *Run) NewPlan(ctx context.Context, a Aim) (*Pass, error) {
	p := r.Observe(ctx, a)
	if r.rollout != nil && p.Plan.Counts().Changes() > 0 {
		// This releases the locks: the operator may take time to approve, and each wave locks its
		// own hosts.
		p.Close()
	}
	r.observer.Diagnostics(p.Problems, r.Config.Files())
	r.observer.Planned(p.Plan)
	if err := r.targets.unmet(p.Plan); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Observe makes a plan without reporting its problems. The caller must close the pass.
func (r *Run) Observe(ctx context.Context, a Aim) *Pass {
	var problems Problems
	p := &Pass{Run: r, hosts: a.Hosts}
	r.observer.Hosts(Names(p.hosts))
	report, end := r.observer.Progress(Names(p.hosts))
	p.Plan = r.newPlanner(a, &problems, report).Plan(ctx, p.hosts)
	end()
	r.observer.Observed(p.Plan)
	found := slices.Clone(problems.list)
	for _, h := range p.Plan.Hosts {
		if errors.Is(h.Err, engine.ErrManifest) {
			h.Err = fmt.Errorf("%w. This host has no plan. %s", h.Err, manifestWayOut(h.Host))
		}
		diags := append(r.Config.Problems(h.Problems), r.withoutRoot(h)...)
		found = append(found, config.HostDiagnostics{Host: h.Host, Diagnostics: diags})
	}
	p.Problems = r.Config.Together(found)
	return p
}

// Close closes all sessions, which releases their locks.
func (p *Pass) Close() { p.Plan.Close() }

// Adopt completes an apply that has nothing to change: hosts record what they manage. It reports
// errors of hosts to the observer.
func (p *Pass) Adopt(ctx context.Context) error {
	if err := p.remember(p.planned()); err != nil {
		return err
	}
	report, end := p.observer.Progress(Names(p.hosts))
	result := engine.NewApplier(p.Plan, report).Apply(context.WithoutCancel(ctx), engine.ApplyOptions{})
	end()
	p.observer.Applied(result)
	p.recordOutcomes(outcomesOf(result.Hosts))
	for i, h := range result.Hosts {
		if h.Err != nil && !p.Plan.Hosts[i].Failed() { // hosts without a plan are already reported
			p.hostFailed(h.Host, h.Err)
		}
	}
	if result.Failed() {
		return ErrReported
	}
	return nil
}

// Perform applies the plan. The error is one that kept it from starting.
func (p *Pass) Perform(ctx context.Context) (*engine.Result, error) {
	if err := p.remember(p.planned()); err != nil {
		return nil, err
	}
	if p.rollout != nil {
		return p.performWaves(ctx, p.Plan, p.hosts), nil
	}
	p.recordOutcomes(allWith(p.hosts, outcomeUnknown))
	report, end := p.observer.Progress(changing(p.Plan))
	quiet := context.AfterFunc(ctx, func() {
		p.observer.Note("Interrupted: hosts that have started will finish. " +
			"A second interrupt ends mirrorform at once; each host then finishes its current step and rolls back.")
	})
	defer quiet()
	// After a signal, hosts that have started still finish: a complete apply is better than half of
	// one. A second signal ends the program.
	o := engine.ApplyOptions{Admit: engine.UntilDone(ctx)}
	if p.Options.Command == "apply" { // what is removed needs no order of hosts
		o.After = p.Config.DependsOn
	}
	result := engine.NewApplier(p.Plan, report).Apply(context.WithoutCancel(ctx), o)
	end()
	p.observer.Applied(result)
	p.recordOutcomes(outcomesOf(result.Hosts))
	return result, nil
}

// planned returns the hosts that have a valid plan.
func (p *Pass) planned() []engine.Host {
	var list []engine.Host
	for i, h := range p.Plan.Hosts {
		if !h.Failed() {
			list = append(list, p.hosts[i])
		}
	}
	return list
}
