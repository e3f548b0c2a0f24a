package ui

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

func TestSummaryOfRollout(t *testing.T) {
	t.Parallel()
	tooMany := errors.New("1 host failed or was not reached, and max_failures is 0")
	final := &engine.Change{Steps: []engine.Step{{Summary: "install package nginx", Final: "its files stay"}}}
	rolledBack := fmt.Errorf("%w: %w", engine.ErrWaveRolledBack, tooMany)
	hosts := []*engine.HostResult{
		{Host: "canary", Done: []*engine.Change{{}}, Unchanged: 3},
		{Host: "a", Err: rolledBack, State: engine.TakenBack, NotDone: []*engine.Change{{}}},
		{Host: "b", Err: rolledBack, State: engine.TakenBack, NotDone: []*engine.Change{final}},
		{Host: "bad", Err: errors.New("it broke"), State: engine.TakenBack, Failed: &engine.Change{Address: "bad/file.x"}},
		{Host: "halfway", Err: rolledBack, State: engine.HalfBack},
	}
	hosts = append(hosts, engine.NotStartedResults([]string{"c", "d"}, tooMany)...)
	bad := &engine.DependencyError{On: "bad", Outcome: engine.Failed}
	down := &engine.DependencyError{On: "down", Outcome: engine.Unreachable}
	hosts = append(hosts, engine.NotStartedResults([]string{"leaf1", "leaf2"}, bad)...)
	hosts = append(hosts, engine.NotStartedResults([]string{"leaf3"}, down)...)
	u, out, _ := newTest(Options{})
	u.Summary(&engine.Result{Hosts: hosts, Stopped: tooMany})
	golden(t, "summary-rollout", out.String())

	out.Reset()
	u.Summary(&engine.Result{Hosts: hosts[:1], Stopped: &engine.GateError{Wave: 0, Err: errors.New("closed\n" + hostile)}})
	checkSafe(t, out.String())
	golden(t, "summary-gate", out.String())
}

func TestPlanWaves(t *testing.T) {
	t.Parallel()
	change := func(host string) *engine.HostPlan {
		return &engine.HostPlan{Host: host, Changes: []engine.Change{{Address: host + "/file.x", Type: "file", Action: engine.Delete}}}
	}
	plan := &engine.Plan{Hosts: []*engine.HostPlan{
		change("a"), {Host: "b", Unchanged: 1}, {Host: "c", Err: errors.New("no route to host")}, {Host: "d", Unchanged: 1}, {Host: "e", Unchanged: 1}, change("local"),
	}}
	waves := []engine.Wave{
		{Title: "wave=canary", Hosts: []string{"b"}}, {Title: "50%", Hosts: []string{"a", "c"}}, {Title: "the rest", Hosts: []string{"d", "e"}},
		{Hosts: []string{"local"}, Last: true},
	}
	u, out, _ := newTest(Options{})
	u.Plan(plan, PlanOptions{Waves: waves})
	golden(t, "plan-waves", out.String())

	out.Reset()
	u.Wave(2, 3, engine.Wave{Title: hostile, Hosts: []string{hostile}})
	checkSafe(t, out.String())
}
