package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// dependency is one element of depends_on: a block, or one of its instances.
type dependency struct {
	block *block
	key   string // `["key"]`, or "" for all instances
	rng   hcl.Range
}

const dependsOnForm = "The argument takes a list of references to resources and mirrors, as in [file.NAME, mirror.NAME]."

// readDependsOn reads a depends_on argument. It contains references, which are not evaluated.
func (d *declarations) readDependsOn(expr hclsyntax.Expression) ([]dependency, hcl.Diagnostics) {
	list, listDiags := hcl.ExprList(expr)
	if listDiags.HasErrors() {
		return nil, hcl.Diagnostics{lang.ErrorAt(expr.Range(), "Invalid depends_on argument", "%s", dependsOnForm)}
	}
	var deps []dependency
	var diags hcl.Diagnostics
	for _, elem := range list {
		t, travDiags := hcl.AbsTraversalForExpr(elem)
		if travDiags.HasErrors() {
			diags = append(diags, lang.ErrorAt(elem.Range(), "Invalid depends_on argument", "%s", dependsOnForm))
			continue
		}
		dep, problem := d.dependency(t)
		if problem != nil {
			diags = append(diags, problem)
			continue
		}
		deps = append(deps, dep)
	}
	return deps, diags
}

func (d *declarations) dependency(t hcl.Traversal) (dependency, *hcl.Diagnostic) {
	at := t.SourceRange()
	kind, label, rest := nameOf(t)
	if label == "" {
		return dependency{}, lang.ErrorAt(at, "Invalid depends_on argument", "%s", dependsOnForm)
	}
	name := kind + "." + label
	b := d.byName[name]
	if b == nil {
		hint := ""
		if s := lang.Suggest(name, lang.SortedKeys(d.byName)); s != "" {
			hint = fmt.Sprintf(" Did you mean %s?", s)
		}
		return dependency{}, lang.ErrorAt(at, "Reference to an undeclared resource",
			"There is no resource or mirror named %s.%s", name, hint)
	}
	dep := dependency{block: b, rng: at}
	switch {
	case len(rest) == 0:
		return dep, nil
	case b.forEach == nil:
		return dependency{}, lang.ErrorAt(at, "Invalid depends_on argument",
			"%s has no for_each and therefore no instances. Write %s.", name, name)
	}
	index, ok := rest[0].(hcl.TraverseIndex)
	if !ok || len(rest) > 1 || !lang.IsString(index.Key) {
		return dependency{}, lang.ErrorAt(at, "Invalid depends_on argument",
			"The key of an instance is a string, as in %s[\"KEY\"].", name)
	}
	dep.key = engine.Index(index.Key.AsString())
	return dep, nil
}

// nameOf splits a reference TYPE.NAME, resource.TYPE.NAME or mirror.NAME. rest are the steps after
// it. For any other reference, label is empty.
func nameOf(t hcl.Traversal) (kind, label string, rest hcl.Traversal) {
	steps := []string{t.RootName()}
	for _, s := range t[1:] {
		attr, ok := s.(hcl.TraverseAttr)
		if !ok {
			break
		}
		steps = append(steps, attr.Name)
	}
	rest = t[len(steps):]
	if steps[0] == "resource" {
		steps = steps[1:]
	}
	if len(steps) != 2 {
		return "", "", rest
	}
	return steps[0], steps[1], rest
}

// checkDependsOn reports missing keys, references to blocks on other hosts, and cycles.
func (d *declarations) checkDependsOn() hcl.Diagnostics {
	var diags hcl.Diagnostics
	g := lang.NewGraph()
	for _, b := range d.blocks {
		needs := make([]string, len(b.dependsOn))
		for n, dep := range b.dependsOn {
			needs[n] = dep.block.name
			if problem := b.checkDependency(dep); problem != nil {
				diags = append(diags, problem)
			}
		}
		g.Add(b.name, b.header, needs...)
	}
	_, cycles := g.Order()
	for _, cycle := range cycles {
		diags = append(diags, g.Describe(cycle, lang.CycleWords{
			Summary: "Cycle of dependencies", Itself: "Cycle of dependencies",
			Problem: "These blocks depend on each other", Verb: "depends on",
		}))
	}
	return diags
}

func (b *block) checkDependency(dep dependency) *hcl.Diagnostic {
	if dep.key != "" && len(dep.block.instances) > 0 {
		found := false
		keys := make([]string, len(dep.block.instances))
		for i, inst := range dep.block.instances {
			keys[i] = dep.block.name + inst.key
			found = found || inst.key == dep.key
		}
		if !found {
			hint := ""
			if s := lang.Suggest(dep.block.name+dep.key, keys); s != "" {
				hint = fmt.Sprintf(" Did you mean %s?", s)
			}
			return lang.ErrorAt(dep.rng, "Reference to an undeclared resource",
				"There is no instance %s%s.%s", dep.block.name, dep.key, hint)
		}
	}
	mine, others := b.allHosts(), dep.block.allHosts()
	if len(mine) == 0 || len(others) == 0 || dep.block == b {
		return nil
	}
	for _, h := range mine {
		if slices.Contains(others, h) || h.Local && dep.block.localParts {
			return nil
		}
	}
	return lang.ErrorAt(dep.rng, "Dependency on another host",
		"%s and %s have no host in common. depends_on orders resources of one host; it cannot order hosts.",
		b.name, dep.block.name)
}
