package run

import (
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Aim is the purpose of a plan. Scope.Aim returns that of the configuration; commands change what
// differs from it.
type Aim struct {
	// Hosts are the hosts to plan.
	Hosts []engine.Host
	// Select returns the resources of a host to plan.
	Select func(t engine.Target, all []*engine.Resource) []*engine.Resource
	// Adjust changes what is wanted.
	Adjust func(selected []*engine.Resource) []*engine.Resource
	// Check returns an error about the resources of a host.
	Check func(host string, all []*engine.Resource) error
	// Brief means that a plan without an apply needs no unchanged resources, see engine.Look.
	Brief bool
}

// Aim returns the aim of a plan that wants what the configuration says, of all that is selected.
func (s *Scope) Aim() Aim {
	return Aim{
		Hosts:  s.Hosts,
		Select: s.choose,
		Adjust: func(selected []*engine.Resource) []*engine.Resource { return selected },
		Check:  func(string, []*engine.Resource) error { return nil },
	}
}

// intent is the engine.Intent of an aim. It adds the configuration's problems with hosts' resources
// to problems.
type intent struct {
	*Scope
	aim      Aim
	problems *Problems
}

// Wanted implements engine.Intent.
func (i intent) Wanted(host string, facts map[string]*wire.Facts) ([]*engine.Resource, error) {
	list, err := i.Scope.Wanted(host, facts, i.problems)
	if err == nil {
		err = i.aim.Check(host, list)
	}
	return list, err
}

// LeftOut implements engine.Intent. On host local, a mirror's file depends on the facts of the
// mirror's host, which may be unreachable.
func (i intent) LeftOut(host string, facts map[string]*wire.Facts) func(engine.Address) bool {
	if host != "local" {
		return func(engine.Address) bool { return false }
	}
	return i.Config.LeftOut(facts)
}

// Select implements engine.Intent.
func (i intent) Select(t engine.Target, all []*engine.Resource) []*engine.Resource {
	return i.aim.Select(t, all)
}

// Adjust implements engine.Intent.
func (i intent) Adjust(selected []*engine.Resource) []*engine.Resource { return i.aim.Adjust(selected) }

// Replaced implements engine.Intent.
func (i intent) Replaced() []string { return i.selection.Replace }
