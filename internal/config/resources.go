package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/zclconf/go-cty/cty"
)

// decoded is a body that was evaluated for a host, or for all hosts of its instance.
type decoded struct {
	state     any // pointer to the struct that the body fills
	unknown   map[string]bool
	failed    map[string]bool
	sensitive map[string]bool
	diags     hcl.Diagnostics
}

// usable tells whether the state is complete.
func (d *decoded) usable() bool {
	return len(d.unknown) == 0 && len(d.failed) == 0 && !d.diags.HasErrors()
}

// sourceLoader is a state that takes the content of a file on this machine, such as the file resource's source argument.
// read returns the content of a file; a path that is not absolute is relative to the configuration's directory.
type sourceLoader interface {
	LoadSource(read func(path string) ([]byte, error)) error
}

// targetValue is the object target for a host; facts may be nil.
func (h *Host) target(facts *wire.Facts) cty.Value {
	attrs := h.value.AsValueMap()
	attrs["facts"] = factsValue(facts)
	return cty.ObjectVal(attrs)
}

// decode evaluates an instance's body for a host and checks the state.
func (c *Config) decode(i *instance, h *Host, facts *wire.Facts) *decoded {
	d := newDecoder(c, i.hostContext(h, facts))
	d.refuseSensitive = i.block.refuseSensitive
	d.warnCRLF = true
	state := reflect.New(i.block.state)
	diags := d.body(i.block.body, state.Elem(), "")
	out := &decoded{state: state.Interface(), unknown: unlessEmpty(d.unknown), failed: unlessEmpty(d.failed), sensitive: unlessEmpty(d.sensitive), diags: diags}
	if i.block.isMirror() {
		return out
	}
	out.diags = append(out.diags, c.loadSource(i.block, out)...)
	for _, p := range i.block.kind.Validate(out.state) {
		if out.complete() || i.block.sets(p.Attribute, out) {
			out.diags = append(out.diags, i.block.problem(p, topLevel(out.sensitive), out.state))
		}
	}
	return out
}

// unlessEmpty is the map, or nil in place of an empty one: there are as many as resources on all hosts.
func unlessEmpty(m map[string]bool) map[string]bool {
	if len(m) == 0 {
		return nil
	}
	return m
}

// complete tells whether every argument has its value.
func (d *decoded) complete() bool { return len(d.unknown) == 0 && len(d.failed) == 0 }

// sets tells whether the source sets an argument and it has its value. While others have none yet, only problems of such arguments are
// certain to stay.
func (b *block) sets(path string, d *decoded) bool {
	if _, set := b.find(path); !set {
		return false
	}
	for _, paths := range []map[string]bool{d.unknown, d.failed} {
		for p := range paths {
			if p == path || strings.HasPrefix(path, p+".") || strings.HasPrefix(p, path+".") {
				return false
			}
		}
	}
	return true
}

func (b *block) refuseSensitive(_ string, f *field) string {
	switch {
	case b.isMirror():
		return "what a mirror expands to is printed"
	case f.id:
		return "it says which thing on the host is meant, which is printed"
	case f.argv:
		return "it becomes an argument of a program, which every user of the host can see"
	}
	return ""
}

func (c *Config) loadSource(b *block, d *decoded) hcl.Diagnostics {
	loader, ok := d.state.(sourceLoader)
	if !ok || d.unknown["source"] || d.failed["source"] {
		return nil
	}
	var diags hcl.Diagnostics
	secret := d.sensitive["source"]
	err := loader.LoadSource(func(path string) ([]byte, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.dir, path)
		}
		content, err := c.read(path, maxLocalFile)
		diags = crlfContent(content, b.attributeRange("source"))
		if secret {
			d.sensitive["content"] = true // as which plans show it
			c.secrets.add(cty.StringVal(string(content)))
		}
		return content, err
	})
	if err == nil {
		return diags
	}
	why := err.Error()
	if secret {
		why = "the reason is not shown, since the value is sensitive"
	}
	if d.failed == nil {
		d.failed = map[string]bool{}
	}
	d.failed["source"] = true
	return hcl.Diagnostics{errorAt(b.attributeRange("source"), "File cannot be read", "The file that \"source\" names cannot be used: %s.", why)}
}

// decodeAll evaluates every body for every host that it is on, without facts, and checks what can be checked then.
func (c *Config) decodeAll() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range c.blocks {
		diags = append(diags, perInstance(b.instances, c.decodeInstance)...)
		if b.localParts {
			c.addLocal()
		}
	}
	return diags
}

func (c *Config) decodeInstance(i *instance) hcl.Diagnostics {
	hosts := i.hosts
	if len(hosts) == 0 {
		// On no host, or none that is known: the body is checked all the same, for a host of which nothing is known.
		hosts = []*Host{unknownHost()}
	}
	if i.block.uses == usesNothing {
		same := c.decode(i, hosts[0], nil)
		for _, h := range hosts {
			i.decoded[h.Name] = same
		}
	}
	found := make([]hcl.Diagnostics, len(hosts))
	for n, h := range hosts {
		if i.block.uses != usesNothing {
			i.decoded[h.Name] = c.decode(i, h, nil)
		}
		found[n] = i.decoded[h.Name].diags
		if i.block.isMirror() {
			parts, expandDiags := c.expand(i, h, &wire.Facts{}, i.decoded[h.Name])
			i.parts[h.Name] = parts
			i.block.localParts = i.block.localParts || i.decoded[h.Name].mayHaveLocalParts(parts)
			found[n] = append(slices.Clip(found[n]), expandDiags...)
		}
		pre, conditionDiags := c.foresee(i, h)
		if pre == fails {
			found[n] = nil // which may only be consequences
		}
		found[n] = append(slices.Clip(found[n]), conditionDiags...)
	}
	return perHost(hosts, found)
}

// mayHaveLocalParts tells whether a mirror puts anything on host local, as far as can be seen without facts.
func (d *decoded) mayHaveLocalParts(parts []mirror.Part) bool {
	if spec, ok := d.state.(*mirror.Spec); ok && !d.usable() {
		return spec.Publish != nil
	}
	return slices.ContainsFunc(parts, func(p mirror.Part) bool { return p.Local })
}

// unknownHost stands for the host where there is none.
func unknownHost() *Host {
	attrs := map[string]cty.Value{}
	for name, v := range localHostValue().AsValueMap() {
		attrs[name] = cty.UnknownVal(v.Type())
	}
	return &Host{value: cty.ObjectVal(attrs)}
}

// expand finds the parts of a mirror on a host. While the specification or the host is not complete there are none, but problems may be found.
func (c *Config) expand(i *instance, h *Host, facts *wire.Facts, d *decoded) ([]mirror.Part, hcl.Diagnostics) {
	complete := d.complete() && h.Name != "" && !h.incomplete
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return nil, hcl.Diagnostics{errorAt(i.block.header, "Unknown directory", "%s", err)}
	}
	spec := *d.state.(*mirror.Spec)
	parts, problems := mirror.Expand(c.registry, i.block.label, &spec, mirror.Host{
		Target: engine.Target{Name: h.Name, Facts: *facts}, Address: h.Address, Dir: dir,
	})
	var diags hcl.Diagnostics
	for _, p := range problems {
		if complete || i.block.sets(p.Attribute, d) {
			diags = append(diags, i.block.problem(p, nil, nil))
		}
	}
	if diags.HasErrors() || !complete {
		return nil, diags
	}
	return parts, diags
}

// Resources returns everything that is wanted on a host, in the order of the configuration. facts holds the facts of the hosts that were reached.
//
// Warnings that Load gave are not repeated.
//
// On host local are the local parts of all mirrors whose hosts have facts, or whose expressions need none; for those that are
// left out there is a warning. On any other host, a resource that needs facts which are not there is an error.
//
// A precondition that is false is an error; the resource is returned all the same if its state is known. The failing asserts of the checks that
// are for this host are warnings.
func (c *Config) Resources(host string, facts map[string]*wire.Facts) ([]*engine.Resource, hcl.Diagnostics) {
	if c.failed {
		return nil, hcl.Diagnostics{errorNowhere("Configuration has errors", "Its resources are not known.")}
	}
	h := c.byHost[host]
	if h == nil {
		return nil, hcl.Diagnostics{errorNowhere("Unknown host", "There is no host named %q.%s", host, didYouMean(host, sortedKeys(c.byHost)))}
	}
	w := &wanting{config: c, facts: facts, made: map[*instance][]*engine.Resource{}}
	w.host(h)
	for _, name := range sortedKeys(c.checks) {
		w.diags = append(w.diags, c.runCheck(c.checks[name], h, facts[host])...)
	}
	return w.resources, tidy(slices.DeleteFunc(w.diags, func(d *hcl.Diagnostic) bool {
		return d.Severity == hcl.DiagWarning && c.warned[warningOf(d)]
	}))
}

// wanting collects the resources of one host.
type wanting struct {
	config    *Config
	facts     map[string]*wire.Facts
	dry       bool // no facts are there: what needs them is left out, and its address is in pending
	pending   []string
	resources []*engine.Resource
	made      map[*instance][]*engine.Resource
	leftOut   []func(address string) bool // each tells whether an address on host local is one that is not known now
	order     []*instance
	diags     hcl.Diagnostics
}

// host collects everything that is wanted on a host.
func (w *wanting) host(h *Host) {
	for _, b := range w.config.blocks {
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

func (w *wanting) instance(i *instance, h *Host) {
	placed := i.decoded[h.Name] != nil // which is quicker to find than the host among thousands
	switch {
	case i.block.isMirror():
		if placed {
			w.mirror(i, h, false)
		}
		if h.Local {
			for _, on := range i.hosts {
				w.mirror(i, on, true)
			}
		}
	case placed:
		w.resource(i, h)
	}
	if len(w.made[i]) > 0 {
		w.order = append(w.order, i)
	}
}

func (w *wanting) resource(i *instance, h *Host) {
	pre := w.preconditions(i, h)
	d, diags := w.decoded(i, h)
	if pre != fails { // else they may only be consequences
		w.diags = append(w.diags, diags...)
	}
	if len(d.unknown) > 0 {
		w.unknownArguments(i, h, d, h.Local)
		return
	}
	if !d.usable() {
		return
	}
	if err := w.config.mayShow(h, d.state); err != nil {
		w.diags = append(w.diags, errorAt(i.block.attributeRange("path"), "Path cannot be managed", "On this machine, %s.", err))
		return
	}
	w.add(i, &engine.Resource{
		Address: i.address(h.Name), Kind: i.block.kind, State: d.state, Source: sourceOf(i.block.header), Sensitive: topLevel(d.sensitive),
		PreventDestroy: i.block.life.preventDestroy, Postcondition: w.config.postcondition(i, h, w.facts[h.Name], topLevel(d.sensitive)),
	})
}

// decoded returns the body evaluated for a host: from Load's work, and without diagnostics, where no facts are needed.
func (w *wanting) decoded(i *instance, h *Host) (*decoded, hcl.Diagnostics) {
	if w.dry || i.block.uses != usesFacts {
		return i.decoded[h.Name], nil
	}
	d := w.config.decode(i, h, w.facts[h.Name])
	return d, d.diags
}

// topLevel cuts paths to the arguments that they begin with, which is what plans show.
func topLevel(paths map[string]bool) map[string]bool {
	if len(paths) == 0 {
		return nil
	}
	attrs := map[string]bool{}
	for p := range paths {
		attrs[firstStep(p)] = true
	}
	return attrs
}

func firstStep(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end]
	}
	return path
}

// mirror adds the parts of a mirror on a host: those on that host, or those on host local.
func (w *wanting) mirror(i *instance, h *Host, local bool) {
	facts := w.facts[h.Name]
	pre := holds
	if !local {
		pre = w.preconditions(i, h)
	} else if w.unfit(i, h) {
		w.diags = append(w.diags, warningAt(i.block.header, "Left out for a precondition",
			"What %s puts on this machine is left out: a precondition does not hold on host %s, or is not known to.", i.address(h.Name), h.Name))
		w.leaveOut(i, h)
		return
	}
	d, diags := w.decoded(i, h)
	if pre != fails {
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
		parts, diags = w.config.expand(i, h, facts, d)
		if !local && pre != fails { // on local they come a second time
			w.diags = append(w.diags, diags...)
		}
		if parts == nil {
			w.leaveOut(i, h)
		}
	}
	for _, p := range parts {
		if p.Local == local {
			w.add(i, w.config.part(i, h, p))
		}
	}
}

// part makes a resource of a mirror's part.
func (c *Config) part(i *instance, h *Host, p mirror.Part) *engine.Resource {
	address := func(name string) string { return i.address(h.Name) + "." + name }
	if p.Local {
		address = func(name string) string { return i.address(localHost) + "." + name + engine.Index(h.Name) }
	}
	r := &engine.Resource{
		Address: address(p.Name), Kind: c.registry.Kind(p.Type), State: p.State, Source: sourceOf(i.block.header), Keep: p.Keep,
		PreventDestroy: i.block.life.preventDestroy,
	}
	for _, name := range p.DependsOn {
		r.DependsOn = append(r.DependsOn, address(name))
	}
	return r
}

// leaveOut takes down that what a mirror puts on host local for a host is not known.
func (w *wanting) leaveOut(i *instance, h *Host) {
	w.leftOut = append(w.leftOut, func(address string) bool {
		a, _ := engine.ParseAddress(address)
		return a.Part != "" && a.Block().String() == i.address(localHost) && a.Key == h.Name
	})
}

// LeftOut returns the test whether an address on host local belongs to what Resources leaves out with these facts, because a mirror's parts
// for some host are not known. Such a resource is still declared: that it is not wanted now is no reason to remove it.
func (c *Config) LeftOut(facts map[string]*wire.Facts) func(address string) bool {
	w := &wanting{config: c, facts: facts, made: map[*instance][]*engine.Resource{}}
	if h := c.byHost[localHost]; h != nil && !c.failed {
		w.host(h)
	}
	return func(address string) bool {
		return slices.ContainsFunc(w.leftOut, func(is func(string) bool) bool { return is(address) })
	}
}

func (w *wanting) missingFacts(i *instance, h *Host, address string, local bool) {
	switch {
	case w.dry && local && i.block.isMirror():
		w.pending = append(w.pending, i.address(localHost))
		return
	case w.dry:
		w.pending = append(w.pending, address)
		return
	case local:
		w.diags = append(w.diags, warningAt(i.block.header, "Left out for want of facts", "What %s puts on this machine is left out: the facts of host %s are not known.", address, h.Name))
		return
	}
	w.diags = append(w.diags, errorAt(i.block.header, "Facts are not known", "%s needs facts of host %s, which are not known.", address, h.Name))
}

func (w *wanting) add(i *instance, r *engine.Resource) {
	if r.Kind == nil {
		w.diags = append(w.diags, errorAt(i.block.header, "Unknown resource type", "%s is of a type that does not exist.", r.Address))
		return
	}
	w.resources = append(w.resources, r)
	w.made[i] = append(w.made[i], r)
}

// dependencies adds to each resource the addresses that its depends_on means on this host.
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

// checkTogether looks at each host's resources together: two that manage one thing, and resources that need each other in a cycle.
func (c *Config) checkTogether() hcl.Diagnostics {
	var found []HostDiagnostics
	for _, h := range c.hosts {
		w := &wanting{config: c, dry: true, made: map[*instance][]*engine.Resource{}}
		w.host(h)
		w.dropAbsent()
		_, problems := engine.Order(engine.Target{Name: h.Name}, w.resources)
		if len(problems) > 0 {
			found = append(found, HostDiagnostics{h.Name, c.Problems(problems)})
		}
	}
	return c.Together(found)
}

// dropAbsent drops dependencies on what is left out while there are no facts.
func (w *wanting) dropAbsent() {
	present := map[string]bool{}
	for _, r := range w.resources {
		present[r.Address] = true
	}
	for _, r := range w.resources {
		r.DependsOn = slices.DeleteFunc(r.DependsOn, func(a string) bool { return !present[a] })
	}
}

// Addresses returns the addresses of what is declared, in the order of the configuration: for a
// mirror its own, and those of its parts as far as they are known without facts.
func (c *Config) Addresses() []string {
	var list []string
	for _, b := range c.blocks {
		for _, i := range b.instances {
			for _, h := range i.hosts {
				list = append(list, i.address(h.Name))
				for _, p := range i.parts[h.Name] {
					list = append(list, c.part(i, h, p).Address)
				}
			}
		}
	}
	return list
}
