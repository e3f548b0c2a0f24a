package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// Wave prints the heading of a wave that starts: number n of all, counted from 1.
func (u *UI) Wave(n, all int, w engine.Wave) {
	if !u.quiet {
		u.write(u.out, "\n"+u.out.waveHeading(n, all, w)+"\n")
	}
}

func (s *stream) waveHeading(n, all int, w engine.Wave) string {
	names := make([]string, len(w.Hosts))
	for i, h := range w.Hosts {
		names[i] = plain.Escape(h)
	}
	if w.Last {
		return s.style.bold("After all waves") + ": " + listNames(names)
	}
	return s.style.bold(fmt.Sprintf("Wave %d of %d", n, all)) +
		fmt.Sprintf(" (%s), %s: %s", plain.Escape(w.Title), count(len(names), "host"), listNames(names))
}

// waves prints the hosts of a plan grouped by wave. Hosts without a wave come last.
func (s *stream) waves(p *engine.Plan, o PlanOptions) string {
	var b strings.Builder
	all := len(o.Waves)
	if all > 0 && o.Waves[all-1].Last {
		all--
	}
	left := slices.Clone(p.Hosts)
	for i, w := range o.Waves {
		b.WriteString(s.waveHeading(i+1, all, w) + "\n\n")
		part := &engine.Plan{}
		left = slices.DeleteFunc(left, func(h *engine.HostPlan) bool {
			in := slices.Contains(w.Hosts, h.Host)
			if in {
				part.Hosts = append(part.Hosts, h)
			}
			return in
		})
		b.WriteString(s.hostPlans(part, o, true))
	}
	return b.String() + s.hostPlans(&engine.Plan{Hosts: left}, o, false)
}
