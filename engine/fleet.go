package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	hosts map[string]*hostState

	sealing sync.Once
	seals   *sealer
}

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

// reach opens a session with a host.
func (f *Fleet) reach(ctx context.Context, host string) error {
	f.report(Progress{Host: host, Stage: Connecting})
	session, err := f.Connect(ctx, host)
	if err != nil {
		return unreachable{err}
	}
	f.report(Progress{Host: host, Stage: Connected})
	h := f.state(host)
	f.mu.Lock()
	earlier := h.session
	facts := session.Facts
	h.session, h.target, h.facts = session, Target{Name: host, Facts: facts, Helper: session.Hello.SHA256}, &facts
	f.mu.Unlock()
	if earlier != nil {
		_ = earlier.Close() // it may have the lock
	}
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
	var last errgroup.Group
	var met machines
	group := f.group()
	one := func(i int, h Host, connected func()) error {
		approved := f.approved(h.Name)
		if approved != nil && approved.Failed() {
			connected()
			plan.Hosts[i] = approved
			f.report(Progress{Host: h.Name, Stage: Unplanned, Err: approved.failure()})
			return nil
		}
		err := f.reach(ctx, h.Name)
		connected()
		if err == nil {
			hello := f.state(h.Name).session.Hello
			err = met.meet(h, hello.Facts.MachineID, hello.Boot)
		}
		var hp *HostPlan
		if err == nil {
			err = guard(func() error { hp, err = f.planHost(ctx, h); return err })
		}
		if err == nil && h.Last {
			// It is the machine that this runs on, whichever that is: a plan that one of CI's runners saved is applied by another. What is found is compared.
			hp.MachineID = ""
		}
		if err == nil && approved != nil {
			err = approved.stale(hp)
		}
		if err != nil {
			hp = &HostPlan{Host: h.Name, Err: err}
		}
		plan.Hosts[i] = hp
		if f.Brief {
			hp.Compared = nil
		}
		f.abandon(h.Name, hp)
		switch {
		case errors.Is(err, errOneMachine): // reported with the other one, below
		case hp.Failed():
			f.report(Progress{Host: h.Name, Stage: Unplanned, Err: hp.failure()})
		default:
			f.report(Progress{Host: h.Name, Stage: Planned})
		}
		if f.Once {
			f.letGo(h.Name)
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
	for i, err := range met.refused(hosts) {
		plan.Hosts[i] = &HostPlan{Host: hosts[i].Name, Err: err}
		f.abandon(hosts[i].Name, plan.Hosts[i])
		f.report(Progress{Host: hosts[i].Name, Stage: Unplanned, Err: err})
	}
	return plan
}

// abandon ends the transaction of a host whose plan has failed: nothing will be done there, and
// others may have its lock.
func (f *Fleet) abandon(host string, hp *HostPlan) {
	if s := f.state(host); hp.Failed() && s.id != "" {
		_ = s.session.Close()
		s.id = ""
	}
}

// letGo ends the connection with a host, and keeps nothing of it but its facts.
func (f *Fleet) letGo(host string) {
	h := f.state(host)
	f.mu.Lock()
	session := h.session
	*h = hostState{target: h.target, facts: h.facts}
	f.mu.Unlock()
	if session != nil {
		_ = session.Close() // all that was asked has been answered
	}
}

func (f *Fleet) planHost(ctx context.Context, of Host) (*HostPlan, error) {
	host := of.Name
	h := f.state(host)
	notes, err := f.begin(ctx, h, host)
	if err != nil {
		return nil, err
	}
	f.report(Progress{Host: host, Stage: Observing})
	if h.session.Hello.Unread != "" {
		return nil, fmt.Errorf("%w: %q", ErrManifest, clip(h.session.Hello.Unread))
	}
	manifest, err := DecodeManifest(h.written, h.target.Facts.MachineID)
	if err != nil {
		return nil, err
	}
	facts := map[string]*wire.Facts{host: h.facts}
	if of.Last {
		facts = f.facts()
	}
	wanted, err := f.Wanted(host, facts)
	if err != nil {
		return nil, err
	}
	all := wanted
	h.read, h.manifest, h.gone, h.absent = manifest, manifest.upgraded(f.Types), nil, nil
	if f.Types != nil {
		var moved []string
		if h.manifest, moved, err = h.manifest.move(f.Moves, f.Configuration); err != nil {
			return nil, err
		}
		o, err := h.manifest.orphans(h.target, f.Types, f.Configuration, wanted, f.leftOut(host, facts))
		if err != nil {
			return nil, err
		}
		h.manifest.keepSecret(h.target, f.Types, wanted)
		all = append(slices.Clip(all), o.remove...)
		h.target.know(h.manifest, f.Types, f.Configuration)
		letGo := f.selected(h.target, o.letGo)
		for _, r := range letGo {
			h.gone = append(h.gone, Local(r.Address))
		}
		notes = append(append(notes, moved...), o.notes(letGo)...)
	}
	all = f.selected(h.target, all)
	all, kept := f.adjusted(h.target, all)
	notes = append(notes, kept...)
	f.hold(h, all)
	markSecrets(all)
	for _, r := range all {
		if prior := h.target.record(r); r.Kind.settles && prior != nil && !r.Orphan {
			r.declared, r.State = r.State, recall(r.State, prior.State)
		}
	}
	ordered, problems := Order(h.target, withoutStrangers(all))
	if len(problems) > 0 {
		return &HostPlan{Host: host, Problems: problems, Notes: notes}, nil
	}
	if err := f.markReplaced(host, ordered); err != nil {
		return nil, err
	}
	h.ordered = ordered
	hp, err := h.observe(ctx)
	if err == nil {
		hp.Facts = h.facts // not the session's, which would keep all of it
		hp.Notes = append(notes, hp.Notes...)
	}
	return hp, err
}

// markReplaced marks the resources of a host that are to be replaced.
func (f *Fleet) markReplaced(host string, list []*Resource) error {
	for _, address := range f.Replace {
		if HostOf(address) != host {
			continue
		}
		i := slices.IndexFunc(list, func(r *Resource) bool { return r.Address == address && !r.Remove })
		if i < 0 {
			return fmt.Errorf("%s is to be replaced, and is no resource of this host, or is not selected", address)
		}
		list[i].Replace = true
	}
	return nil
}

// approved is a host's plan as it was approved, or nil.
func (f *Fleet) approved(host string) *HostPlan {
	if f.Approved == nil {
		return nil
	}
	return f.Approved.ForHost(host)
}

// leftOut is LeftOut, evaluated when it is first asked: most hosts have nothing that is not wanted.
func (f *Fleet) leftOut(host string, facts map[string]*wire.Facts) func(address string) bool {
	if f.LeftOut == nil {
		return func(string) bool { return false }
	}
	leftOut := sync.OnceValue(func() func(string) bool { return f.LeftOut(host, facts) })
	return func(address string) bool { return leftOut()(address) }
}

func (f *Fleet) selected(t Target, list []*Resource) []*Resource {
	if f.Select == nil {
		return list
	}
	return f.Select(t, list)
}

// withoutStrangers drops the dependencies of resources to be removed on what is not there: it need not be removed after them.
func withoutStrangers(list []*Resource) []*Resource {
	there := map[string]bool{}
	for _, r := range list {
		there[r.Address] = r.Remove
	}
	for _, r := range list {
		if r.Remove {
			r.DependsOn = slices.DeleteFunc(r.DependsOn, func(a string) bool { return !there[a] })
		}
	}
	return list
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
