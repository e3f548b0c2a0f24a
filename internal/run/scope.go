package run

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
)

// Scope is what a command is about: a configuration, and of it the hosts and resources that a
// Selection means.
type Scope struct {
	Config *config.Config
	// Hosts are those that are selected; host local comes last.
	Hosts []engine.Host
	// LocalNamed says that the selection names host local, which otherwise only goes along with
	// others.
	LocalNamed bool

	sources   Sources
	selection Selection
	declared  map[string]bool
	byName    map[string]*config.Host // those that are declared, and host local if something is managed there
	targets   targets
	observer  Observer
}

// NewScope loads a configuration and selects.
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

// Host is the block of a selected host, or of any other that is declared; for a host local that
// only its manifest tells of, an empty one.
func (s *Scope) Host(name string) *config.Host { return s.byName[name] }

// Declares tells whether the configuration says anything of a host.
func (s *Scope) Declares(host string) bool { return s.declared[host] }

// Names are the names of hosts.
func Names(hosts []engine.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// Problems are what the configuration has against hosts' resources. They are found by many
// goroutines at once.
type Problems struct {
	mu   sync.Mutex
	list []config.HostDiagnostics
}

func (p *Problems) add(d config.HostDiagnostics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, d)
}

// Tell has the observer hear of problems.
func (s *Scope) Tell(p *Problems) {
	s.observer.Diagnostics(s.Config.Together(p.list), s.Config.Files())
}

// Wanted returns a host's resources; what the configuration has against them is added to problems.
func (s *Scope) Wanted(host string, facts map[string]*wire.Facts, problems *Problems) ([]*engine.Resource, error) {
	if host == "local" && !s.declared[host] {
		return nil, nil // only its manifest tells of it
	}
	list, diags := s.Config.Resources(host, facts)
	problems.add(config.HostDiagnostics{Host: host, Diagnostics: diags})
	if diags.HasErrors() {
		return nil, errors.New("its configuration has errors")
	}
	return list, nil
}

// leftOut tells what of host local is only not known now: a mirror's file there is made from its
// host's facts.
func (s *Scope) leftOut(host string, facts map[string]*wire.Facts) func(string) bool {
	if host != "local" {
		return func(string) bool { return false }
	}
	return s.Config.LeftOut(facts)
}

// choose leaves the resources that are selected.
func (s *Scope) choose(target engine.Target, list []*engine.Resource) []*engine.Resource {
	if target.Name == "local" {
		list = s.chooseLocal(list)
	}
	s.targets.met(list)
	return engine.Select(target, list, s.selection.Target)
}

// chooseLocal leaves those resources of host local that --limit and --shard mean. What belongs to a
// host, as mirrors.d files do, goes with that host. The rest goes with the name local: it is meant
// where --limit names it, or where there is none by that name's shard.
func (s *Scope) chooseLocal(list []*engine.Resource) []*engine.Resource {
	if !s.selection.Narrows() || s.LocalNamed {
		return list
	}
	selected := map[string]bool{}
	for _, h := range s.Hosts {
		selected[h.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(res *engine.Resource) bool {
		owner := ownerOnLocal(res.Address)
		if s.Declares(owner) {
			return !selected[owner]
		}
		return len(s.selection.Limit) > 0 || !s.selection.Shard.has("local")
	})
}

// ownerOnLocal is the key at the end of an address, local/mirror.almalinux.publish["fra1"], which
// for what belongs to a host is that host's name; or "".
func ownerOnLocal(address string) string {
	i := strings.LastIndex(address, `["`)
	if i < 0 || !strings.HasSuffix(address, "]") {
		return ""
	}
	name, err := strconv.Unquote(address[i+1 : len(address)-1])
	if err != nil {
		return ""
	}
	return name
}

// checkSelection refuses a --target or --replace whose host is not selected, before any host is
// reached. Whether there is such a resource is known when its host was observed: it may be one that
// is only managed there.
func (s *Scope) checkSelection() error {
	selected := func(host string) bool {
		return slices.ContainsFunc(s.Hosts, func(h engine.Host) bool { return h.Name == host })
	}
	for _, t := range s.selection.Target {
		host := engine.HostOf(t)
		switch {
		case selected(host):
		case s.Declares(host):
			return fmt.Errorf("--target %q: --limit or --shard leaves host %s out", t, host)
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
