package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/engine"
)

// waveDriver is the engine.WaveDriver of a run.
type waveDriver struct {
	*Run
	approved *engine.Plan
	byName   map[string]engine.Host
}

// performWaves applies a plan wave by wave.
func (r *Run) performWaves(ctx context.Context, plan *engine.Plan, hosts []engine.Host) *engine.Result {
	d := &waveDriver{Run: r, approved: plan, byName: map[string]engine.Host{}}
	for _, h := range hosts {
		d.byName[h.Name] = h
	}
	r.recordOutcomes(allWith(hosts, engine.NotStarted))
	quiet := context.AfterFunc(ctx, func() {
		r.observer.Note("Interrupted: hosts that have started will finish, and no others will start. " +
			"A second interrupt ends mirrorform at once; each host then finishes its current step and rolls back.")
	})
	defer quiet()
	result := r.rollout.Run(ctx, d)
	r.observer.Applied(result)
	return result
}

// waveHosts returns the hosts of a wave.
func (d *waveDriver) waveHosts(wave int) []engine.Host {
	var list []engine.Host
	for _, name := range d.rollout.Waves[wave].Hosts {
		list = append(list, d.byName[name])
	}
	return list
}

// Apply plans a wave under the locks of its hosts, compares it with the approved plan, and applies
// it.
func (d *waveDriver) Apply(ctx context.Context, wave int, o engine.ApplyOptions) []*engine.HostResult {
	w := d.rollout.Waves[wave]
	hosts := d.waveHosts(wave)
	if slices.ContainsFunc(w.Hosts, func(name string) bool { return len(d.approved.ForHost(name).Changes) > 0 }) {
		d.observer.Wave(wave+1, d.rollout.count(), w)
	}
	d.recordOutcomes(allWith(hosts, outcomeUnknown))
	report, end := d.observer.Progress(w.Hosts)
	problems := &Problems{} // they were already reported with the approved plan
	plan := d.newPlanner(d.Aim(), problems, report).PlanAgain(ctx, d.approved, hosts)
	defer plan.Close()
	end()
	if ctx.Err() != nil {
		return engine.NotStartedResults(w.Hosts, engine.ErrInterrupted)
	}
	report, end = d.observer.Progress(changing(plan))
	defer end()
	// After a signal, hosts that have started still finish: a complete apply is better than half of
	// one. A second signal ends the program.
	return engine.NewApplier(plan, report).Apply(context.WithoutCancel(ctx), o).Hosts
}

// Ended adds the outcomes of a wave to the record of the last run, in case mirrorform is killed in
// a later wave.
func (d *waveDriver) Ended(_ int, results []*engine.HostResult) {
	d.recordOutcomes(outcomesOf(results))
}

// Pause waits, and notes until when.
func (d *waveDriver) Pause(ctx context.Context, wave int, pause time.Duration) {
	d.observer.Note(fmt.Sprintf("Pausing for %v before %s, until %s.", pause, d.rollout.title(wave), time.Now().Add(pause).Format(time.TimeOnly)))
	Sleep(ctx, pause)
}

// Gate runs the configuration's gate on the hosts of a wave that are as wanted.
func (d *waveDriver) Gate(ctx context.Context, wave int, results []*engine.HostResult) error {
	g := d.rollout.gate
	if g == nil {
		return nil
	}
	begin := time.Now()
	name := d.rollout.title(wave)
	d.observer.Note(fmt.Sprintf("The gate after %s: %s.", name, describeGate(g)))
	ctx, cancel := context.WithTimeoutCause(ctx, g.Timeout, fmt.Errorf("it did not finish within %v", g.Timeout))
	defer cancel()
	var hosts []string
	for _, r := range results {
		if r.Err == nil {
			hosts = append(hosts, r.Host)
		}
	}
	var err error
	if len(g.Command) > 0 {
		err = d.gateCommand(ctx, wave, hosts)
	}
	if err == nil && g.Verify {
		err = d.gateVerify(ctx, hosts)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		return err
	}
	d.observer.Note(fmt.Sprintf("The gate after %s passed (%v).", name, time.Since(begin).Round(time.Second)))
	return nil
}

// changing returns the hosts that a plan changes.
func changing(plan *engine.Plan) []string {
	var names []string
	for _, h := range plan.Hosts {
		if len(h.Changes) > 0 && !h.Failed() {
			names = append(names, h.Host)
		}
	}
	return names
}
