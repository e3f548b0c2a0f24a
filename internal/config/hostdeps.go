package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// hostReferences are the references to hosts in the body of a block: arguments with the tag
// hosts:"true", which get the names of the hosts.
type hostReferences struct {
	unknown []hclsyntax.Expression // those without a value
}

// convert returns the function that the decoder calls for each argument.
func (r *hostReferences) convert(
	inv *inventory,
) func(hclsyntax.Expression, *lang.Field, cty.Value) (cty.Value, string) {
	return func(expr hclsyntax.Expression, f *lang.Field, v cty.Value) (cty.Value, string) {
		switch {
		case !f.Tag("hosts"):
			return v, ""
		case v.IsNull():
			return cty.NullVal(cty.List(cty.String)), ""
		}
		in := &placing{inventory: inv, wanted: "a host or a list of hosts, as in host.NAME", seen: map[string]bool{}}
		if why := in.collect(v); why != "" {
			return v, lang.WithSentence(why, f.Hint())
		}
		names := cty.ListValEmpty(cty.String)
		if list := in.hosts; len(list) > 0 {
			values := make([]cty.Value, len(list))
			for i, h := range list {
				values[i] = cty.StringVal(h.Name)
			}
			names = cty.ListVal(values)
		}
		if in.unknown {
			r.unknown = append(r.unknown, expr)
			names = cty.UnknownVal(names.Type())
		}
		return names, ""
	}
}

// hostDependencies are the dependencies between hosts that blocks of composite types have (see
// engine.HostDependent). They are known without facts.
type hostDependencies struct {
	inventory *inventory
	types     map[*engine.Composite]*typeDependencies
	hosts     map[string][]string  // by host: those that it depends on, each once
	places    map[string]hcl.Range // by host: a block of it that depends on another one
}

// typeDependencies are those of one composite type.
type typeDependencies struct {
	blocks     map[string][]placed // by host, of those involved
	dependents map[string][]string // by host: those that depend on it, each once
	involved   map[string]bool     // hosts that depend on others, or others on them
	seen       map[dependence]bool
}

type dependence struct{ host, on string }

// placed is a block on a host.
type placed struct {
	block   *block
	decoded *decoded
}

func newHostDependencies(inv *inventory, blocks []*block) *hostDependencies {
	d := &hostDependencies{
		inventory: inv, types: map[*engine.Composite]*typeDependencies{},
		hosts: map[string][]string{}, places: map[string]hcl.Range{},
	}
	eachPlaced(blocks, d.add)
	eachPlaced(blocks, func(host string, p placed) {
		if of := d.types[p.block.composite]; of != nil && of.involved[host] {
			of.blocks[host] = append(of.blocks[host], p)
		}
	})
	return d
}

// eachPlaced calls a function with each block on each host that can depend on blocks of other
// hosts.
func eachPlaced(blocks []*block, call func(host string, p placed)) {
	for _, b := range blocks {
		if b.composite == nil || b.composite.DependsOnHosts == nil {
			continue
		}
		for _, i := range b.instances {
			for _, h := range i.hosts {
				call(h.Name, placed{b, i.decoded[h.Name]})
			}
		}
	}
}

func (d *hostDependencies) add(host string, p placed) {
	for _, on := range p.block.composite.DependsOnHosts(p.decoded.state) {
		of := d.types[p.block.composite]
		if of == nil {
			of = &typeDependencies{
				blocks: map[string][]placed{}, dependents: map[string][]string{},
				involved: map[string]bool{}, seen: map[dependence]bool{},
			}
			d.types[p.block.composite] = of
		}
		of.involved[host], of.involved[on] = true, true
		if of.seen[dependence{host, on}] || on == host { // the latter is an error of the type
			continue
		}
		of.seen[dependence{host, on}] = true
		of.dependents[on] = append(of.dependents[on], host)
		if !slices.Contains(d.hosts[host], on) {
			d.hosts[host] = append(d.hosts[host], on)
		}
		d.places[host] = p.block.header
	}
}

// check reports hosts that depend on each other: none of them could come first.
func (d *hostDependencies) check() hcl.Diagnostics {
	g := lang.NewGraph()
	for host, list := range d.hosts {
		names := make([]string, len(list))
		for i, on := range list {
			names[i] = "host " + on
		}
		g.Add("host "+host, d.places[host], names...)
	}
	var diags hcl.Diagnostics
	_, cycles := g.Order()
	for _, cycle := range cycles {
		problem := g.Describe(cycle, lang.CycleWords{
			Summary: "Cycle of hosts", Problem: "These hosts depend on each other", Verb: "depends on",
		})
		problem.Detail = lang.WithSentence(problem.Detail, "An apply could change none of them first.")
		diags = append(diags, problem)
	}
	return diags
}

// join adds to a site the hosts that a block depends on, and those that depend on its host. It
// reports whether all of the former are known.
func (d *hostDependencies) join(site *engine.Site, b *block, with *decoded) (complete bool) {
	of := d.types[b.composite]
	if of == nil {
		return true
	}
	complete = true
	for _, on := range b.composite.DependsOnHosts(with.state) {
		n := d.neighbour(of, on)
		site.DependsOn = append(site.DependsOn, n)
		complete = complete && !n.Unknown
	}
	for _, host := range of.dependents[site.Target.Name] {
		site.Dependents = append(site.Dependents, d.neighbour(of, host))
	}
	return complete
}

func (d *hostDependencies) neighbour(of *typeDependencies, name string) engine.Neighbour {
	h := d.inventory.byName[name]
	n := engine.Neighbour{
		Host: name, Address: h.Address, Here: h.OnThisMachine, Source: sourceOf(h.Range), Unknown: h.incomplete,
	}
	for _, p := range of.blocks[name] {
		n.Blocks = append(n.Blocks, engine.NeighbourBlock{
			Label: p.block.label, Spec: p.decoded.state, Source: sourceOf(p.block.header), Unknown: p.decoded.unknown,
		})
		// What is unknown without a reference to facts has a variable without a value.
		n.Unknown = n.Unknown || len(p.decoded.failed) > 0 || len(p.decoded.unknown) > 0 && p.block.uses != usesFacts
	}
	return n
}

// DependsOn returns the names of the hosts that a host's blocks depend on, such as the hub of a
// mirror. An apply changes them first.
func (c *Config) DependsOn(host string) []string {
	if c.bodies.hosts == nil {
		return nil
	}
	return slices.Clone(c.bodies.hosts.hosts[host])
}

// checkWaves warns of hosts that a rollout changes before those that they depend on.
func (c *Config) checkWaves() hcl.Diagnostics {
	if c.rollout == nil {
		return nil
	}
	waves, early := map[string]int{}, []string{}
	for n, w := range c.rollout.Waves {
		for _, host := range w.Hosts {
			waves[host] = n
		}
	}
	text := ""
	for _, h := range c.inventory.list {
		for _, on := range c.DependsOn(h.Name) {
			if waves[on] <= waves[h.Name] {
				continue
			}
			if text == "" {
				text = fmt.Sprintf("Host %s is in wave %d, and host %s, which it depends on, in wave %d. "+
					"Put %[3]s into an earlier wave, unless it is set up already.",
					h.Name, waves[h.Name]+1, on, waves[on]+1)
			}
			early = append(early, h.Name)
			break
		}
	}
	if text == "" {
		return nil
	}
	if len(early) > 1 {
		text += " This applies to " + firstOf(early) + "."
	}
	at := c.declared.rollout.header
	if a := c.declared.rollout.body.Attributes["waves"]; a != nil {
		at = a.Expr.Range()
	}
	return hcl.Diagnostics{lang.WarningAt(at, "Host in an earlier wave than one that it depends on", "%s", text)}
}
