package config

import (
	"fmt"
	"strings"
)

// rolloutText writes a rollout down for the cases in testdata.
func rolloutText(r *Rollout) string {
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("max_failures %d, roll back %v, pause %v, spread by %q\n", r.MaxFailures, r.RollBack, r.Pause, r.SpreadBy)
	if g := r.Gate; g != nil {
		text += fmt.Sprintf("gate: verify %v, command %q, timeout %v\n", g.Verify, g.Command, g.Timeout)
	}
	for i, w := range r.Waves {
		text += fmt.Sprintf("%d (%s): %s\n", i+1, w.Title, strings.Join(w.Hosts, " "))
	}
	return text
}
