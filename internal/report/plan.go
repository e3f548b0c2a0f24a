package report

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// FromPlan returns a plan as a result with Hosts and Summary only, as plan --json prints it.
// Sensitive values are the string "(sensitive value)".
func FromPlan(p *engine.Plan) *Result {
	r := &Result{FormatVersion: Format, Hosts: []HostResult{}}
	for _, h := range p.Hosts {
		r.Hosts = append(r.Hosts, planned(h))
	}
	r.Count()
	return r
}

func planned(p *engine.HostPlan) HostResult {
	h := HostResult{
		Name: p.Host, Outcome: OK, Unchanged: p.Unchanged,
		Changes: []Change{}, Warnings: []string{}, Notes: append([]string{}, p.Notes...),
	}
	var list []string
	if p.Err != nil {
		list = append(list, p.Err.Error())
	}
	for _, problem := range p.Problems {
		text := problem.Shown().String()
		if problem.Resource != nil {
			text = problem.Resource.String() + ": " + text
		}
		if problem.Severity == engine.Warning {
			h.Warnings = append(h.Warnings, text)
		} else {
			list = append(list, text)
		}
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		change := Change{
			Address: c.Address, Also: c.Also, Type: c.Type, Action: c.Action, Orphan: c.Resource != nil && c.Resource.Orphan, Later: p.Later(c),
			Before: attributes(c.Before), After: attributes(c.After), Steps: []string{}, Diff: ui.ChangeDiff(c),
		}
		for j := range c.Steps {
			change.Steps = append(change.Steps, p.StepSummary(c, &c.Steps[j]))
		}
		h.Changes = append(h.Changes, change)
	}
	switch {
	case len(list) > 0:
		text := strings.Join(list, "\n")
		h.Error, h.Outcome = &text, failure(p.Err)
	case len(h.Changes) > 0:
		h.Outcome = Drifted
	}
	return h
}

// failure returns the outcome of a host with an error on which nothing was changed.
func failure(err error) Outcome {
	var u interface{ Unreachable() bool }
	if errors.As(err, &u) && u.Unreachable() {
		return Unreachable
	}
	return Failed
}

func attributes(list []engine.Attribute) map[string]any {
	if list == nil {
		return nil
	}
	m := make(map[string]any, len(list))
	for _, a := range list {
		m[a.Name] = engine.Plain(a.Value)
		if a.Sensitive {
			m[a.Name] = ui.SensitiveValue
		}
	}
	return m
}

// Locate adds the unchanged resources of a plan, and where resources are declared. dir is the
// directory of the configuration.
func (r *Result) Locate(p *engine.Plan, dir string) {
	for i, hp := range p.Hosts {
		h := &r.Hosts[i]
		sources := map[[2]string]*Source{} // by address and type
		for _, c := range hp.Compared {
			r := Resource{c.Resource.Address.String(), c.Resource.Kind.Name, sourceOf(c.Resource, dir)}
			sources[r.key()] = r.Source
			h.Resources = append(h.Resources, r)
		}
		for j := range h.Changes {
			h.Changes[j].Source = sources[h.Changes[j].resource()]
		}
	}
}

// sourceOf returns where a resource is declared, or nil if it is no longer.
func sourceOf(r *engine.Resource, dir string) *Source {
	i := strings.LastIndexByte(r.Source, ':')
	if r.Orphan || i < 0 {
		return nil
	}
	line, err := strconv.Atoi(r.Source[i+1:])
	if err != nil || line < 1 {
		return nil
	}
	return &Source{filepath.Join(dir, r.Source[:i]), line}
}

// is reports whether a change is the one of the plan.
func (c *Change) is(planned *engine.Change) bool {
	return c.resource() == [2]string{planned.Address, planned.Type}
}

// Apply adds the outcome of applying the plan.
func (r *Result) Apply(applied *engine.Result) {
	hosts := r.byName()
	for _, a := range applied.Hosts {
		if h := hosts[a.Host]; h != nil {
			h.apply(a)
		}
	}
	r.Count()
}

func (h *HostResult) apply(a *engine.HostResult) {
	if a.Err == nil {
		h.Outcome = OK
		if len(a.Done) > 0 {
			h.Outcome = Changed
		}
		for i := range h.Changes {
			h.Changes[i].Done = Applied
		}
		return
	}
	for i := range h.Changes {
		h.Changes[i].Done = NotApplied
		if slices.ContainsFunc(a.Done, func(c *engine.Change) bool { return h.Changes[i].is(c) }) {
			h.Changes[i].Done = Applied
		}
		if a.Failed != nil && h.Changes[i].is(a.Failed) {
			h.Changes[i].Done = StepFailed
		}
	}
	h.Left = a.State
	if h.Error != nil { // the plan failed; its error has more detail
		return
	}
	text := a.Err.Error()
	if a.Failed != nil {
		text = a.Failed.Address + ": " + a.Step + ": " + text
	}
	h.Error = &text
	switch a.Outcome() {
	case engine.Unreachable:
		h.Outcome = Unreachable
	case engine.RolledBack:
		h.Outcome = RolledBack
	case engine.NotStarted:
		h.Outcome = NotStarted
	default:
		h.Outcome = Failed
	}
}

// NotDone completes the result of an apply that ended before it changed anything: the hosts to be
// changed become not started.
func (r *Result) NotDone() {
	for i := range r.Hosts {
		h := &r.Hosts[i]
		if h.Outcome != Drifted {
			continue
		}
		h.Outcome = NotStarted
		for j := range h.Changes {
			h.Changes[j].Done = NotApplied
		}
	}
	r.Count()
}
