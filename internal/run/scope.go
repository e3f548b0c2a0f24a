package run

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
)

// Scope is a configuration with the hosts and resources that a Selection selects.
type Scope struct {
	Config *config.Config
	// Hosts are the selected hosts. Host local comes last.
	Hosts []engine.Host
	// LocalNamed is set if the selection names host local. Otherwise host local is only included with
	// other hosts.
	LocalNamed bool

	sources   Sources
	selection Selection
	declared  map[string]bool
	byName    map[string]*config.DeclaredHost // declared hosts, and host local if resources are managed there
	targets   targets
	observer  Observer
}

// NewScope loads a configuration and selects hosts.
func NewScope(sources Sources, selection Selection, w Observer) (*Scope, error) {
	c, err := Load(sources, w)
	if err != nil {
		return nil, err
	}
	declared := declaredHosts(c, sources.Dir)
	s := &Scope{
		Config: c, sources: sources, selection: selection, declared: map[string]bool{}, byName: hostsByName(declared), observer: w,
		targets: targets{list: selection.Target, found: map[string]bool{}},
	}
	for _, h := range c.Hosts() {
		s.declared[h.Name] = true
	}
	s.Hosts, s.LocalNamed, err = selection.hosts(declared, sources.Dir)
	return s, err
}

// Host returns the block of a declared host. For a host local that only has a manifest, the block
// is empty.
func (s *Scope) Host(name string) *config.DeclaredHost { return s.byName[name] }

// Declares reports whether the configuration declares a host, or resources on host local.
func (s *Scope) Declares(host string) bool { return s.declared[host] }

// Names returns the names of hosts.
func Names(hosts []engine.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// Problems are the configuration's problems with hosts' resources. Many goroutines add to them at
// once.
type Problems struct {
	mu   sync.Mutex
	list []config.HostDiagnostics
}

func (p *Problems) add(d config.HostDiagnostics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, d)
}

// Report reports problems to the observer.
func (s *Scope) Report(p *Problems) {
	s.observer.Diagnostics(s.Config.Together(p.list), s.Config.Files())
}

// Wanted returns the resources of a host. It adds the configuration's problems with them to
// problems.
func (s *Scope) Wanted(host string, facts map[string]*wire.Facts, problems *Problems) ([]*engine.Resource, error) {
	if host == "local" && !s.declared[host] {
		return nil, nil // it is only in its manifest
	}
	list, diags := s.Config.Resources(host, facts)
	problems.add(config.HostDiagnostics{Host: host, Diagnostics: diags})
	if diags.HasErrors() {
		return nil, errors.New("its configuration has errors")
	}
	return list, nil
}

// choose returns the selected resources.
func (s *Scope) choose(target engine.Target, list []*engine.Resource) []*engine.Resource {
	if target.Name == "local" {
		list = s.chooseLocal(list)
	}
	s.targets.met(list)
	return engine.Select(target, list, s.selection.Target)
}

// chooseLocal returns the resources of host local that --limit and --shard select. A resource that
// belongs to a host, such as a mirrors.d file, has that host as its key, and is selected with it.
// Other resources are selected if --limit names local; without --limit, by the shard of the name
// local.
func (s *Scope) chooseLocal(list []*engine.Resource) []*engine.Resource {
	if !s.selection.Narrows() || s.LocalNamed {
		return list
	}
	selected := map[string]bool{}
	for _, h := range s.Hosts {
		selected[h.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(res *engine.Resource) bool {
		owner := res.Address.Key
		if s.Declares(owner) {
			return !selected[owner]
		}
		return len(s.selection.Limit) > 0 || !s.selection.Shard.has("local")
	})
}

// checkSelection rejects a --target or --replace whose host is not selected, before any connection.
// Whether the resource exists is known only when the host is observed: it may be an orphan.
func (s *Scope) checkSelection() error {
	selected := func(host string) bool {
		return slices.ContainsFunc(s.Hosts, func(h engine.Host) bool { return h.Name == host })
	}
	for _, t := range s.selection.Target {
		host := engine.HostOf(t)
		switch {
		case selected(host):
		case s.Declares(host):
			return fmt.Errorf("--target %q: --limit or --shard excludes host %s", t, host)
		default:
			return noAddress(t, s.Config.Addresses())
		}
	}
	for _, address := range s.selection.Replace {
		if host := engine.HostOf(address); !selected(host) {
			return fmt.Errorf("--replace %s: host %q is not in the configuration, or is not selected", address, host)
		}
	}
	return nil
}
