package lang

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// names returns the names of the arguments or of the blocks.
func (s *shape) names(blocks bool) []string {
	var names []string
	for _, f := range s.Fields {
		if f.block == blocks {
			names = append(names, f.Name)
		}
	}
	return names
}

// Structure checks a body without evaluating it: it reports arguments and blocks that are unknown,
// missing or repeated. what names the body in messages ("a host", "a sync block"). meta holds
// arguments that the body may have besides those of its struct.
func (e *Evaluator) Structure(body *hclsyntax.Body, header hcl.Range, s *shape, what string, meta []string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	arguments, blocks := append(s.names(false), meta...), s.names(true)
	for _, a := range SortedAttributes(body) {
		f := s.byName[a.Name]
		switch {
		case slices.Contains(meta, a.Name) || f != nil && !f.block:
		case f != nil:
			diags = append(diags, ErrorAt(a.NameRange, "Block expected",
				"In %s, %q is a block, not an argument: write it without the equals sign, as in %s { … }.", what, a.Name, a.Name))
		default:
			diags = append(diags, ErrorAt(a.NameRange, "Unsupported argument",
				"There is no argument named %q in %s.%s", a.Name, what, e.hintFor(a.Name, arguments, blocks, false)))
		}
	}
	count := map[string]int{}
	for _, b := range body.Blocks {
		f := s.byName[b.Type]
		switch {
		case f == nil && slices.Contains(meta, b.Type), f != nil && !f.block:
			diags = append(diags, ErrorAt(b.TypeRange, "Argument expected",
				"In %s, %q is an argument, not a block: set it with an equals sign, as in %s = ….", what, b.Type, b.Type))
		case f == nil:
			diags = append(diags, ErrorAt(b.TypeRange, "Unsupported block",
				"There is no block named %q in %s.%s", b.Type, what, e.hintFor(b.Type, arguments, blocks, true)))
		default:
			diags = append(diags, e.nested(b, f, &count)...)
		}
	}
	for _, f := range s.Fields {
		switch {
		case f.required && f.block && count[f.Name] == 0:
			diags = append(diags, ErrorAt(header, "Missing block", "In %s, a block named %q is required.", what, f.Name))
		case f.required && !f.block && body.Attributes[f.Name] == nil:
			diags = append(diags, ErrorAt(header, "Missing required argument",
				"In %s, the argument %q is required.", what, f.Name))
		}
	}
	return diags
}

// nested checks one nested block.
func (e *Evaluator) nested(b *hclsyntax.Block, f *Field, count *map[string]int) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if len(b.Labels) > 0 {
		diags = append(diags, ErrorAt(b.LabelRanges[0], "Unexpected label", "A block named %q has no label.", b.Type))
	}
	if (*count)[b.Type]++; (*count)[b.Type] == 2 && f.goType.Kind() != reflect.Slice {
		diags = append(diags, ErrorAt(b.DefRange(), "Repeated block", "Only one block named %q is allowed here.", b.Type))
	}
	inner, err := ShapeOf(structOf(f.goType))
	if err != nil {
		return append(diags, ErrorAt(b.DefRange(), "Unusable block", "%s", err))
	}
	return append(diags, e.Structure(b.Body, b.DefRange(), inner, WithArticle(b.Type)+" block", nil)...)
}

// hintFor suggests an argument or a block for an unknown name. It prefers what the source has:
// blocks for a block, arguments for an argument.
func (e *Evaluator) hintFor(name string, arguments, blocks []string, isBlock bool) string {
	if name == "count" && slices.Contains(arguments, "for_each") {
		return " Use for_each with each.key and each.value."
	}
	if hint := e.hint(name); hint != "" {
		return hint
	}
	first, second := arguments, blocks
	if isBlock {
		first, second = blocks, arguments
	}
	if hint := DidYouMean(name, first); hint != "" {
		return hint
	}
	if s := Suggest(name, second); s != "" && isBlock {
		return fmt.Sprintf(" Did you mean the argument %q?", s)
	} else if s != "" {
		return fmt.Sprintf(" Did you mean the block %q?", s)
	}
	return ""
}

// SortedAttributes returns the arguments of a body in source order.
func SortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	attrs := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		if a != nil && a.Expr != nil {
			attrs = append(attrs, a)
		}
	}
	slices.SortFunc(attrs, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	return attrs
}

// Expressions returns the expressions of a body's arguments, without those of arguments and blocks
// that the shape does not have. Structure reports these.
func (s *shape) Expressions(body *hclsyntax.Body, skip ...string) []hclsyntax.Expression {
	var list []hclsyntax.Expression
	for _, a := range SortedAttributes(body) {
		if f := s.byName[a.Name]; f != nil && !f.block && !slices.Contains(skip, a.Name) {
			list = append(list, a.Expr)
		}
	}
	for _, b := range body.Blocks {
		f := s.byName[b.Type]
		if f == nil || !f.block || b.Body == nil {
			continue
		}
		if inner, err := ShapeOf(structOf(f.goType)); err == nil {
			list = append(list, inner.Expressions(b.Body)...)
		}
	}
	return list
}

// Expressions returns every expression in a body and its nested blocks, in source order. skip names
// arguments of the body itself to leave out.
func Expressions(body *hclsyntax.Body, skip ...string) []hclsyntax.Expression {
	var list []hclsyntax.Expression
	for _, a := range SortedAttributes(body) {
		if !slices.Contains(skip, a.Name) {
			list = append(list, a.Expr)
		}
	}
	for _, b := range body.Blocks {
		list = append(list, Expressions(b.Body)...)
	}
	return list
}

// Duplicate returns the error of a second declaration.
func Duplicate(what, name string, second, first hcl.Range) *hcl.Diagnostic {
	return ErrorAt(second, "Duplicate "+what,
		"The %s %q is already declared at %s. Names must be unique.", what, name, Place(first))
}

// ArgumentOf returns the expression of an argument, or nil.
func ArgumentOf(body *hclsyntax.Body, name string) hclsyntax.Expression {
	if a := body.Attributes[name]; a != nil {
		return a.Expr
	}
	return nil
}

// NestedBlock returns the nested block of that name with the given index, or nil.
func NestedBlock(body *hclsyntax.Body, name string, index int) *hclsyntax.Block {
	for _, nested := range body.Blocks {
		if nested.Type == name && nested.Body != nil {
			if index == 0 {
				return nested
			}
			index--
		}
	}
	return nil
}

// WithBlock returns the shape with one more nested block, which fills no struct.
func WithBlock(s *shape, name string, goType reflect.Type) *shape {
	more := &shape{Fields: append(slices.Clip(s.Fields), Field{Name: name, Index: -1, goType: goType, block: true}), byName: map[string]*Field{}}
	for i := range more.Fields {
		more.byName[more.Fields[i].Name] = &more.Fields[i]
	}
	return more
}

// WithoutBlocks returns a body without its nested blocks of that type.
func WithoutBlocks(body *hclsyntax.Body, name string) *hclsyntax.Body {
	rest := &hclsyntax.Body{Attributes: body.Attributes, SrcRange: body.SrcRange, EndRange: body.EndRange}
	for _, b := range body.Blocks {
		if b.Type != name {
			rest.Blocks = append(rest.Blocks, b)
		}
	}
	return rest
}

// KeyedRange returns the range of an element of an object expression, or of the whole expression.
func KeyedRange(expr hclsyntax.Expression, key string) hcl.Range {
	if object, ok := expr.(*hclsyntax.ObjectConsExpr); ok && key != "" {
		for _, item := range object.Items {
			if k, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && isText(k, key) {
				return item.ValueExpr.Range()
			}
		}
	}
	return expr.Range()
}
