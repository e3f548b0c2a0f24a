package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sync/errgroup"
)

// Planner makes plans of hosts. It keeps nothing of them.
type Planner struct {
	fleet  *Fleet
	intent Intent
	entry  Entry
	report Report
}

// NewPlanner returns a Planner that enters hosts by a Look or a Lock.
func NewPlanner(f *Fleet, i Intent, e Entry, r Report) *Planner {
	return &Planner{fleet: f, intent: i, entry: e, report: r}
}

// Plan connects to all hosts, observes them and compares. The HostPlan of a host that fails
// contains the error; the others continue. The caller must close the plan.
func (p *Planner) Plan(ctx context.Context, hosts []Host) *Plan {
	return p.PlanAgain(ctx, &Plan{}, hosts)
}

// PlanAgain is Plan for hosts that have an approved plan. The plan of a host that differs from it
// fails, and so does that of a host whose approved plan failed.
func (p *Planner) PlanAgain(ctx context.Context, approved *Plan, hosts []Host) *Plan {
	plan := &Plan{Hosts: make([]*HostPlan, len(hosts)), fleet: *p.fleet, hosts: hosts}
	met := newMeeting(approved)
	var reached sync.WaitGroup // hosts without Last
	for _, h := range hosts {
		if !h.Last {
			reached.Add(1)
		}
	}
	one := func(i int, connected func()) error {
		h := &hostPlanner{Planner: p, of: hosts[i], approved: approved.ForHost(hosts[i].Name), met: met}
		plan.Hosts[i] = h.plan(ctx, connected)
		return nil
	}
	var last errgroup.Group
	group := p.fleet.group()
	for i, h := range hosts {
		if h.Last {
			// Outside the limit: it waits for the others, and must not occupy one of their slots.
			last.Go(func() error { return one(i, reached.Wait) })
		}
	}
	for i, h := range hosts {
		if !h.Last {
			group.Go(func() error { return one(i, reached.Done) })
		}
	}
	_, _ = group.Wait(), last.Wait()
	for i, err := range met.refused(hosts) {
		plan.Hosts[i].visit.close()
		plan.Hosts[i] = &HostPlan{Host: hosts[i].Name, Err: err}
		p.report(Progress{Host: hosts[i].Name, Stage: Unplanned, Err: err})
	}
	return plan
}

// meeting has what the hosts of one plan learn from each other.
type meeting struct {
	machines

	mu    sync.Mutex
	facts map[string]*wire.Facts // of hosts that were reached, now or for the approved plan
}

func newMeeting(approved *Plan) *meeting {
	m := &meeting{facts: map[string]*wire.Facts{}}
	for _, hp := range approved.Hosts {
		if hp.Facts != nil {
			m.facts[hp.Host] = hp.Facts
		}
	}
	return m
}

// learn records the facts of a host that was reached.
func (m *meeting) learn(host string, facts *wire.Facts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.facts[host] = facts
}

// known returns the facts of all hosts that were reached so far.
func (m *meeting) known() map[string]*wire.Facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.facts)
}

// hostPlanner makes the plan of one host.
type hostPlanner struct {
	*Planner
	of       Host
	approved *HostPlan // nil if the host has none
	met      *meeting
	visit    *visit // nil until the host is reached
}

// ledger returns what the planner needs for the host's manifest.
func (p *hostPlanner) ledger() *Ledger { return &p.fleet.ledger }

// plan makes the plan and reports how it ended. It calls connected when the host is reached or
// unreachable.
func (p *hostPlanner) plan(ctx context.Context, connected func()) *HostPlan {
	host := p.of.Name
	if p.approved != nil && p.approved.Failed() {
		connected()
		p.report(Progress{Host: host, Stage: Unplanned, Err: p.approved.failure()})
		return p.approved
	}
	hp, err := p.reachAndCompare(ctx, connected)
	if err == nil && p.approved != nil {
		err = p.approved.stale(hp)
	}
	if err != nil {
		hp = &HostPlan{Host: host, Err: err}
	}
	p.entry.leave(hp, p.visit)
	switch {
	case errors.Is(err, errOneMachine): // PlanAgain reports it together with the other host
	case hp.Failed():
		p.report(Progress{Host: host, Stage: Unplanned, Err: hp.failure()})
	default:
		p.report(Progress{Host: host, Stage: Planned})
	}
	return hp
}

func (p *hostPlanner) reachAndCompare(ctx context.Context, connected func()) (hp *HostPlan, err error) {
	if p.visit, err = p.fleet.reach(ctx, p.of.Name, p.report); err == nil {
		p.met.learn(p.of.Name, p.visit.session.Hello.Facts)
	}
	connected()
	if err != nil {
		return nil, err
	}
	hello := p.visit.session.Hello
	if err := p.met.meet(p.of, hello.Facts.MachineID, hello.Boot); err != nil {
		return nil, err
	}
	err = guard(func() error { hp, err = p.compare(ctx); return err })
	if err == nil && p.of.Last {
		// Host local is the machine that mirrorform runs on, which may be another one at the apply (CI
		// runners). So the machine-id is not compared, only what is found.
		hp.MachineID, hp.last = "", true
	}
	return hp, err
}

// compare determines what is wanted on the host, observes it, and compares.
func (p *hostPlanner) compare(ctx context.Context) (*HostPlan, error) {
	v := p.visit
	notes, err := p.entry.enter(ctx, v, p.report)
	if err != nil {
		return nil, err
	}
	p.report(Progress{Host: p.of.Name, Stage: Observing})
	if v.read, err = v.decode(); err != nil {
		return nil, err
	}
	facts := map[string]*wire.Facts{p.of.Name: v.session.Hello.Facts}
	if p.of.Last {
		facts = p.met.known()
	}
	all, err := p.intent.Wanted(p.of.Name, facts)
	if err != nil {
		return nil, err
	}
	all, more, err := p.withOrphans(all, facts)
	if err != nil {
		return nil, err
	}
	all, kept := p.chosen(all)
	notes = append(append(notes, more...), kept...)
	ordered, problems := Order(v.target, withoutStrangers(all))
	if len(problems) > 0 {
		return &HostPlan{Host: p.of.Name, Problems: problems, Notes: notes}, nil
	}
	if err := p.markReplaced(ordered); err != nil {
		return nil, err
	}
	v.ordered = ordered
	v.target.want(ordered)
	hp, err := v.observe(ctx)
	if err == nil {
		hp.Facts = v.session.Hello.Facts
		hp.Notes = append(notes, hp.Notes...)
	}
	return hp, err
}

// withOrphans adds the orphans of the manifest to the wanted resources and passes the manifest to
// the target. The notes list what is released and what has moved.
func (p *hostPlanner) withOrphans(wanted []*Resource, facts map[string]*wire.Facts) (all []*Resource, notes []string, err error) {
	v, l := p.visit, p.ledger()
	if v.manifest, notes, err = v.read.upgraded(l.Types).move(l.Moves, l.Configuration); err != nil {
		return nil, nil, err
	}
	o, err := v.manifest.orphans(v.target, l.Types, l.Configuration, wanted, p.leftOut(facts))
	if err != nil {
		return nil, nil, err
	}
	v.manifest.keepSecret(v.target, l.Types, wanted)
	v.target.know(v.manifest, l.Types, l.Configuration)
	released := p.selected(o.released)
	for _, r := range released {
		v.gone = append(v.gone, r.Address.Local())
	}
	return append(slices.Clip(wanted), o.remove...), append(notes, o.notes(released)...), nil
}

// chosen returns the selected resources, in the state that this run wants.
func (p *hostPlanner) chosen(all []*Resource) (chosen []*Resource, notes []string) {
	all, notes = p.adjusted(p.selected(all))
	p.hold(all)
	markSecrets(all)
	for _, r := range all {
		if prior := p.visit.target.record(r); r.Kind.settles && prior != nil && !r.Orphan {
			r.declared, r.State = r.State, recall(r.State, prior.State)
		}
	}
	return all, notes
}

func (p *hostPlanner) selected(list []*Resource) []*Resource {
	return p.intent.Select(p.visit.target, list)
}

// leftOut calls Intent.LeftOut on first use: most hosts have no orphans and never need it.
func (p *hostPlanner) leftOut(facts map[string]*wire.Facts) func(Address) bool {
	leftOut := sync.OnceValue(func() func(Address) bool { return p.intent.LeftOut(p.of.Name, facts) })
	return func(a Address) bool { return leftOut()(a) }
}

// markReplaced marks the resources that --replace names.
func (p *hostPlanner) markReplaced(list []*Resource) error {
	for _, text := range p.intent.Replaced() {
		address, _ := ParseAddress(text)
		if address.Host != p.of.Name {
			continue
		}
		i := slices.IndexFunc(list, func(r *Resource) bool { return slices.Contains(r.Owners(), address) && !r.Remove })
		if i < 0 {
			return fmt.Errorf("%s cannot be replaced: it is not a resource of this host, or is not selected", text)
		}
		list[i].Replace = true
	}
	return nil
}

// withoutStrangers drops dependencies of resources to remove if the dependency does not exist or
// stays: the order then does not matter.
func withoutStrangers(list []*Resource) []*Resource {
	leaves := map[Address]bool{}
	for _, r := range list {
		leaves[r.Address] = leaves[r.Address] || r.Remove
	}
	for _, r := range list {
		if r.Remove {
			r.DependsOn = slices.DeleteFunc(r.DependsOn, func(a Address) bool { return !leaves[a] })
		}
	}
	return list
}
