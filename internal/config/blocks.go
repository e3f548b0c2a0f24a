package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/mirror"
)

// local is one named expression of a locals block.
type local struct {
	name string
	expr hclsyntax.Expression
	rng  hcl.Range // of its name
}

// output is an output block.
type output struct {
	name      string
	header    hcl.Range
	value     hclsyntax.Expression // nil if it is missing
	sensitive bool
}

// block is a resource or a mirror block.
type block struct {
	kind      *engine.Kind    // nil for a mirror
	name      string          // TYPE.NAME or mirror.NAME: its address without host and key
	label     string          // the last label
	source    *hclsyntax.Body // as it is written
	body      *hclsyntax.Body // what fills the state: without the lifecycle block
	header    hcl.Range
	life      lifecycle
	state     reflect.Type // the struct that the body fills
	hosts     hclsyntax.Expression
	forEach   hclsyntax.Expression
	dependsOn []dependency
	uses      targetUse
	instances []*instance
	// keysUnknown says that an error keeps for_each from having a value.
	keysUnknown bool
	// localParts says that a mirror puts something on host local.
	localParts bool
}

// isMirror tells a mirror from a resource.
func (b *block) isMirror() bool { return b.kind == nil }

// what names the block in messages.
func (b *block) what() string {
	if b.isMirror() {
		return "a mirror"
	}
	return fmt.Sprintf("a %s resource", b.kind.Name)
}

// The arguments that a block has besides those of its type.
var (
	resourceMeta = []string{"hosts", "for_each", "depends_on"}
	mirrorMeta   = []string{"hosts", "depends_on"}
)

func (b *block) meta() []string {
	if b.isMirror() {
		return mirrorMeta
	}
	return resourceMeta
}

// blockLabels says which blocks a file may have, with the names of their labels.
var blockLabels = map[string][]string{
	"host": {"NAME"}, "mirror": {"NAME"}, "resource": {"TYPE", "NAME"}, "variable": {"NAME"}, "locals": nil, "output": {"NAME"},
	"check": {"NAME"}, "moved": nil, "removed": nil, "geoip": nil, "rollout": nil,
}

// identifier is what may name a host, a resource or anything else. Names become parts of addresses and file names.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`)

// declare takes down what the blocks of a file declare, and checks what can be seen without evaluating.
func (c *Config) declare(body *hclsyntax.Body) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, a := range sortedAttributes(body) {
		detail := "An argument cannot stand outside of blocks."
		if _, ok := blockLabels[a.Name]; ok {
			detail = fmt.Sprintf("%q is a block: write it without the equals sign.", a.Name)
		} else if isVariable := c.variables[a.Name] != nil; isVariable {
			detail += " Values of variables belong into a *.hclvars file."
		}
		diags = append(diags, errorAt(a.NameRange, "Unsupported argument", "%s", detail))
	}
	for _, b := range body.Blocks {
		if b.Body == nil {
			continue
		}
		labels, known := blockLabels[b.Type]
		if !known {
			diags = append(diags, errorAt(b.TypeRange, "Unsupported block", "There is no block named %q.%s", b.Type, c.hintForBlock(b.Type)))
			continue
		}
		if labelDiags := checkLabels(b, labels); labelDiags.HasErrors() {
			diags = append(diags, labelDiags...)
			continue
		}
		switch b.Type {
		case "host":
			diags = append(diags, c.declareHost(b)...)
		case "mirror", "resource":
			diags = append(diags, c.declareBlock(b)...)
		case "variable":
			diags = append(diags, c.declareVariable(b)...)
		case "locals":
			diags = append(diags, c.declareLocals(b)...)
		case "output":
			diags = append(diags, c.declareOutput(b)...)
		case "check":
			diags = append(diags, c.declareCheck(b)...)
		case "moved", "removed":
			diags = append(diags, c.declareMove(b)...)
		case "geoip":
			diags = append(diags, c.declareGeoIP(b)...)
		case "rollout":
			diags = append(diags, c.declareRollout(b)...)
		}
	}
	return diags
}

// hintForBlock suggests a block for an unknown one; a resource type written as a block is a common slip.
func (c *Config) hintForBlock(name string) string {
	if c.registry.Kind(name) != nil {
		return fmt.Sprintf(" It is a resource type: write resource %q \"NAME\" { … }.", name)
	}
	if hint := foreignHint(name); hint != "" {
		return hint
	}
	return didYouMean(name, sortedKeys(blockLabels))
}

func checkLabels(b *hclsyntax.Block, want []string) hcl.Diagnostics {
	if len(b.Labels) > len(want) {
		return hcl.Diagnostics{errorAt(b.LabelRanges[len(want)], "Unexpected label", "%s", labelsWanted(b.Type, want))}
	}
	if len(b.Labels) < len(want) {
		return hcl.Diagnostics{errorAt(b.DefRange(), "Missing label", "%s", labelsWanted(b.Type, want))}
	}
	for i, l := range b.Labels {
		if want[i] == "NAME" && !identifier.MatchString(l) {
			return hcl.Diagnostics{errorAt(b.LabelRanges[i], "Invalid name",
				"A name begins with a letter or underscore, goes on with letters, digits, underscores and dashes, and has 63 characters at most.")}
		}
	}
	return nil
}

func labelsWanted(blockType string, labels []string) string {
	switch len(labels) {
	case 0:
		return fmt.Sprintf("A block named %q has no labels: %s { … }.", blockType, blockType)
	case 1:
		return fmt.Sprintf("A block named %q has one label, its name: %s \"NAME\" { … }.", blockType, blockType)
	default:
		return fmt.Sprintf("A block named %q has two labels, its type and its name: %s \"TYPE\" \"NAME\" { … }.", blockType, blockType)
	}
}

// duplicate is the error of a second declaration.
func duplicate(what, name string, second, first hcl.Range) *hcl.Diagnostic {
	return errorAt(second, "Duplicate "+what, "The %s %q was already declared at %s. Names must be unique.", what, name, place(first))
}

func (c *Config) declareLocals(b *hclsyntax.Block) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, inner := range b.Body.Blocks {
		diags = append(diags, errorAt(inner.TypeRange, "Unsupported block", "A locals block has arguments only."))
	}
	for _, a := range sortedAttributes(b.Body) {
		if first := c.locals[a.Name]; first != nil {
			diags = append(diags, duplicate("local value", a.Name, a.NameRange, first.rng))
			continue
		}
		c.locals[a.Name] = &local{name: a.Name, expr: a.Expr, rng: a.NameRange}
	}
	return diags
}

func (c *Config) declareBlock(hb *hclsyntax.Block) hcl.Diagnostics {
	b := &block{source: hb.Body, body: withoutBlocks(hb.Body, lifecycleBlock), header: hb.DefRange()}
	if hb.Type == "mirror" {
		b.label, b.name, b.state = hb.Labels[0], "mirror."+hb.Labels[0], reflect.TypeFor[mirror.Spec]()
	} else {
		typeName := hb.Labels[0]
		b.label, b.name, b.kind = hb.Labels[1], typeName+"."+hb.Labels[1], c.registry.Kind(typeName)
		if b.kind == nil {
			return hcl.Diagnostics{errorAt(hb.LabelRanges[0], "Unknown resource type", "There is no resource type %q.%s", typeName, didYouMean(typeName, c.registry.Names()))}
		}
		b.state = reflect.TypeOf(b.kind.New()).Elem()
	}
	s, err := shapeOf(b.state)
	if err != nil {
		return hcl.Diagnostics{errorAt(b.header, "Unusable resource type", "%s", err)}
	}
	diags := structure(b.source, b.header, withBlock(s, lifecycleBlock, reflect.TypeFor[*lifecycleShape]()), b.what(), b.meta())
	diags = append(diags, c.declareLifecycle(b)...)
	b.hosts, b.forEach = argumentOf(b.body, "hosts"), argumentOf(b.body, "for_each")
	if b.isMirror() {
		b.forEach = nil // reported as unsupported
	}
	if b.hosts == nil {
		diags = append(diags, errorAt(b.header, "Missing required argument", "In %s, the argument \"hosts\" is required: the hosts that it is for, as in hosts = [host.NAME].", b.what()))
	}
	if first := c.byName[b.name]; first != nil {
		return append(diags, duplicate(hb.Type, b.name, b.header, first.header))
	}
	c.byName[b.name] = b
	c.blocks = append(c.blocks, b)
	return diags
}

func argumentOf(body *hclsyntax.Body, name string) hclsyntax.Expression {
	if a := body.Attributes[name]; a != nil {
		return a.Expr
	}
	return nil
}

// checkAll looks at every expression once, in the scope that it stands in.
func (c *Config) checkAll() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range sortedKeys(c.variables) {
		diags = append(diags, c.variables[name].check(c)...)
	}
	for _, name := range sortedKeys(c.locals) {
		diags = append(diags, c.check(c.locals[name].expr, scope{global: true, eachWhy: "The object each is known in blocks with a for_each argument only, not in locals."})...)
	}
	for _, name := range sortedKeys(c.hostBlocks) {
		diags = append(diags, c.hostBlocks[name].check(c)...)
	}
	for _, b := range c.blocks {
		diags = append(diags, b.check(c)...)
	}
	for _, name := range sortedKeys(c.checks) {
		diags = append(diags, c.checks[name].check(c)...)
	}
	if c.geoIP != nil {
		diags = append(diags, c.geoIP.check(c)...)
	}
	if c.rolloutBlock != nil {
		diags = append(diags, c.rolloutBlock.check(c)...)
	}
	for _, name := range sortedKeys(c.outputs) {
		if o := c.outputs[name]; o.value != nil {
			diags = append(diags, c.check(o.value, scopeOutput)...)
		}
	}
	return diags
}

const noForEach = "The object each is known in blocks with a for_each argument only. This block has none."

func (b *block) check(c *Config) hcl.Diagnostics {
	var diags hcl.Diagnostics
	outer := scope{global: true, each: b.forEach != nil, eachWhy: noForEach}
	if b.forEach != nil {
		diags = append(diags, c.check(b.forEach, scope{global: true, eachWhy: "The for_each argument itself cannot refer to each."})...)
	}
	if b.hosts != nil {
		withLocal := outer
		withLocal.local = true
		diags = append(diags, c.check(b.hosts, withLocal)...)
	}
	inner := outer
	inner.target = true
	if s, err := shapeOf(b.state); err == nil { // declareBlock has reported the error
		for _, expr := range s.expressions(b.body, b.meta()...) {
			diags = append(diags, c.check(expr, inner)...)
		}
	}
	diags = append(diags, c.checkLifecycle(b, inner)...)
	b.uses = targetUseOf(b.body)
	if expr := argumentOf(b.body, "depends_on"); expr != nil && slices.Contains(b.meta(), "depends_on") {
		deps, depDiags := c.readDependsOn(expr)
		b.dependsOn = deps
		diags = append(diags, depDiags...)
	}
	return diags
}
