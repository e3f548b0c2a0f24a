package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

// script plays hosts without hosts: how each ends is given by its name, and applies follow the options as Fleet does.
type script struct {
	waves     []engine.Wave
	gates     map[int]error
	interrupt map[string]func() // called when the host is begun
	log       []string
}

func (s *script) Apply(ctx context.Context, wave int, o engine.ApplyOptions) []*engine.HostResult {
	s.log = append(s.log, fmt.Sprintf("apply %d", wave))
	var results, held []*engine.HostResult
	for _, name := range s.waves[wave].Hosts {
		r := &engine.HostResult{Host: name, State: engine.Untouched}
		results = append(results, r)
		if why := o.Admit(name); why != nil {
			r.Err = fmt.Errorf("%w: %w", engine.ErrNotStarted, why)
			continue
		}
		if f := s.interrupt[name]; f != nil {
			f()
		}
		switch name[0] {
		case 'c':
			r.Done = []*engine.Change{{}}
			held = append(held, r)
		case 'f':
			r.Err, r.State = errors.New("step failed"), engine.TakenBack
			o.Ended(r)
		case 'd':
			r.Err = absent{}
			o.Ended(r)
		}
	}
	if o.Decide == nil || len(held) == 0 {
		return results
	}
	if why := o.Decide(ctx, results); why != nil {
		for _, r := range held {
			r.Err, r.State, r.Done = fmt.Errorf("%w: %w", engine.ErrWaveRolledBack, why), engine.TakenBack, nil
		}
	}
	return results
}

// absent is the error of a host that is not reached.
type absent struct{}

func (absent) Error() string     { return "no route to host" }
func (absent) Unreachable() bool { return true }

func (s *script) Gate(_ context.Context, wave int, _ []*engine.HostResult) error {
	s.log = append(s.log, fmt.Sprintf("gate %d", wave))
	return s.gates[wave]
}

func (s *script) Pause(_ context.Context, wave int, _ time.Duration) {
	s.log = append(s.log, fmt.Sprintf("pause %d", wave))
}

func (s *script) Ended(wave int, _ []*engine.HostResult) {
	s.log = append(s.log, fmt.Sprintf("ended %d", wave))
}

// TestRollout: hosts are named by how they end: c is changed, u unchanged, f fails, d is down. Waves have slashes between them; the last, after two
// slashes, is that of host local.
func TestRollout(t *testing.T) {
	t.Parallel()
	closed := errors.New("closed")
	for _, c := range []struct {
		name        string
		waves       string
		off         string // a host that the last apply could not reach
		maxFailures int
		rollBack    bool
		gates       map[int]error
		interruptAt string
		want        string // outcomes by host
		log         string
		stopped     string
	}{
		{name: "all well", waves: "c1/c2 c3//u", want: "changed, changed changed, unchanged",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, gate 1, ended 1, apply 2, ended 2"},
		{name: "nothing changes", waves: "u1/u2", want: "unchanged, unchanged", log: "apply 0, ended 0, apply 1, ended 1"},
		{name: "a failure stops", waves: "c1 f1 c2/c3//c4", want: "changed failed not started, not started, not started",
			log: "apply 0, ended 0", stopped: "1 host failed"},
		{name: "one is allowed", waves: "c1 d1 c2/c3 f1 c4/c5", maxFailures: 1,
			want: "changed unreachable changed, changed failed not started, not started", stopped: "2 hosts failed",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, ended 1"},
		{name: "one that was off before", waves: "c1 d1/c2 c3/f1", off: "d1", want: "changed unreachable, changed changed, failed",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, gate 1, ended 1, pause 2, apply 2, ended 2"},
		{name: "another one that is off", waves: "c1 d1 d2/c2", off: "d1", want: "changed unreachable unreachable, not started",
			log: "apply 0, ended 0", stopped: "1 host failed"},
		{name: "one that was off before, and fails", waves: "f1/c2", off: "f1", want: "failed, not started", log: "apply 0, ended 0", stopped: "1 host failed"},
		{name: "two are allowed", waves: "c1 d1/f1 c2", maxFailures: 2, want: "changed unreachable, failed changed",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, gate 1, ended 1"},
		{name: "the last host fails", waves: "c1/c2 f1", want: "changed, changed failed",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, ended 1"},
		{name: "the wave is rolled back", waves: "c1/c2 u1 f1/c3", rollBack: true,
			want: "changed, rolled back unchanged failed, not started", stopped: "1 host failed",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, ended 1"},
		{name: "the last wave is rolled back", waves: "c1/c2 f1", rollBack: true, want: "changed, rolled back failed", stopped: "1 host failed",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, ended 1"},
		{name: "an allowed failure rolls nothing back", waves: "c1 f1/c2", rollBack: true, maxFailures: 1, want: "changed failed, changed",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, gate 1, ended 1"},
		{name: "a gate stops", waves: "c1/c2//u1", gates: map[int]error{0: closed}, want: "changed, not started, not started",
			log: "apply 0, gate 0, ended 0", stopped: "the gate after wave 1: closed"},
		{name: "the last gate", waves: "c1//u1", gates: map[int]error{0: closed}, want: "changed, not started",
			log: "apply 0, gate 0, ended 0", stopped: "the gate after wave 1: closed"},
		{name: "a gate rolls back", waves: "c1/c2/c3", rollBack: true, gates: map[int]error{1: closed}, want: "changed, rolled back, not started",
			log: "apply 0, gate 0, ended 0, pause 1, apply 1, gate 1, ended 1", stopped: "the gate after wave 2: closed"},
		{name: "interrupted", waves: "c1 c2 c3/c4", interruptAt: "c2", want: "changed changed not started, not started",
			log: "apply 0, ended 0", stopped: "interrupted"},
		{name: "interrupted at the end", waves: "c1 c2", interruptAt: "c2", want: "changed changed", log: "apply 0, ended 0"},
		{name: "interrupted before a rollback is decided", waves: "c1 c2/c3", rollBack: true, interruptAt: "c1", want: "changed not started, not started",
			log: "apply 0, gate 0, ended 0", stopped: "interrupted"},
		{name: "interrupted, with a gate that is closed", waves: "c1 c2", rollBack: true, interruptAt: "c2", gates: map[int]error{0: closed},
			want: "rolled back rolled back", log: "apply 0, gate 0, ended 0", stopped: "the gate after wave 1: closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &engine.Rollout{MaxFailures: c.maxFailures, RollBack: c.rollBack, Pause: time.Minute, Off: map[string]bool{c.off: true}}
			others, local, _ := strings.Cut(c.waves, "//")
			for w := range strings.SplitSeq(others, "/") {
				r.Waves = append(r.Waves, engine.Wave{Hosts: strings.Fields(w)})
			}
			if local != "" {
				r.Waves = append(r.Waves, engine.Wave{Hosts: strings.Fields(local), Last: true})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := &script{waves: r.Waves, gates: c.gates, interrupt: map[string]func(){c.interruptAt: cancel}}
			result := r.Run(ctx, s)
			var got []string
			rest := result.Hosts
			for _, w := range r.Waves {
				var outcomes []string
				for _, h := range rest[:len(w.Hosts)] {
					outcomes = append(outcomes, string(h.Outcome()))
				}
				got = append(got, strings.Join(outcomes, " "))
				rest = rest[len(w.Hosts):]
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("outcomes: %s\nwant      %s", text, c.want)
			}
			if text := strings.Join(s.log, ", "); text != c.log {
				t.Errorf("log: %s\nwant %s", text, c.log)
			}
			if text := errorText(result.Stopped); (text == "") != (c.stopped == "") || !strings.Contains(text, c.stopped) {
				t.Errorf("stopped: %q, want %q", text, c.stopped)
			}
		})
	}
}

// TestApplyHeld: the hosts of a wave wait for each other, longer than a silent host would be given, and commit or are taken back together.
func TestApplyHeld(t *testing.T) {
	t.Parallel()
	for _, verdict := range []error{nil, errors.New("the gate is closed")} {
		t.Run(errorText(verdict), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				hosts := map[string]*host{"a": {}, "b": {}, "bad": {}, "same": {files: map[string]string{"/same": "x"}}}
				one := resources(&thing{Name: "/a", Value: "x"})
				f := newFleet(t, hosts, map[string][]*engine.Resource{
					"a": one, "b": one, "bad": resources(&thing{Name: "/broken", Value: "x"}), "same": resources(&thing{Name: "/same", Value: "x"}),
				})
				f.Parallelism = 1 // a host that waits takes nobody's place
				list := []engine.Host{{Name: "a"}, {Name: "b"}, {Name: "bad"}, {Name: "same"}}
				plan := f.Plan(t.Context(), list)
				var failed []string
				result := f.ApplyWith(t.Context(), plan, engine.ApplyOptions{
					Ended: func(r *engine.HostResult) { failed = append(failed, r.Host) },
					Decide: func(_ context.Context, results []*engine.HostResult) error {
						if len(results) != 4 {
							t.Errorf("decided on %d results", len(results))
						}
						for _, name := range []string{"a", "b"} {
							if did := hosts[name].did(); strings.Contains(did, "commit") {
								t.Errorf("%s has committed before the decision: %s", name, did)
							}
						}
						time.Sleep(10 * time.Minute)
						return verdict
					},
				})
				want, undone := engine.Changed, false
				if verdict != nil {
					want, undone = engine.RolledBack, true
				}
				for i, outcome := range []engine.Outcome{want, want, engine.Failed, engine.Unchanged} {
					if h := result.Hosts[i]; h.Outcome() != outcome {
						t.Errorf("%s: %s (%v), want %s", h.Host, h.Outcome(), h.Err, outcome)
					}
				}
				for _, name := range []string{"a", "b"} {
					if _, there := hosts[name].file("/a"); there == undone {
						t.Errorf("%s: the file is there: %v; %s", name, there, hosts[name].did())
					}
				}
				if !slices.Equal(failed, []string{"bad"}) {
					t.Errorf("ended: %v", failed)
				}
			})
		})
	}
}

// TestApplyGroups: hosts of one group are never at work at once; what is not admitted is not begun.
func TestApplyGroups(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		hosts, wanted := map[string]*host{}, map[string][]*engine.Resource{}
		var list []engine.Host
		for i := range 9 {
			name := fmt.Sprintf("%c%d", "ab-"[i%3], i)
			hosts[name], wanted[name] = &host{}, resources(&thing{Name: "/a", Value: "x"})
			list = append(list, engine.Host{Name: name})
		}
		f := newFleet(t, hosts, wanted)
		group := func(name string) string { return strings.Trim(name[:1], "-") }
		busy, most := map[string]int{}, 0
		report := f.Report
		f.Report = func(p engine.Progress) {
			report(p)
			f.mu.Lock()
			defer f.mu.Unlock()
			switch p.Stage {
			case engine.StepStarted:
				busy[group(p.Host)]++
				if n := busy[group(p.Host)]; group(p.Host) != "" && n > 1 {
					t.Errorf("%d of group %s at once", n, group(p.Host))
				}
				all := 0
				for _, n := range busy {
					all += n
				}
				most = max(most, all)
			case engine.Applied:
				busy[group(p.Host)]--
			}
		}
		plan := f.Plan(t.Context(), list)
		result := f.ApplyWith(t.Context(), plan, engine.ApplyOptions{Group: group, Admit: func(name string) error {
			if name == "a6" {
				return errors.New("enough")
			}
			return nil
		}})
		for _, r := range result.Hosts {
			want := engine.Changed
			if r.Host == "a6" {
				want = engine.NotStarted
			}
			if r.Outcome() != want {
				t.Errorf("%s: %s, want %s", r.Host, r.Outcome(), want)
			}
		}
		if most < 2 {
			t.Errorf("at most %d hosts were at work at once", most)
		}
		if strings.Contains(hosts["a6"].did(), "write") {
			t.Errorf("a6: %s", hosts["a6"].did())
		}
	})
}

// TestBoundToStop: hosts are named as in TestRollout. One that fails or is down has no plan.
func TestBoundToStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		waves, off  string
		maxFailures int
		want        string // the wave, the hosts, and how many wait; "" if nothing stops it
	}{
		{waves: "c1 c2/u1"},
		{waves: "c1 d1/c2 c3", want: "0 [d1] 3"},
		{waves: "c1/c2 f1 d1/c3 c4", want: "1 [f1 d1] 3"},
		{waves: "c1 d1/c2", maxFailures: 1},
		{waves: "c1 d1/c2 f1/c3/f2", maxFailures: 1, want: "1 [d1 f1] 2"},
		{waves: "c1 d1/c2", off: "d1"},
		{waves: "c1 f1/c2", off: "f1", want: "0 [f1] 2"},
		{waves: "c1/u1 d1/u2"}, // nothing waits
	} {
		r := &engine.Rollout{MaxFailures: c.maxFailures, Off: map[string]bool{c.off: true}}
		p := &engine.Plan{}
		for w := range strings.SplitSeq(c.waves, "/") {
			r.Waves = append(r.Waves, engine.Wave{Hosts: strings.Fields(w)})
			for _, name := range strings.Fields(w) {
				h := &engine.HostPlan{Host: name}
				switch name[0] {
				case 'c':
					h.Changes = []engine.Change{{}, {}}
				case 'f':
					h.Problems = []*engine.ResourceProblem{{Problem: engine.Problem{Severity: engine.Error}}}
				case 'd':
					h.Err = absent{}
				}
				p.Hosts = append(p.Hosts, h)
			}
		}
		got := ""
		if s := r.BoundToStop(p); s != nil {
			got = fmt.Sprint(s.Wave, s.Failed, s.Waiting)
		}
		if got != c.want {
			t.Errorf("%s, %d may fail, %q was off: %q, want %q", c.waves, c.maxFailures, c.off, got, c.want)
		}
	}
}

// TestApproved: a Fleet that has an approved plan refuses hosts that differ from it, and does not reach those whose plan failed.
func TestApproved(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		hosts := map[string]*host{"same": {}, "edited": {}, "other": {}}
		wanted := map[string][]*engine.Resource{}
		for _, name := range []string{"same", "edited", "other", "down"} {
			wanted[name] = resources(&thing{Name: "/a", Value: "x"})
		}
		list := []engine.Host{{Name: "same"}, {Name: "edited"}, {Name: "other"}, {Name: "down"}}
		first := newFleet(t, hosts, wanted)
		first.Entry = engine.Look{}
		approved := first.Plan(t.Context(), list)
		first.Close()
		hosts["edited"].edit("/a", "by hand")
		hosts["other"].machine = strings.Repeat("9", 32)
		hosts["down"] = &host{}
		second := newFleet(t, hosts, wanted)
		plan := second.PlanAgain(t.Context(), approved, list)
		result := second.Apply(t.Context(), plan)
		for i, want := range []string{"", "h/thing./a has changed on the host since the plan was made", "another machine", "no route to host"} {
			if got := errorText(result.Hosts[i].Err); (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", list[i].Name, got, want)
			}
		}
		if outcome := result.Hosts[3].Outcome(); outcome != engine.Unreachable || hosts["down"].sessions > 0 {
			t.Errorf("down: %s, %d sessions", outcome, hosts["down"].sessions)
		}
		for _, name := range []string{"edited", "other"} {
			if did := hosts[name].did(); strings.Contains(did, "write") {
				t.Errorf("%s: %s", name, did)
			}
		}
	})
}
