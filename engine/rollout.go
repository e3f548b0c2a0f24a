package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Wave is a part of a rollout: hosts that are applied together.
type Wave struct {
	Title string // from the configuration: "wave=canary", "25%"
	Hosts []string
	// Last is set for host local, whose resources are computed from the facts of all others. No pause
	// precedes it and no gate follows it.
	Last bool
}

// Rollout runs an apply wave by wave.
type Rollout struct {
	Waves []Wave
	// MaxFailures is how many hosts may fail or be unreachable. One more stops the rollout.
	MaxFailures int
	// Off are hosts that the last apply could not reach. They do not count if that is still so.
	Off map[string]bool
	// RollBack makes the hosts of a wave wait for each other before they commit, so that a wave that
	// stops the rollout is rolled back as a whole.
	RollBack bool
	// Pause is the time between two waves.
	Pause time.Duration
	// Group returns the group of a host: hosts of one group are applied one at a time. "" means none.
	// Group may be nil.
	Group func(host string) string
	// After is as in ApplyOptions. Waves come first: a host does not wait for one of a later wave.
	After func(host string) []string
}

// WaveDriver performs what a Rollout decides.
type WaveDriver interface {
	// Apply applies a wave and returns a result for each of its hosts.
	Apply(ctx context.Context, wave int, o ApplyOptions) []*HostResult
	// Gate returns why the rollout must not continue after a wave, or nil.
	Gate(ctx context.Context, wave int, results []*HostResult) error
	// Pause waits before a wave. It returns early when the context ends.
	Pause(ctx context.Context, wave int, d time.Duration)
	// Ended receives the results of a wave.
	Ended(wave int, results []*HostResult)
}

// ApplyOptions are the options of Applier.Apply.
type ApplyOptions struct {
	// Admit is called just before a host starts. An error keeps the host from starting and becomes the
	// reason in its result. nil admits all.
	Admit func(host string) error
	// Ended receives each host that failed, one at a time. It may be nil.
	Ended func(*HostResult)
	// Group returns the group of a host: hosts of one group are applied one at a time. "" means none.
	// nil: no host is in a group.
	Group func(host string) string
	// Decide, if set, makes all hosts wait before they commit. It receives the results so far. If it
	// returns an error, the waiting hosts are rolled back too.
	Decide func(ctx context.Context, results []*HostResult) error
	// After returns the hosts that a host depends on. It starts after those of them that the plan has.
	// If one of them is not as wanted then, a host with changes is skipped, see DependencyError. nil:
	// no host depends on another.
	After func(host string) []string
	// Before has the results of the hosts that the same run has applied earlier.
	Before []*HostResult
}

// ErrInterrupted is the error of a rollout that was interrupted.
var ErrInterrupted = errors.New("interrupted")

// Run runs the waves in order. When ctx ends, hosts that have started finish, and no others start.
func (r *Rollout) Run(ctx context.Context, d WaveDriver) *Result {
	result := &Result{}
	var stopped error
	changed := false // by the previous wave
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

// wave runs one wave. before has the results of earlier waves.
func (r *Rollout) wave(ctx context.Context, d WaveDriver, n int, before []*HostResult) (results []*HostResult, stopped error) {
	failures := r.failures(before)
	rolledBack := error(nil)
	o := ApplyOptions{
		Group: r.Group, After: r.After, Before: before,
		Admit: func(host string) error {
			if err := UntilDone(ctx)(host); err != nil {
				return err
			}
			return r.exceeded(failures)
		},
		Ended: func(h *HostResult) { failures += r.failures([]*HostResult{h}) },
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
	switch stopped = r.exceeded(r.failures(before) + r.failures(results)); {
	case rolledBack != nil:
		return results, rolledBack
	case stopped != nil:
	case ctx.Err() != nil:
		stopped = ErrInterrupted
	case o.Decide == nil && !wave.Last && slices.ContainsFunc(results, isChanged):
		stopped = gateError(n, d.Gate(ctx, n, results))
	}
	if stopped != nil && n == len(r.Waves)-1 && !slices.ContainsFunc(results, isNotStarted) && !errors.As(stopped, new(*GateError)) {
		stopped = nil // all hosts had started: nothing to stop
	}
	return results, stopped
}

// UntilDone admits hosts until ctx ends.
func UntilDone(ctx context.Context) func(host string) error {
	return func(string) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		return nil
	}
}

// exceeded returns an error if there are too many failures.
func (r *Rollout) exceeded(failures int) error {
	if failures <= r.MaxFailures {
		return nil
	}
	what := "hosts failed or were unreachable"
	if failures == 1 {
		what = "host failed or was unreachable"
	}
	return fmt.Errorf("%d %s, more than max_failures = %d", failures, what, r.MaxFailures)
}

// GateError is the error of a gate that failed.
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

// failures counts the hosts that failed or were unreachable, without those that were off before.
func (r *Rollout) failures(results []*HostResult) int {
	n := 0
	for _, h := range results {
		if o := h.Outcome(); o == Failed || o == Unreachable && !r.Off[h.Host] {
			n++
		}
	}
	return n
}

// Stop is a rollout that cannot come to its end: too many hosts have no plan.
type Stop struct {
	Wave int // counted from 0
	// Failed are the hosts without a plan, up to and in this wave.
	Failed []string
	// Waiting is how many hosts with changes may not start, or are rolled back.
	Waiting int
}

// BoundToStop returns how the rollout of a plan is bound to stop, or nil.
func (r *Rollout) BoundToStop(p *Plan) *Stop {
	s := &Stop{Wave: -1}
	for n, wave := range r.Waves {
		waiting := 0
		for _, host := range wave.Hosts {
			switch h := p.ForHost(host); {
			case h == nil:
			case !h.Failed():
				waiting += min(len(h.Changes), 1)
			case s.Wave < 0 && r.failures([]*HostResult{{Host: host, State: Untouched, Err: h.failure()}}) > 0:
				s.Failed = append(s.Failed, host)
			}
		}
		if s.Wave < 0 && len(s.Failed) > r.MaxFailures {
			s.Wave = n
		}
		if s.Wave >= 0 {
			s.Waiting += waiting
		}
	}
	if s.Wave < 0 || s.Waiting == 0 {
		return nil
	}
	return s
}

func isChanged(h *HostResult) bool    { return len(h.Done) > 0 }
func isNotStarted(h *HostResult) bool { return h.Outcome() == NotStarted }

// NotStartedResults returns the results of hosts that do not start.
func NotStartedResults(hosts []string, why error) []*HostResult {
	list := make([]*HostResult, len(hosts))
	for i, h := range hosts {
		list[i] = &HostResult{Host: h, State: Untouched, Err: fmt.Errorf("%w: %w", ErrNotStarted, why)}
	}
	return list
}
