package run

import (
	"fmt"
	"slices"

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
