package report

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// TestApplyRollout: how the hosts of a rollout ended.
func TestApplyRollout(t *testing.T) {
	t.Parallel()
	plan := &engine.Plan{}
	for _, name := range []string{"done", "taken", "stuck", "bad", "later"} {
		plan.Hosts = append(plan.Hosts, &engine.HostPlan{Host: name, Changes: []engine.Change{{Address: name + "/file.x", Type: "file", Action: engine.Delete}}})
	}
	why := errors.New("too many failures")
	wave := fmt.Errorf("%w: %w", engine.ErrWaveRolledBack, why)
	r := FromPlan(plan)
	r.Apply(&engine.Result{Hosts: append([]*engine.HostResult{
		{Host: "done", Done: []*engine.Change{{}}},
		{Host: "taken", Err: wave, State: engine.TakenBack},
		{Host: "stuck", Err: wave, State: engine.HalfBack},
		{Host: "bad", Err: errors.New("it broke"), State: engine.TakenBack},
	}, engine.NotStartedResults([]string{"later"}, why)...)})
	for name, want := range map[string]Outcome{"done": Changed, "taken": RolledBack, "stuck": Failed, "bad": Failed, "later": NotStarted} {
		if got := r.Host(name).Outcome; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
