package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Wave is a part of a rollout: hosts that are applied to together.
type Wave struct {
	Title string // as the configuration says it: "wave=canary", "25%"
	Hosts []string
	// Last says that it holds what is made from the facts of all others (host local): nothing is waited for before it or looked at after it.
	Last bool
}

// Rollout says how an apply goes through its waves, one after the other.
type Rollout struct {
	Waves []Wave
	// MaxFailures is how many hosts may fail or not be reached; with one more the rollout stops.
	MaxFailures int
	// RollBack has the hosts of a wave wait for each other before they commit, so that the wave in which the rollout stops is taken back as a whole.
	RollBack bool
	// Pause is waited for between two waves.
	Pause time.Duration
	// Group tells which hosts are never at work at once: those of one group. "" is none. It may be nil.
	Group func(host string) string
}

// WaveDriver does what a Rollout decides.
type WaveDriver interface {
	// Apply applies to the hosts of a wave and returns a result for each.
	Apply(ctx context.Context, wave int, o ApplyOptions) []*HostResult
	// Gate tells why the rollout must not go on after a wave, or nil.
	Gate(ctx context.Context, wave int, results []*HostResult) error
	// Pause waits before a wave. It returns early when the context ends.
	Pause(ctx context.Context, wave int, d time.Duration)
	// Ended is told of a wave's results.
	Ended(wave int, results []*HostResult)
}

// ApplyOptions are what a wave is applied with.
type ApplyOptions struct {
	// Admit is asked just before a host is begun. With an error, which says why, the host is not started. nil admits all.
	Admit func(host string) error
	// Ended is told of each host that has failed, one after the other. It may be nil.
	Ended func(*HostResult)
	// Group tells which hosts are never at work at once: those of one group. "" is none. nil: no host is in a group.
	Group func(host string) string
	// Decide, where it is not nil, has all hosts wait before they commit. It gets the results so far; with an error those hosts that wait are taken
	// back as well.
	Decide func(ctx context.Context, results []*HostResult) error
}

// ErrInterrupted says that a rollout was told to stop.
var ErrInterrupted = errors.New("interrupted")

// Run goes through the waves. When ctx ends, what was begun is finished and nothing more is started.
func (r *Rollout) Run(ctx context.Context, d WaveDriver) *Result {
	result := &Result{}
	var stopped error
	changed := false // by the wave before
	for n, wave := range r.Waves {
		if stopped == nil && changed && !wave.Last && r.Pause > 0 {
			d.Pause(ctx, n, r.Pause)
		}
		if stopped == nil && ctx.Err() != nil {
			stopped = ErrInterrupted
		}
		if stopped != nil {
			result.Hosts = append(result.Hosts, NotStartedResults(wave.Hosts, stopped)...)
			continue
		}
		var results []*HostResult
		results, stopped = r.wave(ctx, d, n, result.Hosts)
		d.Ended(n, results)
		result.Hosts = append(result.Hosts, results...)
		changed = slices.ContainsFunc(results, isChanged)
	}
	result.Stopped = stopped
	return result
}

// wave goes through one wave; before are the results of those before it.
func (r *Rollout) wave(ctx context.Context, d WaveDriver, n int, before []*HostResult) (results []*HostResult, stopped error) {
	failures := Failures(before)
	rolledBack := error(nil)
	o := ApplyOptions{
		Group: r.Group,
		Admit: func(host string) error {
			if err := UntilDone(ctx)(host); err != nil {
				return err
			}
			return r.exceeded(failures)
		},
		Ended: func(h *HostResult) { failures += Failures([]*HostResult{h}) },
	}
	wave := r.Waves[n]
	if r.RollBack && !wave.Last {
		o.Decide = func(ctx context.Context, results []*HostResult) error {
			if rolledBack = r.exceeded(failures); rolledBack == nil && slices.ContainsFunc(results, isChanged) {
				rolledBack = gateError(n, d.Gate(ctx, n, results))
			}
			return rolledBack
		}
	}
	results = d.Apply(ctx, n, o)
	switch stopped = r.exceeded(Failures(before) + Failures(results)); {
	case rolledBack != nil:
		return results, rolledBack
	case stopped != nil:
	case ctx.Err() != nil:
		stopped = ErrInterrupted
	case o.Decide == nil && !wave.Last && slices.ContainsFunc(results, isChanged):
		stopped = gateError(n, d.Gate(ctx, n, results))
	}
	if stopped != nil && n == len(r.Waves)-1 && !slices.ContainsFunc(results, isNotStarted) && !errors.As(stopped, new(*GateError)) {
		stopped = nil // nothing was left to stop
	}
	return results, stopped
}

// UntilDone admits hosts until a context ends.
func UntilDone(ctx context.Context) func(host string) error {
	return func(string) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		return nil
	}
}

// exceeded is an error when that many failures are too many.
func (r *Rollout) exceeded(failures int) error {
	if failures <= r.MaxFailures {
		return nil
	}
	hosts, are := "hosts", "were"
	if failures == 1 {
		hosts, are = "host", "was"
	}
	return fmt.Errorf("%d %s failed or %s not reached, and max_failures is %d", failures, hosts, are, r.MaxFailures)
}

// GateError says that a gate did not let a rollout pass.
type GateError struct {
	Wave int // from 0
	Err  error
}

func (e *GateError) Error() string { return fmt.Sprintf("the gate after wave %d: %v", e.Wave+1, e.Err) }

func (e *GateError) Unwrap() error { return e.Err }

func gateError(wave int, err error) error {
	if err == nil {
		return nil
	}
	return &GateError{wave, err}
}

// Failures counts the hosts that failed or were not reached.
func Failures(results []*HostResult) int {
	n := 0
	for _, h := range results {
		if o := h.Outcome(); o == Failed || o == Unreachable {
			n++
		}
	}
	return n
}

func isChanged(h *HostResult) bool    { return len(h.Done) > 0 }
func isNotStarted(h *HostResult) bool { return h.Outcome() == NotStarted }

// NotStartedResults are the results of hosts that are not begun with.
func NotStartedResults(hosts []string, why error) []*HostResult {
	list := make([]*HostResult, len(hosts))
	for i, h := range hosts {
		list[i] = &HostResult{Host: h, State: Untouched, Err: fmt.Errorf("%w: %w", ErrNotStarted, why)}
	}
	return list
}

// queue hands out the hosts of a wave in their order, those of a group one at a time.
type queue struct {
	waiting []int // indexes
	group   func(i int) string
	busy    map[string]bool
}

// next takes the first host that may begin, or returns -1.
func (q *queue) next() int {
	for n, i := range q.waiting {
		g := q.group(i)
		if g != "" && q.busy[g] {
			continue
		}
		q.waiting = slices.Delete(q.waiting, n, n+1)
		if g != "" {
			q.busy[g] = true
		}
		return i
	}
	return -1
}

// done says that a host is at work no more.
func (q *queue) done(i int) { delete(q.busy, q.group(i)) }
