package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// move is a moved block, or a removed block, for which to is nil.
type move struct {
	block    string // "moved" or "removed"
	from, to *address
}

// address is the address of a resource, an instance or a mirror, without a host.
type address struct {
	kind  string // the resource type, or "mirror"
	label string
	key   string // `["key"]`, or ""
	rng   hcl.Range
}

func (a *address) block() string  { return a.kind + "." + a.label }
func (a *address) String() string { return a.block() + a.key }

// movedShape and removedShape describe these blocks for Structure.
type movedShape struct {
	From cty.Value `hcl:"from"`
	To   cty.Value `hcl:"to"`
}

type removedShape struct {
	From      cty.Value              `hcl:"from"`
	Lifecycle *removedLifecycleShape `hcl:"lifecycle,block"`
}

type removedLifecycleShape struct {
	Destroy bool `hcl:"destroy,optional"`
}

// readMove reads a moved or removed block. The move is nil if an address is missing or invalid.
func readMove(e *lang.Evaluator, registry *engine.Registry, b *hclsyntax.Block) (*move, hcl.Diagnostics) {
	s := lang.MustShape[movedShape]()
	if b.Type == "removed" {
		s = lang.MustShape[removedShape]()
	}
	diags := e.Structure(b.Body, b.DefRange(), s, fmt.Sprintf("a %s block", b.Type), nil)
	m := &move{block: b.Type}
	read := func(name string) *address {
		expr := lang.ArgumentOf(b.Body, name)
		if expr == nil {
			return nil
		}
		a, problem := readAddress(registry, b.Type, expr)
		if problem != nil {
			diags = append(diags, problem)
		}
		return a
	}
	m.from = read("from")
	if b.Type == "removed" {
		diags = append(diags, checkDestroy(e, b)...)
	} else if m.to = read("to"); m.to == nil {
		return nil, diags
	}
	if m.from == nil {
		return nil, diags
	}
	return m, diags
}

// checkDestroy accepts destroy = false in a removed block, as Terraform requires it there.
func checkDestroy(e *lang.Evaluator, b *hclsyntax.Block) hcl.Diagnostics {
	lb := lang.NestedBlock(b.Body, lifecycleBlock, 0)
	if lb == nil {
		return nil
	}
	destroy, diags := e.Flag(lb.Body, "destroy", false)
	if destroy {
		diags = append(diags, lang.ErrorAt(lb.Body.Attributes["destroy"].Expr.Range(), "Invalid value",
			"A removed block releases resources without destroying them. To destroy them, delete this block: "+
				"the next apply removes resources that are no longer declared."))
	}
	return diags
}

// readAddress reads the from or to argument of a block. It is a reference, which is not evaluated.
func readAddress(r *engine.Registry, blockType string, expr hclsyntax.Expression) (*address, *hcl.Diagnostic) {
	const form = "The argument takes a reference to a resource, an instance or a mirror, " +
		"as in file.NAME, file.NAME[\"KEY\"] or mirror.NAME."
	invalid := func(detail string) (*address, *hcl.Diagnostic) {
		return nil, lang.ErrorAt(expr.Range(), fmt.Sprintf("Invalid address in a %s block", blockType), "%s", detail)
	}
	t, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() {
		if template, ok := expr.(*hclsyntax.TemplateExpr); ok && template.IsStringLiteral() {
			return invalid(form + " Remove the quotes.")
		}
		return invalid(form)
	}
	kind, label, rest := nameOf(t)
	composite := r.Composite(kind)
	a := &address{kind: kind, label: label, rng: t.SourceRange()}
	switch {
	case label == "":
		return invalid(form)
	case composite == nil && r.Kind(kind) == nil:
		return nil, lang.ErrorAt(a.rng, "Unknown resource type",
			"There is no resource type %q. The argument takes a resource or a mirror.%s",
			kind, lang.DidYouMean(kind, append(r.Names(), r.CompositeNames()...)))
	case !isIdentifier(label):
		return invalid("The name is too long: the limit is 63 characters.")
	case len(rest) == 0:
		return a, nil
	case composite != nil:
		return invalid(fmt.Sprintf("%s has no instances. Write %s.", lang.Sentence(lang.WithArticle(kind), ""), a.block()))
	}
	index, ok := rest[0].(hcl.TraverseIndex)
	if !ok || len(rest) > 1 || !lang.IsString(index.Key) {
		return invalid(fmt.Sprintf("The key of an instance is a string, as in %s[\"KEY\"].", a.block()))
	}
	if why := checkKey(index.Key.AsString()); why != "" {
		return invalid(why)
	}
	a.key = engine.Index(index.Key.AsString())
	return a, nil
}

// checkMoves compares moved and removed blocks with the declared resources, and sets to of each
// move to the end of its chain.
func checkMoves(d *declarations) hcl.Diagnostics {
	var diags hcl.Diagnostics
	byFrom := map[string]*move{}
	g := lang.NewGraph()
	for _, m := range d.moves {
		from := m.from.String()
		if first := byFrom[from]; first != nil {
			diags = append(diags, lang.ErrorAt(m.from.rng, "Two moves from one address", "%s is already in a %s block at %s.",
				from, first.block, lang.Place(first.from.rng)))
			continue
		}
		byFrom[from] = m
		if m.to != nil {
			g.Add(from, m.from.rng, m.to.String())
		} else {
			g.Add(from, m.from.rng)
		}
	}
	for _, m := range d.moves {
		diags = append(diags, checkFrom(d, m)...)
		if m.to != nil {
			diags = append(diags, checkTo(d, m, byFrom)...)
		}
	}
	order, cycles := g.Order()
	for _, cycle := range cycles {
		diags = append(diags, g.Describe(cycle, lang.CycleWords{
			Summary: "Cycle of moves", Itself: "Cycle of moves", Problem: "These moves form a cycle", Verb: "is moved to",
		}))
	}
	if diags.HasErrors() {
		return diags
	}
	for _, n := range order { // starts with the ends of chains
		m := byFrom[n]
		if m.to == nil {
			continue
		}
		if next := byFrom[m.to.String()]; next != nil {
			m.to = next.to
		}
	}
	return diags
}

// checkFrom rejects a from address that is still declared.
func checkFrom(d *declarations, m *move) hcl.Diagnostics {
	b := d.byName[m.from.block()]
	if b == nil || b.keysUnknown {
		return nil
	}
	declared := m.from.key == "" || b.instance(m.from.key) != nil
	if m.to != nil && m.from.key == "" && m.to.key != "" && b.forEach != nil {
		declared = false // the single resource has become an instance
	}
	if !declared {
		return nil
	}
	return hcl.Diagnostics{lang.ErrorAt(m.from.rng, "Still declared",
		"%s is still declared at %s. Delete that block or this %s block.", m.from, lang.Place(b.header), m.block)}
}

// checkTo rejects a to address that is not declared, unless another block moves or removes it.
func checkTo(d *declarations, m *move, byFrom map[string]*move) hcl.Diagnostics {
	if m.from.kind != m.to.kind {
		return hcl.Diagnostics{lang.ErrorAt(m.to.rng, "Move to another type",
			"%s cannot become %s: a move cannot change the type.", m.from, m.to)}
	}
	b := d.byName[m.to.block()]
	_, goesOn := byFrom[m.to.String()]
	switch {
	case goesOn || b != nil && b.keysUnknown:
	case b == nil:
		hint := ""
		if s := lang.Suggest(m.to.block(), lang.Candidates(&d.misses, d.byName)); s != "" {
			hint = fmt.Sprintf(" Did you mean %s?", s)
		}
		return hcl.Diagnostics{lang.ErrorAt(m.to.rng, "Move to an undeclared resource",
			"There is no resource or mirror named %s.%s", m.to.block(), hint)}
	case m.to.key != "" && b.instance(m.to.key) == nil:
		hint := ""
		if d.misses.Another() {
			if s := lang.Suggest(m.to.String(), b.addresses()); s != "" {
				hint = fmt.Sprintf(" Did you mean %s?", s)
			}
		}
		return hcl.Diagnostics{lang.ErrorAt(m.to.rng, "Move to an undeclared resource",
			"There is no instance %s.%s", m.to, hint)}
	case m.to.key == "" && m.from.key != "" && b.forEach != nil:
		return hcl.Diagnostics{lang.ErrorAt(m.to.rng, "Move to many instances",
			"%s has for_each. Move %s to one of its instances, as in %s[\"KEY\"].", m.to, m.from, m.to)}
	}
	return nil
}

// instance returns the instance with a key in the form of addresses (`["key"]`), or nil.
func (b *block) instance(key string) *instance {
	for _, i := range b.instances {
		if i.key == key {
			return i
		}
	}
	return nil
}
