package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// wanting collects the resources of one host.
type wanting struct {
	bodies    *bodies
	blocks    []*block
	facts     map[string]*wire.Facts
	dry       bool // no facts: resources that need them are left out, with an address in pending
	pending   []string
	resources []*engine.Resource
	made      map[*instance][]*engine.Resource
	leftOut   []func(engine.Address) bool // report whether an address on host local was left out
	order     []*instance
	diags     hcl.Diagnostics
}

// host collects the wanted resources of a host.
func (w *wanting) host(h *DeclaredHost) {
	for _, b := range w.blocks {
		before := w.diags
		diags := perInstance(b.instances, func(i *instance) hcl.Diagnostics {
			w.diags = nil
			w.instance(i, h)
			return w.diags
		})
		w.diags = append(before, diags...)
	}
	w.dependencies()
}

func (w *wanting) instance(i *instance, h *DeclaredHost) {
	placed := i.decoded[h.Name] != nil // faster than a search in i.hosts, which may be thousands
	switch {
	case i.block.composite != nil:
		if placed {
			w.composite(i, h, false)
		}
		if h.Local {
			for _, on := range i.hosts {
				w.composite(i, on, true)
			}
		}
	case placed:
		w.resource(i, h)
	}
	if len(w.made[i]) > 0 {
		w.order = append(w.order, i)
	}
}

func (w *wanting) resource(i *instance, h *DeclaredHost) {
	pre := w.preconditions(i, h)
	d, diags := w.decoded(i, h)
	if pre != lang.Fails { // otherwise the errors may only follow from the failed precondition
		w.diags = append(w.diags, diags...)
	}
	if len(d.unknown) > 0 {
		w.unknownArguments(i, h, d, h.Local)
		return
	}
	if !d.usable() {
		return
	}
	if err := mayShow(w.bodies.eval.Reader, h, d.state); err != nil {
		w.diags = append(w.diags, lang.ErrorAt(i.block.attributeRange("path"), "Path cannot be managed",
			"On this machine, %s.", err))
		return
	}
	w.add(i, &engine.Resource{
		Address: i.address(h.Name), Kind: i.block.kind, State: d.state, Source: sourceOf(i.block.header), Sensitive: topLevel(d.sensitive),
		PreventDestroy: i.block.life.preventDestroy, Postcondition: i.postcondition(w.bodies.eval, h, w.facts[h.Name], topLevel(d.sensitive)),
	})
}

// decoded returns the body evaluated for a host. If the body needs no facts, it returns the result
// of Load, whose diagnostics were reported.
func (w *wanting) decoded(i *instance, h *DeclaredHost) (*decoded, hcl.Diagnostics) {
	if w.dry || i.block.uses != usesFacts {
		return i.decoded[h.Name], nil
	}
	d := w.bodies.decode(i, h, w.facts[h.Name])
	return d, d.diags
}

// composite adds the parts of a composite for a host: the parts on that host, or with local the
// parts on host local.
func (w *wanting) composite(i *instance, h *DeclaredHost, local bool) {
	facts := w.facts[h.Name]
	pre := lang.Holds
	if !local {
		pre = w.preconditions(i, h)
	} else if w.unfit(i, h) {
		w.diags = append(w.diags, lang.WarningAt(i.block.header, "Local parts left out: precondition",
			"The parts of %s on this machine are left out: on host %s, a precondition is false or unknown.",
			i.address(h.Name), h.Name))
		w.leaveOut(i, h)
		return
	}
	d, diags := w.decoded(i, h)
	if pre != lang.Fails {
		w.diags = append(w.diags, diags...)
	}
	if len(d.unknown) > 0 || !w.dry && facts == nil && !local {
		w.unknownArguments(i, h, d, local)
		w.leaveOut(i, h)
		return
	}
	parts := i.parts[h.Name]
	if facts != nil {
		var diags hcl.Diagnostics
		parts, diags = w.bodies.expand(i, h, facts, d)
		if !local && pre != lang.Fails { // with local they would be reported twice
			w.diags = append(w.diags, diags...)
		}
		if parts == nil {
			w.leaveOut(i, h)
		}
	}
	for _, p := range parts {
		if p.Local == local {
			w.add(i, i.part(w.bodies.registry, h, p))
		}
	}
}

// leaveOut records that the parts of a composite on host local for a host are not known.
func (w *wanting) leaveOut(i *instance, h *DeclaredHost) {
	w.leftOut = append(w.leftOut, func(a engine.Address) bool {
		return a.Part != "" && a.Block() == i.address(localHost) && a.Key == h.Name
	})
}

func (w *wanting) missingFacts(i *instance, h *DeclaredHost, address string, local bool) {
	switch {
	case w.dry && local && i.block.composite != nil:
		w.pending = append(w.pending, i.address(localHost).String())
		return
	case w.dry:
		w.pending = append(w.pending, address)
		return
	case local:
		w.diags = append(w.diags, lang.WarningAt(i.block.header, "Local parts left out: facts not known",
			"The parts of %s on this machine are left out: the facts of host %s are not known.", address, h.Name))
		return
	}
	w.diags = append(w.diags, lang.ErrorAt(i.block.header, "Facts not known",
		"%s needs facts of host %s, which are not known.", address, h.Name))
}

func (w *wanting) add(i *instance, r *engine.Resource) {
	if r.Kind == nil {
		w.diags = append(w.diags, lang.ErrorAt(i.block.header, "Unknown resource type",
			"The type of %s does not exist.", r.Address))
		return
	}
	w.resources = append(w.resources, r)
	w.made[i] = append(w.made[i], r)
}

// dependencies adds to each resource the addresses in its depends_on that are on this host.
func (w *wanting) dependencies() {
	for _, i := range w.order {
		for _, dep := range i.block.dependsOn {
			for _, other := range dep.block.instances {
				if dep.key != "" && dep.key != other.key {
					continue
				}
				for _, needed := range w.made[other] {
					for _, r := range w.made[i] {
						r.DependsOn = append(r.DependsOn, needed.Address)
					}
				}
			}
		}
	}
}

// dropAbsent removes dependencies on resources that are left out without facts.
func (w *wanting) dropAbsent() {
	present := map[engine.Address]bool{}
	for _, r := range w.resources {
		present[r.Address] = true
	}
	for _, r := range w.resources {
		r.DependsOn = slices.DeleteFunc(r.DependsOn, func(a engine.Address) bool { return !present[a] })
	}
}

// mayShow returns an error if a resource must not be managed on this machine: a plan shows what is
// at its path, which the author of the configuration may not be allowed to read.
func mayShow(r *lang.Reader, h *DeclaredHost, state any) error {
	if !h.Local && !h.OnThisMachine {
		return nil
	}
	v := reflect.Indirect(reflect.ValueOf(state))
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("hcl"), ","); name == "path" && v.Field(i).Kind() == reflect.String {
			return r.MayRead(v.Field(i).String())
		}
	}
	return nil
}
