package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/zclconf/go-cty/cty"
)

// dependency is one element of a depends_on: a block, or one of its instances.
type dependency struct {
	block *block
	key   string // `["key"]`, or "" for all instances
	rng   hcl.Range
}

const dependsOnForm = "The argument takes a list of references to resources and mirrors, as in [file.NAME, mirror.NAME]."

// readDependsOn reads a depends_on argument, which is not evaluated.
func (c *Config) readDependsOn(expr hclsyntax.Expression) ([]dependency, hcl.Diagnostics) {
	list, listDiags := hcl.ExprList(expr)
	if listDiags.HasErrors() {
		return nil, hcl.Diagnostics{errorAt(expr.Range(), "Invalid depends_on argument", "%s", dependsOnForm)}
	}
	var deps []dependency
	var diags hcl.Diagnostics
	for _, elem := range list {
		t, travDiags := hcl.AbsTraversalForExpr(elem)
		if travDiags.HasErrors() {
			diags = append(diags, errorAt(elem.Range(), "Invalid depends_on argument", "%s", dependsOnForm))
			continue
		}
		dep, d := c.dependency(t)
		if d != nil {
			diags = append(diags, d)
			continue
		}
		deps = append(deps, dep)
	}
	return deps, diags
}

func (c *Config) dependency(t hcl.Traversal) (dependency, *hcl.Diagnostic) {
	at := t.SourceRange()
	kind, label, rest := nameOf(t)
	if label == "" {
		return dependency{}, errorAt(at, "Invalid depends_on argument", "%s", dependsOnForm)
	}
	name := kind + "." + label
	b := c.byName[name]
	if b == nil {
		hint := ""
		if s := suggest(name, sortedKeys(c.byName)); s != "" {
			hint = fmt.Sprintf(" Did you mean %s?", s)
		}
		return dependency{}, errorAt(at, "Reference to an undeclared resource", "There is no resource or mirror %s.%s", name, hint)
	}
	dep := dependency{block: b, rng: at}
	switch {
	case len(rest) == 0:
		return dep, nil
	case len(rest) > 1 || b.forEach == nil:
		return dependency{}, errorAt(at, "Invalid depends_on argument", "%s has no instances: it can only be named as a whole.", name)
	}
	index, ok := rest[0].(hcl.TraverseIndex)
	if !ok || !isString(index.Key) {
		return dependency{}, errorAt(at, "Invalid depends_on argument", "The key of an instance is a string: %s[\"KEY\"].", name)
	}
	dep.key = engine.Index(index.Key.AsString())
	return dep, nil
}

// nameOf reads a reference TYPE.NAME, resource.TYPE.NAME or mirror.NAME; rest are the steps that follow it. Anything else has no label.
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

func isString(v cty.Value) bool { return v.Type() == cty.String && v.IsKnown() && !v.IsNull() }

func isText(v cty.Value, text string) bool { return isString(v) && v.AsString() == text }

// checkDependsOn finds keys that are not there, references to blocks that share no host, and cycles.
func (c *Config) checkDependsOn() hcl.Diagnostics {
	var diags hcl.Diagnostics
	graph, places := map[node][]node{}, map[node]hcl.Range{}
	for _, b := range c.blocks {
		n := node(b.name)
		graph[n], places[n] = nil, b.header
		for _, dep := range b.dependsOn {
			graph[n] = append(graph[n], node(dep.block.name))
			if d := b.checkDependency(dep); d != nil {
				diags = append(diags, d)
			}
		}
	}
	_, cycles := sortNodes(graph)
	for _, cycle := range cycles {
		d := describeCycle(cycle, places)
		d.Summary = "Cycle of dependencies"
		d.Detail = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(d.Detail, "refers to", "depends on"),
			"The values of these cannot be found", "These cannot be put in order"), "refers to itself", "depends on itself")
		diags = append(diags, d)
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
			if s := suggest(dep.block.name+dep.key, keys); s != "" {
				hint = fmt.Sprintf(" Did you mean %s?", s)
			}
			return errorAt(dep.rng, "Reference to an undeclared resource", "There is no %s%s.%s", dep.block.name, dep.key, hint)
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
	return errorAt(dep.rng, "Dependency on another host", "%s and %s are never on the same host, so one cannot wait for the other. Order among hosts cannot be given.", b.name, dep.block.name)
}

func (b *block) allHosts() []*Host {
	var hosts []*Host
	for _, i := range b.instances {
		hosts = append(hosts, i.hosts...)
	}
	return hosts
}
