package engine

import (
	"context"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sync/errgroup"
)

// Host is one host of a run.
type Host struct {
	Name string
	// Last says that what is wanted here is made from the facts of the others (host local holds their mirrors.d files).
	Last bool
	// Here says that it is the machine that this runs on, as host local is, and reached without
	// SSH.
	Here bool
}

// Fleet plans and applies on many hosts at once. Its sessions stay open from Plan to Close, so that Apply needs no new ones.
type Fleet struct {
	// Connect opens a session with a host.
	Connect func(ctx context.Context, host string) (*Session, error)
	// Wanted returns a host's resources, all of them, given its facts, and for one that is Last those of all hosts that were reached.
	Wanted func(host string, facts map[string]*wire.Facts) ([]*Resource, error)
	// LeftOut returns what tells whether a resource that Wanted did not return is still declared, and only not known now, since another host was not
	// reached. It may be nil.
	LeftOut func(host string, facts map[string]*wire.Facts) func(address string) bool
	// Select returns those of a host's resources that this run is about. What is managed and no longer wanted is among them. nil selects all.
	Select func(t Target, all []*Resource) []*Resource
	// Adjust changes what is wanted, where a run wants something else than the configuration says: it may mark resources for removal. It may be nil.
	Adjust func(selected []*Resource) []*Resource
	// Replace names resources that are removed and made anew, by their addresses.
	Replace []string
	// Approved is the plan that this Fleet's is to be the same as, where it was made earlier by another: a host that differs from it, or whose plan in
	// it failed, cannot be applied. nil: none was.
	Approved *Plan
	// Types are the resource types, for what is managed and no longer wanted. nil leaves that alone.
	Types *Registry
	// Moves say what became of resources that are no longer wanted under their old addresses.
	Moves []Move
	// Configuration is the ID of the configuration: resources that another one manages are not removed. Empty: none is.
	Configuration string
	// Version is this mirrorform's, for manifests.
	Version string
	// Lock makes Plan begin a transaction on each host; Apply needs it.
	Lock *Lock
	// Login is the account that a host is logged in to; ConfirmTimeout is how long a host waits for the confirmation of changes that can
	// cut it off. Both may be nil.
	Login          func(host string) string
	ConfirmTimeout func(host string) time.Duration
	// Parallelism is the largest number of hosts to work on at once; 0 sets no limit.
	Parallelism int
	// Settle is how long a host may take until what was done shows; 0 is 5 seconds. nginx, for one, answers with old workers for a moment after a
	// reload.
	Settle time.Duration
	// Once says that Plan is all there is to do: each connection ends with its host's plan, so that no more are open than hosts are worked on at once.
	Once bool
	// Brief says that a plan need not tell what was compared (HostPlan.Compared) and found as wanted: thousands of hosts have much of that.
	Brief bool
	// Report is told what happens, by many goroutines at once. It may be nil.
	Report func(Progress)

	mu    sync.Mutex
	hosts map[string]*hostState // what was reached: facts for those that are Last, connections for Close

	sealing sync.Once
	seals   *sealer
}

// hostState is a connection with a host, and what a plan has found out over it. The plan has it for
// an apply.
type hostState struct {
	session  *Session
	facts    *wire.Facts // nil: the host was not reached
	target   Target
	ordered  []*Resource
	found    *HostPlan          // of the last observation
	read     *Manifest          // as it is on the host
	manifest *Manifest          // the same after Moves
	written  []byte             // its text, as it is on the host
	absent   map[*Resource]bool // what was not there before the apply
	first    map[*Resource]any  // what was wanted then, completed and settled
	gone     []string           // addresses without the host that the next manifest leaves out
	id       string             // of the transaction; empty: none is open
	touched  bool               // operations were ordered in it
}

// Stage says how far a host is.
type Stage string

// The stages that Report hears of. Each host begins with Connecting and ends with Planned or Unplanned, then again, when it has something to
// apply, with Applied or NotApplied. Step stages come in between. A host can be Unplanned after it
// was Planned: when its machine turns out to be another host, too.
const (
	Connecting   Stage = "connecting"
	Connected    Stage = "connected"
	Waiting      Stage = "waiting" // for the lock; Summary says who has it
	Begun        Stage = "begun"   // the host's lock was taken
	Noted        Stage = "noted"   // Summary says what happened that nobody planned
	Observing    Stage = "observing"
	Planned      Stage = "planned"
	Unplanned    Stage = "unplanned"
	StepStarted  Stage = "step-started"
	StepDone     Stage = "step-done"
	StepFailed   Stage = "step-failed"
	StepUndone   Stage = "step-undone"
	UndoneFailed Stage = "undo-failed"
	Confirming   Stage = "confirming" // all steps were done; the host is observed again
	Committing   Stage = "committing"
	Held         Stage = "held" // all is done but the commit, which waits for the rest of the wave
	Applied      Stage = "applied"
	NotApplied   Stage = "not-applied"
)

// Progress tells of one host.
type Progress struct {
	Host        string
	Stage       Stage
	Address     string // of the resource, with step stages
	Summary     string // of the step, with step stages; what there is to say, with Waiting and Noted
	Done, Total int    // steps, while applying
	Err         error  // with Unplanned, StepFailed, UndoneFailed and NotApplied
}

// group is for work on as many hosts at once as Parallelism allows.
func (f *Fleet) group() *errgroup.Group {
	group := new(errgroup.Group)
	if f.Parallelism > 0 {
		group.SetLimit(f.Parallelism)
	}
	return group
}

func (f *Fleet) report(p Progress) {
	if f.Report != nil {
		f.Report(p)
	}
}

func (f *Fleet) facts() map[string]*wire.Facts {
	f.mu.Lock()
	defer f.mu.Unlock()
	facts := map[string]*wire.Facts{}
	if f.Approved != nil {
		for _, hp := range f.Approved.Hosts {
			if hp.Facts != nil {
				facts[hp.Host] = hp.Facts
			}
		}
	}
	for name, h := range f.hosts {
		if h.facts != nil {
			facts[name] = h.facts
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

// reach opens a session with a host. One that there was ends.
func (f *Fleet) reach(ctx context.Context, host string) (*hostState, error) {
	f.report(Progress{Host: host, Stage: Connecting})
	session, err := f.Connect(ctx, host)
	if err != nil {
		return nil, unreachable{err}
	}
	f.report(Progress{Host: host, Stage: Connected})
	facts := session.Facts
	h := &hostState{session: session, target: Target{Name: host, Facts: facts, Helper: session.Hello.SHA256}, facts: &facts}
	f.mu.Lock()
	earlier := f.hosts[host]
	if f.hosts == nil {
		f.hosts = map[string]*hostState{}
	}
	f.hosts[host] = h
	f.mu.Unlock()
	if earlier != nil && earlier.session != nil {
		_ = earlier.session.Close() // it may have the lock
	}
	return h, nil
}

// letGo ends the connection with a host, and keeps nothing of it but its facts.
func (f *Fleet) letGo(host string) {
	f.mu.Lock()
	h := f.hosts[host]
	if h != nil {
		f.hosts[host] = &hostState{facts: h.facts}
	}
	f.mu.Unlock()
	if h != nil && h.session != nil {
		_ = h.session.Close() // all that was asked has been answered
	}
}

// abandon ends the transaction of a host whose plan has failed: nothing will be done there, and
// others may have its lock.
func (h *hostState) abandon() {
	if h != nil && h.id != "" {
		_ = h.session.Close()
		h.id = ""
	}
}

// observe asks about the host's resources and compares.
func (h *hostState) observe(ctx context.Context) (*HostPlan, error) {
	got, err := h.session.Ask(ctx, Questions(h.target, h.ordered))
	if err != nil {
		return nil, err
	}
	h.found = Compare(h.target, h.ordered, got)
	return h.found, nil
}
