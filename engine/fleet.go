package engine

import (
	"context"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/internal/wire"
	"golang.org/x/sync/errgroup"
)

// Host is one host of a run.
type Host struct {
	Name string
	// Last says that what is wanted here is made from the facts of the others (host local holds their mirrors.d files).
	Last bool
}

// Fleet plans and applies on many hosts at once. Its sessions stay open from Plan to Close, so that Apply needs no new ones.
type Fleet struct {
	// Connect opens a session with a host.
	Connect func(ctx context.Context, host string) (*Session, error)
	// Wanted returns a host's resources, given the facts of the hosts that were reached.
	Wanted func(host string, facts map[string]*wire.Facts) ([]*Resource, error)
	// Parallelism is the largest number of hosts to work on at once; 0 sets no limit.
	Parallelism int
	// Settle is how long a host may take until what was done shows; 0 is 5 seconds. nginx, for one, answers with old workers for a moment after a
	// reload.
	Settle time.Duration
	// Report is told what happens, by many goroutines at once. It may be nil.
	Report func(Progress)

	mu    sync.Mutex
	hosts map[string]*hostState
}

type hostState struct {
	session *Session
	target  Target
	ordered []*Resource
}

// Stage says how far a host is.
type Stage string

// The stages that Report hears of. Each host begins with Connecting and ends with Planned or Unplanned, then again, when it has something to
// apply, with Applied or NotApplied. Step stages come in between.
const (
	Connecting   Stage = "connecting"
	Observing    Stage = "observing"
	Planned      Stage = "planned"
	Unplanned    Stage = "unplanned"
	StepStarted  Stage = "step-started"
	StepDone     Stage = "step-done"
	StepFailed   Stage = "step-failed"
	StepUndone   Stage = "step-undone"
	UndoneFailed Stage = "undo-failed"
	Confirming   Stage = "confirming"
	Applied      Stage = "applied"
	NotApplied   Stage = "not-applied"
)

// Progress tells of one host.
type Progress struct {
	Host        string
	Stage       Stage
	Address     string // of the resource, with step stages
	Summary     string // of the step, with step stages
	Done, Total int    // steps, while applying
	Err         error  // with Unplanned, StepFailed, UndoneFailed and NotApplied
}

func (f *Fleet) report(p Progress) {
	if f.Report != nil {
		f.Report(p)
	}
}

func (f *Fleet) state(host string) *hostState {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hosts == nil {
		f.hosts = map[string]*hostState{}
	}
	if f.hosts[host] == nil {
		f.hosts[host] = &hostState{}
	}
	return f.hosts[host]
}

func (f *Fleet) facts() map[string]*wire.Facts {
	f.mu.Lock()
	defer f.mu.Unlock()
	facts := map[string]*wire.Facts{}
	for name, h := range f.hosts {
		if h.session != nil {
			facts[name] = &h.session.Facts
		}
	}
	return facts
}

// Close ends all sessions.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var closing errgroup.Group
	for _, h := range f.hosts {
		if h.session != nil {
			closing.Go(h.session.Close)
		}
	}
	_ = closing.Wait() // a connection that breaks while it is closed is closed
}

// unreachable is the error of a host with which no session could be opened.
type unreachable struct{ error }

// Unreachable tells this error from those of hosts that were reached.
func (unreachable) Unreachable() bool { return true }

func (e unreachable) Unwrap() error { return e.error }

// reach opens a session with a host.
func (f *Fleet) reach(ctx context.Context, host string) error {
	f.report(Progress{Host: host, Stage: Connecting})
	session, err := f.Connect(ctx, host)
	if err != nil {
		return unreachable{err}
	}
	h := f.state(host)
	f.mu.Lock()
	h.session, h.target = session, Target{host, session.Facts}
	f.mu.Unlock()
	return nil
}

// Plan connects to all hosts, observes them and compares. A host that cannot be reached or read has its error in its HostPlan; the others go on.
func (f *Fleet) Plan(ctx context.Context, hosts []Host) *Plan {
	plan := &Plan{Hosts: make([]*HostPlan, len(hosts))}
	var reached sync.WaitGroup // hosts that are not Last
	for _, h := range hosts {
		if !h.Last {
			reached.Add(1)
		}
	}
	var group, last errgroup.Group
	if f.Parallelism > 0 {
		group.SetLimit(f.Parallelism)
	}
	one := func(i int, h Host, connected func()) error {
		err := f.reach(ctx, h.Name)
		connected()
		var hp *HostPlan
		if err == nil {
			hp, err = f.planHost(ctx, h.Name)
		}
		if err != nil {
			hp = &HostPlan{Host: h.Name, Err: err}
		}
		plan.Hosts[i] = hp
		if hp.Failed() {
			f.report(Progress{Host: h.Name, Stage: Unplanned, Err: hp.Err})
		} else {
			f.report(Progress{Host: h.Name, Stage: Planned})
		}
		return nil
	}
	for i, h := range hosts {
		if h.Last {
			// Outside the limit: it waits for the others, and must not take one of their places.
			last.Go(func() error { return one(i, h, reached.Wait) })
		}
	}
	for i, h := range hosts {
		if !h.Last {
			group.Go(func() error { return one(i, h, reached.Done) })
		}
	}
	_, _ = group.Wait(), last.Wait()
	return plan
}

func (f *Fleet) planHost(ctx context.Context, host string) (*HostPlan, error) {
	h := f.state(host)
	f.report(Progress{Host: host, Stage: Observing})
	wanted, err := f.Wanted(host, f.facts())
	if err != nil {
		return nil, err
	}
	ordered, problems := Order(h.target, wanted)
	if len(problems) > 0 {
		return &HostPlan{Host: host, Problems: problems}, nil
	}
	h.ordered = ordered
	return h.observe(ctx)
}

// observe asks about the host's resources and compares.
func (h *hostState) observe(ctx context.Context) (*HostPlan, error) {
	got, err := h.session.Ask(ctx, Questions(h.target, h.ordered))
	if err != nil {
		return nil, err
	}
	return Compare(h.target, h.ordered, got), nil
}
