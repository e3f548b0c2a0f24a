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
	// Last is set on the host whose resources are computed from the facts of the others: host local,
	// which has their mirrors.d files. It is planned and applied after them.
	Last bool
	// Here is set on a host that is this machine and is reached without SSH, as host local is.
	Here bool
}

// Fleet plans and applies on many hosts at once. Its sessions stay open from Plan to Close, so that
// Apply uses the connections of Plan.
type Fleet struct {
	// Connect opens a session with a host.
	Connect func(ctx context.Context, host string) (*Session, error)
	// Wanted returns all resources of a host. facts has the facts of that host; for a host with Last
	// set, of every host that was reached.
	Wanted func(host string, facts map[string]*wire.Facts) ([]*Resource, error)
	// LeftOut returns a function that reports whether a resource is declared although Wanted did not
	// return it: its values depend on an unreachable host. Such a resource is not an orphan. LeftOut
	// may be nil.
	LeftOut func(host string, facts map[string]*wire.Facts) func(address string) bool
	// Select returns the resources of a host that this run is about, out of all wanted ones and
	// orphans. nil selects all.
	Select func(t Target, all []*Resource) []*Resource
	// Adjust changes what is wanted for this run, where the run does not want what the configuration
	// says: destroy marks resources for removal. It may be nil.
	Adjust func(selected []*Resource) []*Resource
	// Replace contains the addresses of resources to remove and recreate.
	Replace []string
	// Approved is an earlier plan, made by another Fleet, that this one must match. A host whose new
	// plan differs, or whose approved plan failed, is not applied. nil: there is no such plan.
	Approved *Plan
	// Types are the resource types, needed to remove orphans. nil: orphans are not managed.
	Types *Registry
	// Moves are the renamed and released addresses of the configuration.
	Moves []Move
	// Configuration is the ID of the configuration. Resources that another configuration manages are
	// never removed. Empty: every entry of a manifest belongs to another one.
	Configuration string
	// Version is the version of mirrorform, for manifests.
	Version string
	// Lock makes Plan begin a transaction on each host. Apply needs it.
	Lock *Lock
	// Login returns the account that logs in to a host. ConfirmTimeout returns how long a host waits
	// for the confirmation of changes that may cut the connection. Both may be nil.
	Login          func(host string) string
	ConfirmTimeout func(host string) time.Duration
	// Parallelism is the largest number of hosts to process at once; 0 means unlimited.
	Parallelism int
	// Settle is how long after the last step a host may take to show the wanted state; 0 is 5 seconds.
	// After a reload, for example, old workers of nginx still answer for a moment.
	Settle time.Duration
	// Once means that no Apply follows: each connection closes when its host's plan is made, so that
	// at most Parallelism connections are open.
	Once bool
	// Brief drops HostPlan.Compared from plans, which is large for thousands of hosts.
	Brief bool
	// Report receives progress, from many goroutines at once. It may be nil.
	Report func(Progress)

	mu    sync.Mutex
	hosts map[string]*hostState // hosts that were reached: their facts for hosts with Last set, their connections for Close

	sealing sync.Once
	seals   *sealer
}

// hostState is a connection with a host, and what a plan learned over it. The plan passes it on to
// an apply.
type hostState struct {
	session  *Session
	facts    *wire.Facts // nil: the host was not reached
	target   Target
	ordered  []*Resource
	found    *HostPlan          // the last observation
	read     *Manifest          // the manifest on the host
	manifest *Manifest          // the same after Moves
	written  []byte             // the text of the manifest on the host
	absent   map[*Resource]bool // resources that did not exist before the apply
	first    map[*Resource]any  // the wanted states at that time, completed and settled
	later    map[*Resource]bool // resources that wait for the second transaction, see applier.split
	gone     []string           // addresses without the host that the next manifest drops
	id       string             // ID of the open transaction; empty: none
	touched  bool               // an operation was sent in it
}

// Stage is how far the work on a host is.
type Stage string

// The stages that Report receives. Each host begins with Connecting and ends with Planned or
// Unplanned. If it has changes to apply, it then ends with Applied or NotApplied, with step stages
// in between. Unplanned can follow Planned, if the host's machine turns out to be another host too.
const (
	Connecting   Stage = "connecting"
	Connected    Stage = "connected"
	Waiting      Stage = "waiting" // for the lock; Summary names its holder
	Begun        Stage = "begun"   // the host's lock is taken
	Noted        Stage = "noted"   // Summary describes something that the plan does not contain
	Observing    Stage = "observing"
	Planned      Stage = "planned"
	Unplanned    Stage = "unplanned"
	StepStarted  Stage = "step-started"
	StepDone     Stage = "step-done"
	StepFailed   Stage = "step-failed"
	StepUndone   Stage = "step-undone"
	UndoneFailed Stage = "undo-failed"
	Confirming   Stage = "confirming" // all steps are done; the host is observed again
	Committing   Stage = "committing"
	Held         Stage = "held" // everything but the commit is done; it waits for the rest of the wave
	Applied      Stage = "applied"
	NotApplied   Stage = "not-applied"
)

// Progress is an event on one host.
type Progress struct {
	Host        string
	Stage       Stage
	Address     string // the resource, with step stages
	Summary     string // the step, with step stages; a message with Waiting and Noted
	Done, Total int    // steps, during an apply
	Err         error  // with Unplanned, StepFailed, UndoneFailed and NotApplied
}

// group returns an errgroup that is limited to Parallelism.
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

// Close closes all sessions.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var closing errgroup.Group
	for _, h := range f.hosts {
		if h.session != nil {
			closing.Go(h.session.Close)
		}
	}
	_ = closing.Wait() // an error while closing does not matter
}

// unreachable is the error of a host that no session could be opened with.
type unreachable struct{ error }

// Unreachable marks the error for errors.As, see HostResult.Outcome.
func (unreachable) Unreachable() bool { return true }

func (e unreachable) Unwrap() error { return e.error }

// reach opens a session with a host. It closes the earlier session, if any.
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
		_ = earlier.session.Close() // it may hold the lock
	}
	return h, nil
}

// disconnect closes the connection with a host and keeps only the host's facts.
func (f *Fleet) disconnect(host string) {
	f.mu.Lock()
	h := f.hosts[host]
	if h != nil {
		f.hosts[host] = &hostState{facts: h.facts}
	}
	f.mu.Unlock()
	if h != nil && h.session != nil {
		_ = h.session.Close() // no answer is outstanding
	}
}

// abandon ends the transaction of a host whose plan failed, which frees the host's lock.
func (h *hostState) abandon() {
	if h != nil && h.id != "" {
		_ = h.session.Close()
		h.id = ""
	}
}

// observe asks the host about its resources and compares the answers.
func (h *hostState) observe(ctx context.Context) (*HostPlan, error) {
	got, err := h.session.Ask(ctx, Questions(h.target, h.ordered))
	if err != nil {
		return nil, err
	}
	h.found = Compare(h.target, h.ordered, got)
	return h.found, nil
}
