package run

import (
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
)

// rollout is the configuration's rollout block for the hosts of a run.
type rollout struct {
	engine.Rollout
	gate *config.Gate
}

// newRollout leaves the selected hosts in their waves; waves without any are left out. Host local
// comes last, in a wave of its own. It returns nil where there is no rollout block.
func newRollout(c *config.Rollout, hosts []engine.Host, byName map[string]*config.Host) *rollout {
	if c == nil {
		return nil
	}
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

// waves are those of a rollout; none where there is no rollout.
func (r *rollout) waves() []engine.Wave {
	if r == nil {
		return nil
	}
	return r.Waves
}

// count is the number of waves that have a number.
func (r *rollout) count() int {
	n := len(r.Waves)
	if n > 0 && r.Waves[n-1].Last {
		n--
	}
	return n
}

// title names a wave, from 0, in a sentence.
func (r *rollout) title(wave int) string { return fmt.Sprintf("wave %d of %d", wave+1, r.count()) }
