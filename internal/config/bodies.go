package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// bodies evaluates the bodies of blocks for hosts.
type bodies struct {
	eval      *lang.Evaluator
	registry  *engine.Registry
	inventory *inventory
	hosts     *hostDependencies // set by decodeAll
}

// decoded is the result of evaluating a body for a host, or for all hosts of its instance.
type decoded struct {
	state     any // pointer to the struct that the body fills
	unknown   map[string]bool
	failed    map[string]bool
	sensitive map[string]bool
	diags     hcl.Diagnostics
	unsettled []hclsyntax.Expression // of unknown references to hosts
}

// usable reports whether the state is complete and has no errors.
func (d *decoded) usable() bool {
	return len(d.unknown) == 0 && len(d.failed) == 0 && !d.diags.HasErrors()
}

// sourceLoader is a state with content from a file on this machine, such as a file resource with a
// source argument. read returns the content of a file; relative paths are relative to the
// configuration's directory.
type sourceLoader interface {
	LoadSource(read func(path string) ([]byte, error)) error
}

// decode evaluates an instance's body for a host and checks the state.
func (s *bodies) decode(i *instance, h *DeclaredHost, facts *wire.Facts) *decoded {
	d := lang.NewDecoder(s.eval, i.hostContext(h, facts))
	d.RefuseSensitive = i.block.refuseSensitive
	d.WarnCRLF = true
	var refs hostReferences
	d.Convert = refs.convert(s.inventory)
	state := reflect.New(i.block.state)
	diags := d.Fill(i.block.body, state.Interface())
	out := &decoded{
		state: state.Interface(), diags: diags, unsettled: refs.unknown,
		unknown: unlessEmpty(d.Unknown), failed: unlessEmpty(d.Failed), sensitive: unlessEmpty(d.Sensitive),
	}
	if i.block.composite != nil {
		return out
	}
	out.diags = append(out.diags, s.loadSource(i.block, out)...)
	for _, p := range i.block.kind.Validate(out.state) {
		if out.complete() || i.block.sets(p.Attribute, out) {
			out.diags = append(out.diags, i.block.problem(p, topLevel(out.sensitive), out.state))
		}
	}
	return out
}

// unlessEmpty returns nil instead of an empty map. There is one map per resource and host, so empty
// maps would use much memory.
func unlessEmpty(m map[string]bool) map[string]bool {
	if len(m) == 0 {
		return nil
	}
	return m
}

// complete reports whether every argument has a value.
func (d *decoded) complete() bool { return len(d.unknown) == 0 && len(d.failed) == 0 }

// sets reports whether the source sets an argument and its value is known. While other arguments
// are unknown, only problems of known arguments are certain.
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

func (b *block) refuseSensitive(_ string, f *lang.Field) string {
	switch {
	case b.composite != nil && f.Tag("secret"):
		return ""
	case b.composite != nil:
		return "plans print everything that " + lang.WithArticle(b.composite.Name) + " expands to"
	case f.Tag("id"):
		return "it identifies the resource, so it is printed"
	case f.Tag("argv"):
		return "it becomes an argument of a program, which every user on the host can see"
	}
	return ""
}

func (s *bodies) loadSource(b *block, d *decoded) hcl.Diagnostics {
	loader, ok := d.state.(sourceLoader)
	if !ok || d.unknown["source"] || d.failed["source"] {
		return nil
	}
	var diags hcl.Diagnostics
	secret := d.sensitive["source"]
	err := loader.LoadSource(func(path string) ([]byte, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.eval.Reader.Dir, path)
		}
		content, err := s.eval.Reader.Read(path, lang.MaxLocalFile)
		diags = lang.CRLFContent(content, b.attributeRange("source"))
		if secret {
			d.sensitive["content"] = true // plans show the file under this name
			s.eval.Secrets.Add(cty.StringVal(string(content)))
		}
		return content, err
	})
	if err == nil {
		return diags
	}
	why := err.Error()
	if secret {
		why = "the reason is not shown, because the value is sensitive"
	}
	if d.failed == nil {
		d.failed = map[string]bool{}
	}
	d.failed["source"] = true
	return hcl.Diagnostics{lang.ErrorAt(b.attributeRange("source"), "File cannot be read",
		"The file in \"source\" cannot be used: %s.", why)}
}

// decodeAll evaluates every body for each of its hosts, without facts, and checks what is known
// then. All bodies come before the checks, since composites on one host may depend on those on
// another.
func (s *bodies) decodeAll(blocks []*block) hcl.Diagnostics {
	for _, b := range blocks {
		for _, i := range b.instances {
			s.decodeInstance(i)
		}
	}
	s.hosts = newHostDependencies(s.inventory, blocks)
	diags := s.hosts.check()
	for _, b := range blocks {
		diags = append(diags, perInstance(b.instances, s.checkInstance)...)
		if b.localParts {
			s.inventory.local()
		}
	}
	return diags
}

// checked returns the hosts that an instance is checked for. Without hosts, or if they are unknown,
// it is a host with unknown attributes.
func (i *instance) checked() []*DeclaredHost {
	if len(i.hosts) == 0 {
		return []*DeclaredHost{unknownHost()}
	}
	return i.hosts
}

func (s *bodies) decodeInstance(i *instance) {
	var same *decoded
	for _, h := range i.checked() {
		if same == nil || i.block.uses != usesNothing {
			same = s.decode(i, h, nil)
			for _, expr := range same.unsettled {
				s.eval.Unsettled(expr)
			}
		}
		i.decoded[h.Name] = same
	}
}

func (s *bodies) checkInstance(i *instance) hcl.Diagnostics {
	hosts := i.checked()
	found := make([]hcl.Diagnostics, len(hosts))
	for n, h := range hosts {
		found[n] = i.decoded[h.Name].diags
		if i.block.composite != nil {
			parts, expandDiags := s.expand(i, h, &wire.Facts{}, i.decoded[h.Name])
			i.parts[h.Name] = parts
			i.block.localParts = i.block.localParts || i.mayHaveLocalParts(i.decoded[h.Name], parts)
			found[n] = append(slices.Clip(found[n]), expandDiags...)
		}
		pre, conditionDiags := i.foresee(s.eval, h)
		if pre == lang.Fails {
			found[n] = nil // other errors may only follow from the failed precondition
		}
		found[n] = append(slices.Clip(found[n]), conditionDiags...)
	}
	return perHost(hosts, found)
}

// mayHaveLocalParts reports whether a composite has parts on host local, as far as is known without
// facts.
func (i *instance) mayHaveLocalParts(d *decoded, parts []engine.Part) bool {
	if !d.usable() {
		return i.block.composite.OnLocal(d.state)
	}
	return slices.ContainsFunc(parts, func(p engine.Part) bool { return p.Local })
}

// unknownHost returns a host whose attributes are all unknown.
func unknownHost() *DeclaredHost {
	attrs := map[string]cty.Value{}
	for name, v := range localHostValue().AsValueMap() {
		attrs[name] = cty.UnknownVal(v.Type())
	}
	return &DeclaredHost{value: cty.ObjectVal(attrs)}
}

// expand returns the parts of a composite on a host. If its arguments or the host are not complete,
// it returns no parts, but it reports the problems that are certain.
func (s *bodies) expand(i *instance, h *DeclaredHost, facts *wire.Facts, d *decoded) ([]engine.Part, hcl.Diagnostics) {
	complete := d.complete() && h.Name != "" && !h.incomplete
	dir, err := filepath.Abs(s.eval.Reader.Dir)
	if err != nil {
		return nil, hcl.Diagnostics{lang.ErrorAt(i.block.header, "Unknown directory", "%s", err)}
	}
	site := engine.Site{Target: engine.Target{Name: h.Name, Facts: *facts}, Address: h.Address, Dir: dir}
	complete = s.hosts.join(&site, i.block, d) && complete
	parts, problems := i.block.composite.Expand(s.registry, i.block.label, d.state, site)
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

// topLevel reduces paths to the top-level arguments, which plans show.
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
