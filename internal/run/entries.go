package run

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/internal/publish"
)

// NeedFacts returns the hosts whose entries depend on their facts.
func (s *Scope) NeedFacts() []engine.Host {
	needed := s.Config.LocalNeedsFacts()
	return slices.DeleteFunc(slices.Clone(s.Hosts), func(h engine.Host) bool { return !slices.Contains(needed, h.Name) })
}

// Entries returns the entries of the mirrors on the hosts. It leaves out entries that depend on
// missing facts.
func (s *Scope) Entries(facts map[string]*wire.Facts) ([]publish.Entry, error) {
	if !slices.ContainsFunc(s.Hosts, func(h engine.Host) bool { return h.Last }) {
		return nil, nil // no mirror writes a file on host local
	}
	var problems Problems
	list, err := s.Wanted("local", facts, &problems)
	s.Report(&problems)
	if err != nil {
		return nil, ErrReported
	}
	var found []publish.Entry
	for _, res := range s.choose(engine.Target{Name: "local"}, list) {
		if e, ok := res.Data.(*mirror.Entry); ok {
			found = append(found, publish.Entry{Address: res.Address.String(), Host: e.Host, Hub: e.Hub, File: e.File})
		}
	}
	return found, nil
}

// Publishable returns the mirrors' entries from the configuration. It connects only to hosts whose
// entries depend on their facts.
func (s *Scope) Publishable(ctx context.Context, access Access, parallelism int) ([]publish.Entry, error) {
	return s.publishable(func(hosts []engine.Host) (map[string]*wire.Facts, error) {
		c, err := newConnector(s, access)
		if err != nil {
			return nil, err
		}
		defer c.close()
		return c.readFacts(ctx, hosts, parallelism)
	})
}

// Publishable returns the mirrors' entries from the configuration. It connects only to hosts whose
// entries depend on their facts.
func (r *Run) Publishable(ctx context.Context) ([]publish.Entry, error) {
	return r.publishable(func(hosts []engine.Host) (map[string]*wire.Facts, error) {
		return r.connector.readFacts(ctx, hosts, r.Options.Parallelism)
	})
}

func (s *Scope) publishable(readFacts func([]engine.Host) (map[string]*wire.Facts, error)) ([]publish.Entry, error) {
	var facts map[string]*wire.Facts
	if hosts := s.NeedFacts(); len(hosts) > 0 {
		var err error
		if facts, err = readFacts(hosts); err != nil {
			return nil, err
		}
	}
	list, err := s.Entries(facts)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, e := range list {
		key := strings.ToLower(e.File.Name)
		if other := names[key]; other != "" {
			return nil, fmt.Errorf("%s and %s both publish a mirror named %s; set a different publish.name for "+
				"one of them", other, e.Address, e.File.Name)
		}
		names[key] = e.Address
	}
	return list, nil
}

// readFacts connects to hosts and returns their facts.
func (c *connector) readFacts(ctx context.Context, hosts []engine.Host, parallelism int) (map[string]*wire.Facts, error) {
	fleet := engine.NewFleet(c, parallelism, engine.Ledger{})
	plan := engine.NewPlanner(fleet, nothing{}, engine.Look{Brief: true}, engine.Unreported).Plan(ctx, hosts)
	facts := map[string]*wire.Facts{}
	for _, h := range plan.Hosts {
		if h.Err != nil {
			return nil, fmt.Errorf("the entry of host %s needs its facts: %w", h.Host, h.Err)
		}
		facts[h.Host] = h.Facts
	}
	return facts, nil
}

// nothing is the engine.Intent of a run that only needs facts.
type nothing struct{}

// Wanted implements engine.Intent.
func (nothing) Wanted(string, map[string]*wire.Facts) ([]*engine.Resource, error) { return nil, nil }

// LeftOut implements engine.Intent.
func (nothing) LeftOut(string, map[string]*wire.Facts) func(engine.Address) bool {
	return func(engine.Address) bool { return false }
}

// Select implements engine.Intent.
func (nothing) Select(_ engine.Target, all []*engine.Resource) []*engine.Resource { return all }

// Adjust implements engine.Intent.
func (nothing) Adjust(selected []*engine.Resource) []*engine.Resource { return selected }

// Replaced implements engine.Intent.
func (nothing) Replaced() []string { return nil }
