package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sync/errgroup"
)

// Plan connects to all hosts, observes them and compares. The HostPlan of a host that fails
// contains the error; the others continue.
func (f *Fleet) Plan(ctx context.Context, hosts []Host) *Plan {
	plan := &Plan{Hosts: make([]*HostPlan, len(hosts))}
	var reached sync.WaitGroup // hosts without Last
	for _, h := range hosts {
		if !h.Last {
			reached.Add(1)
		}
	}
	var last errgroup.Group
	var met machines
	group := f.group()
	for i, h := range hosts {
		if h.Last {
			// Outside the limit: it waits for the others, and must not occupy one of their slots.
			last.Go(func() error {
				plan.Hosts[i] = (&planner{Fleet: f, of: h, met: &met}).plan(ctx, reached.Wait)
				return nil
			})
		}
	}
	for i, h := range hosts {
		if !h.Last {
			group.Go(func() error {
				plan.Hosts[i] = (&planner{Fleet: f, of: h, met: &met}).plan(ctx, reached.Done)
				return nil
			})
		}
	}
	_, _ = group.Wait(), last.Wait()
	for i, err := range met.refused(hosts) {
		plan.Hosts[i].host.abandon()
		plan.Hosts[i] = &HostPlan{Host: hosts[i].Name, Err: err}
		f.report(Progress{Host: hosts[i].Name, Stage: Unplanned, Err: err})
	}
	return plan
}

// planner makes the plan of one host. The plan contains all that an apply needs.
type planner struct {
	*Fleet
	of  Host
	met *machines
	h   *hostState // nil until the host is reached
}

// plan makes the plan and reports how it ended. It calls connected when the host is reached or
// unreachable.
func (p *planner) plan(ctx context.Context, connected func()) *HostPlan {
	host := p.of.Name
	approved := p.approved()
	if approved != nil && approved.Failed() {
		connected()
		p.report(Progress{Host: host, Stage: Unplanned, Err: approved.failure()})
		return approved
	}
	hp, err := p.reachAndCompare(ctx, connected)
	if err == nil && approved != nil {
		err = approved.stale(hp)
	}
	if err != nil {
		hp = &HostPlan{Host: host, Err: err}
	}
	if p.Brief {
		hp.Compared = nil
	}
	if hp.Failed() {
		p.h.abandon()
	}
	switch {
	case errors.Is(err, errOneMachine): // Fleet.Plan reports it together with the other host
	case hp.Failed():
		p.report(Progress{Host: host, Stage: Unplanned, Err: hp.failure()})
	default:
		p.report(Progress{Host: host, Stage: Planned})
	}
	if p.Once {
		p.disconnect(host)
	} else {
		hp.host = p.h
	}
	return hp
}

// approved returns the host's approved plan, or nil.
func (p *planner) approved() *HostPlan {
	if p.Approved == nil {
		return nil
	}
	return p.Approved.ForHost(p.of.Name)
}

func (p *planner) reachAndCompare(ctx context.Context, connected func()) (hp *HostPlan, err error) {
	p.h, err = p.reach(ctx, p.of.Name)
	connected()
	if err != nil {
		return nil, err
	}
	hello := p.h.session.Hello
	if err := p.met.meet(p.of, hello.Facts.MachineID, hello.Boot); err != nil {
		return nil, err
	}
	err = guard(func() error { hp, err = p.compare(ctx); return err })
	if err == nil && p.of.Last {
		// Host local is the machine that mirrorform runs on, which may be another one at the apply (CI
		// runners). So the machine-id is not compared, only what is found.
		hp.MachineID = ""
	}
	return hp, err
}

// compare determines what is wanted on the host, observes it, and compares.
func (p *planner) compare(ctx context.Context) (*HostPlan, error) {
	h := p.h
	notes, err := p.begin(ctx, h, p.of.Name)
	if err != nil {
		return nil, err
	}
	p.report(Progress{Host: p.of.Name, Stage: Observing})
	if h.session.Hello.Unread != "" {
		return nil, fmt.Errorf("%w: %q", ErrManifest, clip(h.session.Hello.Unread))
	}
	if h.read, err = DecodeManifest(h.written, h.target.Facts.MachineID); err != nil {
		return nil, err
	}
	facts := map[string]*wire.Facts{p.of.Name: h.facts}
	if p.of.Last {
		facts = p.facts()
	}
	all, err := p.Wanted(p.of.Name, facts)
	if err != nil {
		return nil, err
	}
	h.manifest = h.read.upgraded(p.Types)
	if p.Types != nil {
		var more []string
		if all, more, err = p.withOrphans(all, facts); err != nil {
			return nil, err
		}
		notes = append(notes, more...)
	}
	all, kept := p.chosen(all)
	notes = append(notes, kept...)
	ordered, problems := Order(h.target, withoutStrangers(all))
	if len(problems) > 0 {
		return &HostPlan{Host: p.of.Name, Problems: problems, Notes: notes}, nil
	}
	if err := p.markReplaced(ordered); err != nil {
		return nil, err
	}
	h.ordered = ordered
	h.target.want(ordered)
	hp, err := h.observe(ctx)
	if err == nil {
		hp.Facts = h.facts // not the session's field, which would keep the whole session alive
		hp.Notes = append(notes, hp.Notes...)
	}
	return hp, err
}

// withOrphans adds the orphans of the manifest to the wanted resources and passes the manifest to
// the target. The notes list what is released and what has moved.
func (p *planner) withOrphans(wanted []*Resource, facts map[string]*wire.Facts) (all []*Resource, notes []string, err error) {
	h := p.h
	if h.manifest, notes, err = h.manifest.move(p.Moves, p.Configuration); err != nil {
		return nil, nil, err
	}
	o, err := h.manifest.orphans(h.target, p.Types, p.Configuration, wanted, p.leftOut(facts))
	if err != nil {
		return nil, nil, err
	}
	h.manifest.keepSecret(h.target, p.Types, wanted)
	h.target.know(h.manifest, p.Types, p.Configuration)
	released := p.selected(o.released)
	for _, r := range released {
		h.gone = append(h.gone, Local(r.Address))
	}
	return append(slices.Clip(wanted), o.remove...), append(notes, o.notes(released)...), nil
}

// chosen returns the selected resources, in the state that this run wants.
func (p *planner) chosen(all []*Resource) (chosen []*Resource, notes []string) {
	all, notes = p.adjusted(p.selected(all))
	p.hold(all)
	markSecrets(all)
	for _, r := range all {
		if prior := p.h.target.record(r); r.Kind.settles && prior != nil && !r.Orphan {
			r.declared, r.State = r.State, recall(r.State, prior.State)
		}
	}
	return all, notes
}

func (p *planner) selected(list []*Resource) []*Resource {
	if p.Select == nil {
		return list
	}
	return p.Select(p.h.target, list)
}

// leftOut calls LeftOut on first use: most hosts have no orphans and never need it.
func (p *planner) leftOut(facts map[string]*wire.Facts) func(address string) bool {
	if p.LeftOut == nil {
		return func(string) bool { return false }
	}
	leftOut := sync.OnceValue(func() func(string) bool { return p.LeftOut(p.of.Name, facts) })
	return func(address string) bool { return leftOut()(address) }
}

// markReplaced marks the resources that --replace names.
func (p *planner) markReplaced(list []*Resource) error {
	for _, address := range p.Replace {
		if HostOf(address) != p.of.Name {
			continue
		}
		i := slices.IndexFunc(list, func(r *Resource) bool { return slices.Contains(r.Owners(), address) && !r.Remove })
		if i < 0 {
			return fmt.Errorf("%s cannot be replaced: it is not a resource of this host, or is not selected", address)
		}
		list[i].Replace = true
	}
	return nil
}

// withoutStrangers drops dependencies of resources to remove if the dependency does not exist or
// stays: the order then does not matter.
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
