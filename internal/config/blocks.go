package config

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// block is a resource block, or a block of a composite type such as mirror.
type block struct {
	kind      *engine.Kind      // nil for a composite
	composite *engine.Composite // nil for a resource
	name      string            // TYPE.NAME or mirror.NAME: its address without host and key
	label     string            // the last label
	source    *hclsyntax.Body   // the whole body
	body      *hclsyntax.Body   // the body without its lifecycle block; it fills the state
	header    hcl.Range
	life      lifecycle
	state     reflect.Type // the struct that the body fills
	hosts     hclsyntax.Expression
	forEach   hclsyntax.Expression
	dependsOn []dependency
	uses      targetUse
	instances []*instance
	// keysUnknown reports that for_each has no value because of an error.
	keysUnknown bool
	// localParts reports that a composite has parts on host local.
	localParts bool
}

// what returns the name of the block in messages: "a mirror", "a file resource".
func (b *block) what() string {
	if b.composite != nil {
		return lang.WithArticle(b.composite.Name)
	}
	return fmt.Sprintf("a %s resource", b.kind.Name)
}

// The arguments that a block has in addition to those of its type.
var (
	resourceMeta  = []string{"hosts", "for_each", "depends_on"}
	compositeMeta = []string{"hosts", "depends_on"}
)

func (b *block) meta() []string {
	if b.composite != nil {
		return compositeMeta
	}
	return resourceMeta
}

// newBlock returns the block for a source block, with its type, names and state set.
func (d *declarations) newBlock(hb *hclsyntax.Block) (*block, *hcl.Diagnostic) {
	b := &block{source: hb.Body, body: lang.WithoutBlocks(hb.Body, lifecycleBlock), header: hb.DefRange()}
	if b.composite = d.registry.Composite(hb.Type); b.composite != nil {
		b.label, b.name, b.state = hb.Labels[0], hb.Type+"."+hb.Labels[0], reflect.TypeOf(b.composite.New()).Elem()
		return b, nil
	}
	typeName := hb.Labels[0]
	b.label, b.name, b.kind = hb.Labels[1], typeName+"."+hb.Labels[1], d.registry.Kind(typeName)
	if b.kind == nil {
		return nil, lang.ErrorAt(hb.LabelRanges[0], "Unknown resource type",
			"There is no resource type %q.%s", typeName, lang.DidYouMean(typeName, d.registry.Names()))
	}
	b.state = reflect.TypeOf(b.kind.New()).Elem()
	return b, nil
}

func (d *declarations) declareBlock(hb *hclsyntax.Block) hcl.Diagnostics {
	b, unknown := d.newBlock(hb)
	if unknown != nil {
		return hcl.Diagnostics{unknown}
	}
	s, err := lang.ShapeOf(b.state)
	if err != nil {
		return hcl.Diagnostics{lang.ErrorAt(b.header, "Unusable resource type", "%s", err)}
	}
	diags := d.eval.Structure(b.source, b.header, lang.WithBlock(s, lifecycleBlock, reflect.TypeFor[*lifecycleShape]()), b.what(), b.meta())
	diags = append(diags, b.declareLifecycle(d.eval)...)
	b.hosts = lang.ArgumentOf(b.body, "hosts")
	if slices.Contains(b.meta(), "for_each") { // otherwise Structure has reported it
		b.forEach = lang.ArgumentOf(b.body, "for_each")
	}
	if b.hosts == nil {
		diags = append(diags, lang.ErrorAt(b.header, "Missing required argument",
			"In %s, the argument \"hosts\" is required. Add the hosts to manage it on, as in hosts = [host.NAME].", b.what()))
	}
	if first := d.byName[b.name]; first != nil {
		return append(diags, lang.Duplicate(hb.Type, b.name, b.header, first.header))
	}
	d.byName[b.name] = b
	d.blocks = append(d.blocks, b)
	return diags
}

// checkBlock checks the expressions of a block.
func (d *declarations) checkBlock(b *block) hcl.Diagnostics {
	var diags hcl.Diagnostics
	outer := scope{each: b.forEach != nil, eachWhy: noForEach}
	if b.forEach != nil {
		diags = append(diags, d.check(scope{eachWhy: notInEach}, b.forEach)...)
	}
	if b.hosts != nil {
		withLocal := outer
		withLocal.local = true
		diags = append(diags, d.check(withLocal, b.hosts)...)
	}
	inner := outer
	inner.target = true
	if s, err := lang.ShapeOf(b.state); err == nil { // declareBlock has reported the error
		diags = append(diags, d.check(inner, s.Expressions(b.body, b.meta()...)...)...)
	}
	diags = append(diags, d.checkLifecycle(b, inner)...)
	b.uses = targetUseOf(lang.Expressions(b.body)...)
	if expr := lang.ArgumentOf(b.body, "depends_on"); expr != nil && slices.Contains(b.meta(), "depends_on") {
		deps, depDiags := d.readDependsOn(expr)
		b.dependsOn = deps
		diags = append(diags, depDiags...)
	}
	return diags
}

// checkLifecycle checks the expressions of a lifecycle block. inner is the scope of the body around
// it.
func (d *declarations) checkLifecycle(b *block, inner scope) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, r := range b.life.preconditions {
		diags = append(diags, r.Check(d.eval, d.names(inner))...)
	}
	inner.self = stateNames(b.state)
	for _, r := range b.life.postconditions {
		diags = append(diags, r.Check(d.eval, d.names(inner))...)
	}
	return diags
}

// addresses returns the addresses of the instances, without hosts.
func (b *block) addresses() []string {
	list := make([]string, len(b.instances))
	for n, i := range b.instances {
		list[n] = b.name + i.key
	}
	return list
}

// allHosts returns the hosts of all instances.
func (b *block) allHosts() []*DeclaredHost {
	var hosts []*DeclaredHost
	for _, i := range b.instances {
		hosts = append(hosts, i.hosts...)
	}
	return hosts
}
