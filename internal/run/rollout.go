package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
)

// rollout is the configuration's rollout block, limited to the hosts of a run.
type rollout struct {
	engine.Rollout
	gate *config.Gate
}

// newRollout returns the rollout of the selected hosts, without empty waves. Host local is the last
// wave. It returns nil if there is no rollout block.
func newRollout(of *config.Config, hosts []engine.Host, byName map[string]*config.DeclaredHost) *rollout {
	c := of.Rollout()
	if c == nil {
		return nil
	}
	r := limitRollout(c, hosts, byName)
	r.After = of.DependsOn
	return r
}

func limitRollout(c *config.Rollout, hosts []engine.Host, byName map[string]*config.DeclaredHost) *rollout {
	r := &rollout{gate: c.Gate, Rollout: engine.Rollout{MaxFailures: c.MaxFailures, RollBack: c.RollBack, Pause: c.Pause}}
	if c.SpreadBy != "" {
		r.Group = func(host string) string { return byName[host].Labels[c.SpreadBy] }
	}
	selected := map[string]bool{}
	for _, h := range hosts {
		selected[h.Name] = true
	}
	for _, w := range c.Waves {
		names := slices.DeleteFunc(slices.Clone(w.Hosts), func(name string) bool { return !selected[name] })
		if len(names) > 0 {
			r.Waves = append(r.Waves, engine.Wave{Title: w.Title, Hosts: names})
		}
	}
	for _, h := range hosts {
		if h.Last {
			r.Waves = append(r.Waves, engine.Wave{Hosts: []string{h.Name}, Last: true})
		}
	}
	return r
}

// excuse notes the hosts of @failed that could not be reached in the last run. They do not count if
// that is still so: a rollout goes on past a machine that stays off.
func (r *rollout) excuse(s *Selection, dir string) error {
	if r == nil || !slices.Contains(s.Limit, FailedHosts) {
		return nil
	}
	last, err := readLastRun(dir)
	if err != nil {
		return err
	}
	r.Off = map[string]bool{}
	for name, h := range last.Hosts {
		r.Off[name] = h.Outcome == engine.Unreachable
	}
	return nil
}

// Foretell warns the operator if the rollout of the plan is bound to stop, and names hosts that are
// still off.
func (p *Pass) Foretell() {
	r := p.rollout
	if r == nil || p.Plan.Counts().Changes() == 0 {
		return
	}
	for _, h := range p.Plan.Hosts {
		if r.Off[h.Host] && h.Err != nil {
			p.observer.Note(fmt.Sprintf("%s was unreachable in the last run, and still is: it does not count for max_failures.", h.Host))
		}
	}
	stop := r.BoundToStop(p.Plan)
	if stop == nil {
		return
	}
	hosts, without := "host", "it"
	if len(stop.Failed) > 1 {
		without = "them"
	}
	if stop.Waiting > 1 {
		hosts = "hosts"
	}
	var less []string
	for _, name := range stop.Failed {
		less = append(less, "!"+name)
	}
	p.observer.Warning(fmt.Sprintf("This rollout will stop in %s: %s without a plan, and max_failures = %d. %d %s with changes "+
		"may not start. To leave %s out, add: --limit '%s'",
		r.title(stop.Wave), strings.Join(stop.Failed, ", "), r.MaxFailures, stop.Waiting, hosts, without, strings.Join(less, ",")))
}

// waves returns the waves, or none without a rollout block.
func (r *rollout) waves() []engine.Wave {
	if r == nil {
		return nil
	}
	return r.Waves
}

// count returns the number of waves that have a number: all but that of host local.
func (r *rollout) count() int {
	n := len(r.Waves)
	if n > 0 && r.Waves[n-1].Last {
		n--
	}
	return n
}

// title names a wave in a sentence. wave counts from 0.
func (r *rollout) title(wave int) string { return fmt.Sprintf("wave %d of %d", wave+1, r.count()) }
