package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// Resources returns the wanted resources of a host, in the order of the configuration. facts holds
// the facts of the hosts that were reached. It does not repeat warnings of Load.
//
// Host local has the local parts of all mirrors. Parts that need unknown facts are left out with a
// warning. On any other host, a resource that needs unknown facts is an error.
//
// A false precondition is an error; the resource is still returned if its state is known. Failed
// asserts of checks with this host are warnings.
func (c *Config) Resources(host string, facts map[string]*wire.Facts) ([]*engine.Resource, hcl.Diagnostics) {
	if c.failed {
		return nil, hcl.Diagnostics{lang.ErrorNowhere("Configuration has errors",
			"Its resources are not known. Run `mirrorform validate` to see the errors.")}
	}
	h, unknown := c.inventory.find(host)
	if unknown != nil {
		return nil, hcl.Diagnostics{unknown}
	}
	w := c.wanting(facts)
	w.host(h)
	for _, name := range lang.SortedKeys(c.declared.checks) {
		w.diags = append(w.diags, c.declared.checks[name].run(c.eval, c.global, h, facts[host])...)
	}
	return w.resources, lang.Tidy(slices.DeleteFunc(w.diags, func(d *hcl.Diagnostic) bool {
		return d.Severity == hcl.DiagWarning && c.warned[warningOf(d)]
	}))
}

// Declared returns the wanted resources of a host that are known without facts, in the order of the
// configuration. pending has the addresses of the other resources and mirrors, which need facts.
func (c *Config) Declared(host string) (resources []*engine.Resource, pending []string, diags hcl.Diagnostics) {
	if c.failed {
		return nil, nil, hcl.Diagnostics{lang.ErrorNowhere("Configuration has errors",
			"Its resources are not known. Run `mirrorform validate` to see the errors.")}
	}
	h, unknown := c.inventory.find(host)
	if unknown != nil {
		return nil, nil, hcl.Diagnostics{unknown}
	}
	w := c.dry(h)
	slices.Sort(w.pending)
	return w.resources, slices.Compact(w.pending), nil
}

// wanting returns a collector of the wanted resources with these facts.
func (c *Config) wanting(facts map[string]*wire.Facts) *wanting {
	return &wanting{bodies: c.bodies, blocks: c.declared.blocks, facts: facts, made: map[*instance][]*engine.Resource{}}
}

// dry collects the wanted resources of a host that are known without facts.
func (c *Config) dry(h *DeclaredHost) *wanting {
	w := c.wanting(nil)
	w.dry = true
	w.host(h)
	w.dropAbsent()
	return w
}

// LeftOut returns a function that reports whether Resources leaves out an address on host local
// with these facts, because the parts of a mirror for some host are not known. Such a resource is
// still declared, so an apply must not remove it.
func (c *Config) LeftOut(facts map[string]*wire.Facts) func(engine.Address) bool {
	w := c.wanting(facts)
	if h := c.inventory.byName[localHost]; h != nil && !c.failed {
		w.host(h)
	}
	return func(a engine.Address) bool {
		return slices.ContainsFunc(w.leftOut, func(is func(engine.Address) bool) bool { return is(a) })
	}
}

// LocalNeedsFacts returns the names of the hosts whose facts decide which parts mirrors have on
// host local, in the order of the configuration. Without these facts, Resources leaves the parts
// out.
func (c *Config) LocalNeedsFacts() []string {
	var names []string
	for _, b := range c.declared.blocks {
		if !b.localParts {
			continue
		}
		for _, i := range b.instances {
			for _, h := range i.hosts {
				if d := i.decoded[h.Name]; d != nil && len(d.unknown) > 0 && !slices.Contains(names, h.Name) {
					names = append(names, h.Name)
				}
			}
		}
	}
	return names
}

// exclusive is the Data of a part that only one host of the configuration can have.
type exclusive interface {
	// Exclusive returns what it is, and what to do if two hosts have it.
	Exclusive() (what, advice string)
}

// checkTogether checks the resources of each host together: it reports two resources for one thing,
// and resources that depend on each other in a cycle. It also reports what two hosts have and only
// one can have.
func (c *Config) checkTogether() hcl.Diagnostics {
	var found []HostDiagnostics
	first := map[string]string{} // by what is exclusive: its host
	for _, h := range c.inventory.list {
		resources := c.dry(h).resources
		_, problems := engine.Order(engine.Target{Name: h.Name}, resources)
		for _, r := range resources {
			e, ok := r.Data.(exclusive)
			if !ok {
				continue
			}
			what, advice := e.Exclusive()
			if first[what] == "" {
				first[what] = h.Name
			} else if first[what] != h.Name {
				p := engine.Errorf("", "host %s has %s, and so has host %s", h.Name, what, first[what])
				p.Detail = advice
				problems = append(problems, &engine.ResourceProblem{Resource: r, Problem: p})
			}
		}
		if len(problems) > 0 {
			found = append(found, HostDiagnostics{h.Name, c.Problems(problems)})
		}
	}
	return c.Together(found)
}

// Addresses returns all declared addresses in the order of the configuration. For a composite these
// are its address and those of its parts that are known without facts.
func (c *Config) Addresses() []string {
	var list []string
	for _, b := range c.declared.blocks {
		for _, i := range b.instances {
			for _, h := range i.hosts {
				list = append(list, i.address(h.Name).String())
				for _, p := range i.parts[h.Name] {
					list = append(list, i.part(c.declared.registry, h, p).Address.String())
				}
			}
		}
	}
	return list
}
