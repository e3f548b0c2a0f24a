package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

// after returns the dependencies of hosts in a text: "leaf:hub other:leaf".
func after(text string) func(string) []string {
	return func(host string) (list []string) {
		for word := range strings.FieldsSeq(text) {
			if from, to, _ := strings.Cut(word, ":"); from == host {
				list = append(list, to)
			}
		}
		return list
	}
}

// TestApplyAfter: a host starts when those that it depends on have ended, and not at all if it has
// changes and one of them failed. Hosts are named by how they end: c is changed, u unchanged, f
// fails, d is down.
func TestApplyAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, hosts, after, started string // those with changes, in order
		want                        string // outcomes by host
		parallelism                 int
		before                      []*engine.HostResult
	}{
		{name: "the order", hosts: "c1 c2 c3", after: "c1:c2 c2:c3", started: "c3 c2 c1", want: "changed changed changed"},
		{name: "one place", hosts: "c1 c2 c3", after: "c1:c3", parallelism: 1, started: "c2 c3 c1",
			want: "changed changed changed"},
		{name: "an unchanged one", hosts: "c1 u1", after: "c1:u1", started: "c1", want: "changed unchanged"},
		{name: "a failure", hosts: "c1 u1 c2 f1", after: "c1:f1 u1:f1 c2:c1", started: "f1",
			want: "not started unchanged not started failed"},
		{name: "unreachable", hosts: "c1 d1", after: "c1:d1", want: "not started unreachable"},
		{name: "its own failure counts", hosts: "d1 f1", after: "d1:f1", started: "f1", want: "unreachable failed"},
		{name: "not in this plan", hosts: "c1", after: "c1:f1", started: "c1", want: "changed"},
		{name: "failed before", hosts: "c1 u1", after: "c1:f1 u1:f1", want: "not started unchanged",
			before: []*engine.HostResult{{Host: "f1", Err: errors.New("failed")}}},
		{name: "changed before", hosts: "c1", after: "c1:c0", started: "c1", want: "changed",
			before: []*engine.HostResult{{Host: "c0"}}},
		{name: "only the second transaction failed", hosts: "c1", after: "c1:c0", started: "c1", want: "changed",
			before: []*engine.HostResult{{Host: "c0", State: engine.PartlyDone, Err: errors.New("no certificate")}}},
		{name: "a cycle", hosts: "c1 c2", after: "c1:c2 c2:c1", parallelism: 1, started: "c1 c2", want: "changed changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) { applyAfter(t, c.hosts, c.after, c.started, c.want, c.parallelism, c.before) })
		})
	}
}

func applyAfter(t *testing.T, names, deps, started, want string, parallelism int, before []*engine.HostResult) {
	hosts, wanted := map[string]*host{}, map[string][]*engine.Resource{}
	var list []engine.Host
	for name := range strings.FieldsSeq(names) {
		list = append(list, engine.Host{Name: name})
		switch name[0] {
		case 'c':
			hosts[name], wanted[name] = &host{}, resources(&thing{Name: "/a", Value: "x"})
		case 'u':
			hosts[name] = &host{files: map[string]string{"/a": "x"}}
			wanted[name] = resources(&thing{Name: "/a", Value: "x"})
		case 'f':
			hosts[name], wanted[name] = &host{}, resources(&thing{Name: "/broken", Value: "x"})
		}
	}
	f := newFleet(t, hosts, wanted)
	f.Parallelism = parallelism
	var order []string
	running := map[string]bool{}
	report := f.Report
	f.Report = func(p engine.Progress) {
		report(p)
		f.mu.Lock()
		defer f.mu.Unlock()
		switch p.Stage {
		case engine.StepStarted:
			order, running[p.Host] = append(order, p.Host), true
			for _, on := range after(deps)(p.Host) {
				if running[on] {
					t.Errorf("%s started before %s had ended", p.Host, on)
				}
			}
		case engine.Applied, engine.NotApplied:
			running[p.Host] = false
		}
	}
	result := f.ApplyWith(t.Context(), f.Plan(t.Context(), list), engine.ApplyOptions{After: after(deps), Before: before})
	var outcomes []string
	for _, r := range result.Hosts {
		outcomes = append(outcomes, string(r.Outcome()))
		var d *engine.DependencyError
		skipped := errors.As(r.Err, &d)
		if skipped != (r.Outcome() == engine.NotStarted) || skipped && !strings.Contains(deps, r.Host+":"+d.On) {
			t.Errorf("%s: %v", r.Host, r.Err)
		}
	}
	if got := strings.Join(outcomes, " "); got != want || !slices.Equal(order, strings.Fields(started)) {
		t.Errorf("outcomes: %s, want %s; started: %q, want %q", got, want, order, started)
	}
}

// TestApplyAfterHeld: hosts of a wave that is committed as a whole start after the steps of those
// that they depend on.
func TestApplyAfterHeld(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		one := func() []*engine.Resource { return resources(&thing{Name: "/a", Value: "x"}) }
		hosts := map[string]*host{"leaf": {}, "hub": {}}
		f := newFleet(t, hosts, map[string][]*engine.Resource{"leaf": one(), "hub": one()})
		plan := f.Plan(t.Context(), []engine.Host{{Name: "leaf"}, {Name: "hub"}})
		var decided int
		result := f.ApplyWith(t.Context(), plan, engine.ApplyOptions{
			After: after("leaf:hub"),
			Decide: func(_ context.Context, results []*engine.HostResult) error {
				decided = len(results)
				return errors.New("closed")
			},
		})
		for _, r := range result.Hosts {
			if decided != 2 || r.Outcome() != engine.RolledBack {
				t.Errorf("decided on %d; %s: %v", decided, r.Host, r.Err)
			}
		}
	})
}
