package cli

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
)

// collection gathers what the result of a command needs. A nil one gathers nothing: without
// --report there is no result.
type collection struct {
	command string
	dir     string // of the configuration
	start   time.Time

	run     *run.Run
	hosts   []string // of the run
	sources string   // digest
	passes  []*pass
	verify  *report.Verify
	status  *report.Status

	mu       sync.Mutex
	problems []report.Problem
	spent    map[string]time.Duration // on hosts
}

// diagnosed receives the diagnostics that are shown.
func (c *collection) diagnosed(diags hcl.Diagnostics) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range diags {
		p := report.Problem{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			p.Severity = "warning"
		}
		if s := d.Subject; s != nil {
			p.File = fromHere(s.Filename)
			p.Line, p.Column, p.EndLine, p.EndColumn = s.Start.Line, s.Start.Column, s.End.Line, s.End.Column
		}
		if !slices.Contains(c.problems, p) {
			c.problems = append(c.problems, p)
		}
	}
}

// fromHere is a path relative to the working directory, if the file is below it: CI systems then
// find the file in their checkout.
func fromHere(path string) string {
	if here, err := os.Getwd(); err == nil && filepath.IsAbs(path) {
		if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return filepath.Clean(path)
}

// prepared receives a run before it connects to a host.
func (c *collection) prepared(r *run.Run) {
	if c == nil {
		return
	}
	c.run, c.hosts = r, run.Names(r.Hosts)
	c.sources = sourcesDigest(r.Config.Files())
}

// narrowed receives the hosts of a command that works on fewer hosts than its run was prepared for.
func (c *collection) narrowed(hosts []engine.Host) {
	if c != nil {
		c.hosts = run.Names(hosts)
	}
}

// sourcesDigest identifies a configuration by its files. It leaves out values of variables from
// flags and the environment.
func sourcesDigest(files map[string]*hcl.File) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if ext := filepath.Ext(name); ext == ".hcl" || ext == ".hclvars" {
			all = append(all, filepath.Base(name), string(files[name].Bytes))
		}
	}
	return engine.Digest("mirrorform", "sources", all)
}

// timed measures the time that each host takes, and passes its events on. Time that passes before
// you answer a question is not counted.
func (c *collection) timed(pass func(engine.Progress)) func(engine.Progress) {
	if c == nil {
		return pass
	}
	last := map[string]time.Time{}
	return func(p engine.Progress) {
		now := time.Now()
		c.mu.Lock()
		if before, ok := last[p.Host]; ok {
			c.spent[p.Host] += now.Sub(before)
		}
		last[p.Host] = now
		c.mu.Unlock()
		pass(p)
	}
}

// pass is a plan with its result. retire --delete-data makes two.
type pass struct {
	plan *engine.Plan
	done *engine.Result // nil: nothing was applied
}

func (c *collection) planned(plan *engine.Plan) {
	if c != nil {
		c.passes = append(c.passes, &pass{plan: plan})
	}
}

// applied receives the result of the plan that planned received last.
func (c *collection) applied(done *engine.Result) {
	if c != nil {
		c.passes[len(c.passes)-1].done = done
	}
}

func (c *collection) verified(v *report.Verify) {
	if c != nil {
		c.verify = v
	}
}

// surveyed receives a status, and the plan that it was made from.
func (c *collection) surveyed(plan *engine.Plan, status *report.Status) {
	if c == nil {
		return
	}
	run.Surveyed(plan)
	c.status = status
	c.planned(plan)
}

// now is the time in the precision of results.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// result makes the result of a command that ended with err.
func (c *collection) result(err error) *report.Result {
	r := &report.Result{FormatVersion: report.Format, Hosts: []report.HostResult{}}
	dir := fromHere(c.dir)
	for _, p := range c.passes {
		r.Then(c.passed(p, dir))
	}
	for _, name := range c.hosts {
		if r.Host(name) == nil {
			r.Hosts = append(r.Hosts, report.HostResult{
				Name: name, Outcome: report.NotStarted, Changes: []report.Change{}, Warnings: []string{}, Notes: []string{},
			})
		}
	}
	r.Version, r.Command, r.Verify, r.Status, r.Sources = Version(), c.command, c.verify, c.status, c.sources
	r.Start, r.End = c.start, now()
	r.Problems = c.problems
	if err != nil && !errors.Is(err, errReported) && !errors.Is(err, errDifferences) {
		r.Error = err.Error()
	}
	if c.run != nil {
		r.Configuration, r.Shard = c.run.Recorded(), c.run.Options.Selection.Shard.String()
		for i := range r.Hosts {
			rh := &r.Hosts[i]
			if !c.run.Declares(rh.Name) {
				continue // host local, which only its manifest knows
			}
			h := c.run.Host(rh.Name)
			rh.Address, rh.Labels, rh.Local = h.Address, h.Labels, h.Local
			if h.Range.Filename != "" {
				rh.Source = &report.Source{File: fromHere(h.Range.Filename), Line: h.Range.Start.Line}
			}
		}
	}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		h.Duration = c.spent[h.Name].Truncate(time.Millisecond).Seconds()
	}
	r.Count()
	return r
}

// passed is the result of one plan, and of its apply if there was one.
func (c *collection) passed(p *pass, dir string) *report.Result {
	r := report.FromPlan(p.plan)
	r.Locate(p.plan, dir)
	switch {
	case p.done != nil:
		r.Apply(p.done)
	case c.run.Options.Command != "": // it was planned in order to be applied
		r.NotDone()
	}
	return r
}
