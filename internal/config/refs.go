package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/zclconf/go-cty/cty"
)

// scope says what an expression may refer to besides functions.
type scope struct {
	global  bool // var, local, host, path
	each    bool // each.key and each.value
	eachWhy string
	target  bool // the host that the expression is evaluated for
	// targetWhy says why there is none; empty where the place of the expression does.
	targetWhy string
	facts     bool     // host.NAME.facts
	local     bool     // host.local
	self      []string // the attributes of self, where there is a found state
}

var (
	scopeConstant = scope{}
	scopeGlobal   = scope{global: true}
	scopeOutput   = scope{global: true, facts: true}
)

// node is something that an expression can depend on: "local.x", "host.x" or "var.x".
type node string

// targetUse says what expressions need of the host that they are evaluated for.
type targetUse int

const (
	usesNothing targetUse = iota
	usesTarget            // its name, address and the like
	usesFacts
)

// reference splits a traversal "local.x…" into its root and the name after it; the name is "" when the root stands alone.
func reference(t hcl.Traversal) (root, name string) {
	root = t.RootName()
	if len(t) > 1 {
		name = stepName(t[1])
	}
	return root, name
}

// stepName is the name that a step of a traversal selects: .x or ["x"].
func stepName(step hcl.Traverser) string {
	switch s := step.(type) {
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString()
		}
	}
	return ""
}

// check looks at an expression without evaluating it: what it refers to and which functions it calls. An expression with
// errors is remembered as bad, so that it is not evaluated. Each expression is checked once, in the scope that it stands in.
func (c *Config) check(expr hclsyntax.Expression, s scope) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, t := range expr.Variables() {
		if d := c.checkTraversal(t, s); d != nil {
			diags = append(diags, d)
		}
	}
	diags = append(diags, c.checkCalls(expr)...)
	if diags.HasErrors() {
		c.bad[expr] = true
		return diags
	}
	instrument(expr)
	return diags
}

func (c *Config) checkCalls(expr hclsyntax.Expression) hcl.Diagnostics {
	return hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok {
			return nil
		}
		if _, known := c.functions[call.Name]; known {
			return nil
		}
		detail := fmt.Sprintf("There is no function named %q.%s", call.Name, didYouMean(call.Name, sortedKeys(c.functions)))
		if why := absentFunctions[call.Name]; why != "" {
			detail = fmt.Sprintf("There is no function named %q: %s.", call.Name, why)
		}
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Call to unknown function", Detail: detail,
			Subject: &call.NameRange, Context: call.Range().Ptr()}}
	})
}

func (c *Config) checkTraversal(t hcl.Traversal, s scope) *hcl.Diagnostic {
	root, name := reference(t)
	at := t.SourceRange()
	switch {
	case !s.global:
		return errorAt(at, "References not allowed", "Only constant values may be given here.")
	case root == "var":
		if c.variables[name] != nil {
			return nil
		}
		return undeclared(at, "variable", "var", name, candidates(c, c.variables))
	case root == "local":
		if c.locals[name] != nil {
			return nil
		}
		return undeclared(at, "local value", "local", name, candidates(c, c.locals))
	case root == "path":
		return declared(at, "path", "path", name, pathNames)
	case root == "host":
		return c.checkHostReference(t, at, s)
	case root == "each" && s.each:
		return declared(at, "attribute", "each", name, []string{"key", "value"})
	case root == "each":
		return errorAt(at, "Reference to each without for_each", "%s", s.eachWhy)
	case root == "target" && s.target:
		return checkTarget(t, at)
	case root == "target" && s.targetWhy != "":
		return errorAt(at, "No target", "%s", s.targetWhy)
	case root == "target":
		return errorAt(at, "Reference to target not allowed here",
			"The object target is the host that an expression is evaluated for. It can be used in the bodies of mirror and resource blocks, "+
				"except in their hosts and for_each arguments, and in the asserts of check blocks with a hosts argument.")
	case root == "resource" || root == "mirror" || c.registry.Kind(root) != nil:
		return errorAt(at, "Reference to a resource not allowed here",
			"Resources and mirrors have no values to refer to. They can be named in depends_on arguments, and in moved and removed blocks.")
	case root == "count":
		return errorAt(at, "Reference to count", "There is no count argument here. Use for_each, with each.key and each.value.")
	case root == "self" && len(s.self) > 0 && len(t) == 1:
		return nil // whether it is null says whether there is anything
	case root == "self" && len(s.self) > 0:
		return declared(at, "attribute", "self", name, s.self)
	case root == "self":
		return errorAt(at, "Reference to self not allowed here",
			"The object self is what was found on the host after an apply. It can be used in the postconditions of resources only.")
	case root == "module" || root == "data" || root == "terraform":
		return errorAt(at, "Unknown object", "There is no object named %q in this language.%s", root, foreignHint(root))
	}
	return c.unknownRoot(root, at)
}

func (c *Config) unknownRoot(root string, at hcl.Range) *hcl.Diagnostic {
	hint := didYouMean(root, []string{"var", "local", "host", "path", "each", "target"})
	switch {
	case c.variables[root] != nil:
		hint = fmt.Sprintf(" Did you mean var.%s?", root)
	case c.locals[root] != nil:
		hint = fmt.Sprintf(" Did you mean local.%s?", root)
	case c.hostBlocks[root] != nil:
		hint = fmt.Sprintf(" Did you mean host.%s?", root)
	case hint == "":
		hint = fmt.Sprintf(" If this is meant as text, put it in quotes: %q.", root)
	}
	return errorAt(at, "Unknown object", "There is no object named %q.%s", root, hint)
}

// declared checks a reference prefix.name against the names that there are.
func declared(at hcl.Range, what, prefix, name string, names []string) *hcl.Diagnostic {
	if slices.Contains(names, name) {
		return nil
	}
	return undeclared(at, what, prefix, name, names)
}

// undeclared is the error of a reference prefix.name, where names are the right ones.
func undeclared(at hcl.Range, what, prefix, name string, names []string) *hcl.Diagnostic {
	if name == "" {
		return errorAt(at, "Incomplete reference", "The name of %s must follow, as in %s.%s.", withArticle(what), prefix, example(names))
	}
	return errorAt(at, "Reference to undeclared "+what, "There is no %s named %q.%s", what, name, didYouMeanReference(prefix, name, names))
}

// candidates lists names to suggest. After many errors there are none, since to compare them all would take long.
func candidates[V any](c *Config, m map[string]V) []string {
	if c.misses++; c.misses > maxDiagnostics {
		return nil
	}
	return sortedKeys(m)
}

func example(names []string) string {
	if len(names) == 0 {
		return "NAME"
	}
	return names[0]
}

func (c *Config) checkHostReference(t hcl.Traversal, at hcl.Range, s scope) *hcl.Diagnostic {
	_, name := reference(t)
	if len(t) == 1 || name == localHost && s.local {
		return nil
	}
	if name == localHost {
		return errorAt(at, "Reference to host.local not allowed here", "The machine that mirrorform runs on can be named in hosts arguments only.")
	}
	if c.hostBlocks[name] == nil {
		names := candidates(c, c.hostBlocks)
		if s.local {
			names = append(names, localHost)
		}
		return undeclared(at, "host", "host", name, names)
	}
	rest := t[2:]
	if c.hostBlocks[name].forEach != nil {
		if len(rest) == 0 {
			return nil
		}
		if attr, ok := rest[0].(hcl.TraverseAttr); ok && slices.Contains(hostAttributes, attr.Name) {
			return errorAt(at, "Reference to a group of hosts", "The block host %q has for_each, so host.%s is a map of hosts: a key must come before .%s, as in host.%s[\"KEY\"].%s.",
				name, name, attr.Name, name, attr.Name)
		}
		rest = rest[1:] // keys are checked when they are known
	}
	if len(rest) == 0 {
		return nil
	}
	attr := stepName(rest[0])
	if attr == "facts" && s.facts {
		return checkFacts(rest[1:], at, "host."+name+".facts")
	}
	if attr == "facts" {
		return errorAt(at, "Reference to facts not allowed here", "The facts of a named host are known in outputs only. In the bodies of mirrors and resources use target.facts.")
	}
	if attr != "" && !slices.Contains(hostAttributes, attr) {
		return errorAt(at, "Unknown attribute", "A host has no attribute named %q; it has %s.%s", attr, allOf(hostAttributes), didYouMean(attr, hostAttributes))
	}
	return nil
}

// hostAttributes are those of host.NAME.
var hostAttributes = []string{"address", "key", "labels", "name", "port", "user"}

var targetAttributes = []string{"address", "facts", "key", "labels", "name", "port", "user"}

func checkTarget(t hcl.Traversal, at hcl.Range) *hcl.Diagnostic {
	_, name := reference(t)
	if len(t) == 1 {
		return nil
	}
	if d := declared(at, "attribute", "target", name, targetAttributes); d != nil {
		return d
	}
	if name == "facts" {
		return checkFacts(t[2:], at, "target.facts")
	}
	return nil
}

// checkFacts follows steps into the facts' type.
func checkFacts(steps hcl.Traversal, at hcl.Range, prefix string) *hcl.Diagnostic {
	ty := factsType
	for _, step := range steps {
		name := stepName(step)
		if name == "" || !ty.IsObjectType() {
			return nil // evaluation says what is wrong
		}
		if !ty.HasAttribute(name) {
			names := sortedKeys(ty.AttributeTypes())
			return errorAt(at, "Unknown fact", "There is no fact %s.%s; the names here are %s.%s", prefix, name, allOf(names), didYouMeanReference(prefix, name, names))
		}
		ty, prefix = ty.AttributeType(name), prefix+"."+name
	}
	return nil
}

// factsType is the type of target.facts.
var factsType = ctyType(reflect.TypeFor[wire.Facts]())

// dependencies returns the nodes that an expression refers to. All hosts are meant where host stands alone.
func (c *Config) dependencies(expr hclsyntax.Expression) []node {
	var nodes []node
	for _, t := range expr.Variables() {
		root, name := reference(t)
		switch {
		case root == "local" && c.locals[name] != nil, root == "host" && c.hostBlocks[name] != nil:
			nodes = append(nodes, node(root+"."+name))
		case root == "host" && len(t) == 1:
			for _, h := range sortedKeys(c.hostBlocks) {
				nodes = append(nodes, node("host."+h))
			}
		}
	}
	return nodes
}

// targetUseOf tells what the expressions in a body need of the host.
func targetUseOf(body *hclsyntax.Body) targetUse {
	use := usesNothing
	for _, expr := range expressions(body) {
		for _, t := range expr.Variables() {
			if t.RootName() != "target" {
				continue
			}
			use = max(use, usesTarget)
			if _, name := reference(t); name == "" || name == "facts" {
				use = usesFacts
			}
		}
	}
	return use
}

// absentFunctions are functions of Terraform that are left out on purpose, with the reason.
var absentFunctions = map[string]string{
	"timestamp":      "its result would differ in every run, so that no plan would ever be empty",
	"plantimestamp":  "its result would differ in every run, so that no plan would ever be empty",
	"uuid":           "its result would differ in every run, so that no plan would ever be empty",
	"bcrypt":         "its result would differ in every run, so that no plan would ever be empty",
	"templatefile":   "a template cannot use other templates", // found in templates only
	"templatestring": "a template cannot use other templates",
	"type":           "it stands around a whole expression in `mirrorform console`, and nowhere else",
	"rsadecrypt":     "decrypt before, and pass the value in a sensitive variable",
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
