package config

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// scope has the names that an expression may refer to in addition to functions, var, local, host
// and path.
type scope struct {
	each      bool     // each.key and each.value
	eachWhy   string   // why each is not available
	target    bool     // the host that the expression is evaluated for
	targetWhy string   // why target is not available; empty: it never is in such expressions
	facts     bool     // host.NAME.facts
	local     bool     // host.local
	self      []string // the attributes of self; empty: self is not available
}

var scopeOutput = scope{facts: true}

const (
	noForEach = "The object each is available only in blocks with a for_each argument. This block has none."
	notInEach = "The for_each argument itself cannot refer to each."
)

// targetUse is what expressions use of the object target.
type targetUse int

const (
	usesNothing targetUse = iota
	usesTarget            // attributes that are known without facts
	usesFacts
)

// check checks expressions in their scope without evaluating them.
func (d *declarations) check(s scope, exprs ...hclsyntax.Expression) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, expr := range exprs {
		diags = append(diags, d.eval.Check(expr, d.names(s))...)
	}
	return diags
}

// names returns the names that an expression in a scope may refer to.
func (d *declarations) names(s scope) lang.Names {
	return func(t hcl.Traversal) *hcl.Diagnostic { return d.checkReference(t, s) }
}

func (d *declarations) checkReference(t hcl.Traversal, s scope) *hcl.Diagnostic {
	root, name := lang.Reference(t)
	at := t.SourceRange()
	switch root {
	case "var":
		return d.variables.Reference(name, at, &d.misses)
	case "local":
		return d.locals.Reference(name, at, &d.misses)
	case "path":
		return lang.Declared(at, "path", "path", name, pathNames)
	case "host":
		return d.checkHostReference(t, at, s)
	case "each":
		if !s.each {
			return lang.ErrorAt(at, "Reference to each without for_each", "%s", s.eachWhy)
		}
		return lang.Declared(at, "attribute", "each", name, []string{"key", "value"})
	case "target":
		return checkTarget(t, at, s)
	case "count":
		return lang.ErrorAt(at, "Reference to count",
			"There is no count argument. Use for_each with each.key and each.value.")
	case "self":
		return checkSelf(t, at, s)
	case "module", "data", "terraform":
		return lang.ErrorAt(at, "Unknown object", "There is no object named %q in this language.%s", root, foreignHint(root))
	}
	if root == "resource" || d.registry.Composite(root) != nil || d.registry.Kind(root) != nil {
		return lang.ErrorAt(at, "Reference to a resource not allowed here",
			"Resources and mirrors have no values to refer to. "+
				"Only depends_on arguments and moved and removed blocks can name them.")
	}
	return d.unknownRoot(root, at)
}

func (d *declarations) unknownRoot(root string, at hcl.Range) *hcl.Diagnostic {
	hint := lang.DidYouMean(root, []string{"var", "local", "host", "path", "each", "target"})
	switch {
	case d.variables.Has(root):
		hint = fmt.Sprintf(" Did you mean var.%s?", root)
	case d.locals.Has(root):
		hint = fmt.Sprintf(" Did you mean local.%s?", root)
	case d.hostBlocks[root] != nil:
		hint = fmt.Sprintf(" Did you mean host.%s?", root)
	case hint == "":
		hint = fmt.Sprintf(" For a string, use quotes: %q.", root)
	}
	return lang.ErrorAt(at, "Unknown object", "There is no object named %q.%s", root, hint)
}

func (d *declarations) checkHostReference(t hcl.Traversal, at hcl.Range, s scope) *hcl.Diagnostic {
	_, name := lang.Reference(t)
	if len(t) == 1 || name == localHost && s.local {
		return nil
	}
	if name == localHost {
		return lang.ErrorAt(at, "Reference to host.local not allowed here",
			"Only hosts arguments can refer to host.local, the machine that mirrorform runs on.")
	}
	hb := d.hostBlocks[name]
	if hb == nil {
		names := lang.Candidates(&d.misses, d.hostBlocks)
		if s.local {
			names = append(names, localHost)
		}
		return lang.Undeclared(at, "host", "host", name, names)
	}
	rest := t[2:]
	if hb.forEach != nil {
		if len(rest) == 0 {
			return nil
		}
		if attr, ok := rest[0].(hcl.TraverseAttr); ok && slices.Contains(hostAttributes, attr.Name) {
			return lang.ErrorAt(at, "Reference to a group of hosts",
				"The block host %q has for_each, so host.%s is a map of hosts. Add a key, as in host.%s[\"KEY\"].%s.",
				name, name, name, attr.Name)
		}
		rest = rest[1:] // checkKeys checks the key
	}
	return checkHostAttribute(name, rest, at, s)
}

// checkHostAttribute checks the steps after host.NAME or host.NAME["KEY"].
func checkHostAttribute(host string, steps hcl.Traversal, at hcl.Range, s scope) *hcl.Diagnostic {
	if len(steps) == 0 {
		return nil
	}
	attr := lang.StepName(steps[0])
	switch {
	case attr == "facts" && s.facts:
		return checkFacts(steps[1:], at, "host."+host+".facts")
	case attr == "facts":
		return lang.ErrorAt(at, "Reference to facts not allowed here",
			"Only outputs can refer to the facts of a named host. In mirrors and resources, use target.facts.")
	case attr != "" && !slices.Contains(hostAttributes, attr):
		return lang.ErrorAt(at, "Unknown attribute", "A host has no attribute named %q. Its attributes are %s.%s",
			attr, lang.AllOf(hostAttributes), lang.DidYouMean(attr, hostAttributes))
	}
	return nil
}

// hostAttributes are the attributes of host.NAME, sorted.
var hostAttributes = []string{"address", "key", "labels", "name", "port", "user"}

var targetAttributes = []string{"address", "facts", "key", "labels", "name", "port", "user"}

func checkTarget(t hcl.Traversal, at hcl.Range, s scope) *hcl.Diagnostic {
	switch {
	case !s.target && s.targetWhy != "":
		return lang.ErrorAt(at, "No target", "%s", s.targetWhy)
	case !s.target:
		return lang.ErrorAt(at, "Reference to target not allowed here",
			"The object target is the host that an expression is evaluated for. It is available in mirror and resource blocks, "+
				"except in their hosts and for_each arguments, and in the asserts of check blocks with a hosts argument.")
	case len(t) == 1:
		return nil
	}
	_, name := lang.Reference(t)
	if d := lang.Declared(at, "attribute", "target", name, targetAttributes); d != nil {
		return d
	}
	if name == "facts" {
		return checkFacts(t[2:], at, "target.facts")
	}
	return nil
}

func checkSelf(t hcl.Traversal, at hcl.Range, s scope) *hcl.Diagnostic {
	switch {
	case len(s.self) == 0:
		return lang.ErrorAt(at, "Reference to self not allowed here",
			"The object self is the state that was found on the host after an apply. "+
				"It is available only in postconditions of resources.")
	case len(t) == 1:
		return nil // for self == null
	}
	_, name := lang.Reference(t)
	return lang.Declared(at, "attribute", "self", name, s.self)
}

// checkFacts checks the steps after facts against the type of facts.
func checkFacts(steps hcl.Traversal, at hcl.Range, prefix string) *hcl.Diagnostic {
	ty := factsType
	for _, step := range steps {
		name := lang.StepName(step)
		if name == "" || !ty.IsObjectType() {
			return nil // evaluation reports the error
		}
		if !ty.HasAttribute(name) {
			names := lang.SortedKeys(ty.AttributeTypes())
			return lang.ErrorAt(at, "Unknown fact", "There is no fact %s.%s. The names in %s are %s.%s",
				prefix, name, prefix, lang.AllOf(names), lang.DidYouMeanReference(prefix, name, names))
		}
		ty, prefix = ty.AttributeType(name), prefix+"."+name
	}
	return nil
}

// factsType is the type of target.facts.
var factsType = ctyType(reflect.TypeFor[wire.Facts]())

// targetUseOf returns what expressions use of the object target.
func targetUseOf(exprs ...hclsyntax.Expression) targetUse {
	use := usesNothing
	for _, expr := range exprs {
		for _, t := range expr.Variables() {
			if t.RootName() != "target" {
				continue
			}
			use = max(use, usesTarget)
			if _, name := lang.Reference(t); name == "" || name == "facts" {
				use = usesFacts
			}
		}
	}
	return use
}
