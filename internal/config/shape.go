package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// shape is what the tags of a struct say about the body that fills it:
//
//	Path    string  `hcl:"path"`           a required argument
//	Owner   string  `hcl:"owner,optional"` an optional one
//	Storage Storage `hcl:"storage,block"`  exactly one nested block
//	Sync    *Sync   `hcl:"sync,block"`     at most one
//	Rules   []Rule  `hcl:"rule,block"`     any number
//
// An argument's field is a string, bool, number, slice or map[string] of these, a pointer to one, a struct (an object), or a cty.Value (anything).
// Fields without the tag are not the configuration's.
type shape struct {
	fields []field
	byName map[string]*field
}

type field struct {
	name     string
	index    int
	block    bool
	required bool
	id       bool // says which thing on the host is meant
	argv     bool // becomes an argument of a program
	goType   reflect.Type
	ctyType  cty.Type // of an argument; DynamicPseudoType takes anything
}

var (
	shapes     sync.Map // of reflect.Type to *shape
	ctyValueOf = reflect.TypeFor[cty.Value]()
)

// shapeOf reads the tags of a struct type. An error is a mistake in the program.
func shapeOf(t reflect.Type) (*shape, error) {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape), nil
	}
	s := &shape{byName: map[string]*field{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		if name == "" {
			continue
		}
		fd := field{name: name, index: i, goType: f.Type, block: option == "block", required: option == "", id: f.Tag.Get("id") == "true", argv: f.Tag.Get("argv") == "true"}
		var err error
		if fd.block {
			fd.required = f.Type.Kind() == reflect.Struct
			_, err = shapeOf(structOf(f.Type))
		} else {
			fd.ctyType, err = argumentType(f.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		s.fields = append(s.fields, fd)
	}
	for i := range s.fields {
		s.byName[s.fields[i].name] = &s.fields[i]
	}
	shapes.Store(t, s)
	return s, nil
}

// structOf is the struct type of a block's field: T for T, *T, []T and []*T.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// argumentType is the type to which an argument's value is converted.
func argumentType(t reflect.Type) (cty.Type, error) {
	if t == ctyValueOf {
		return cty.DynamicPseudoType, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return argumentType(t.Elem())
	case reflect.String:
		return cty.String, nil
	case reflect.Bool:
		return cty.Bool, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return cty.Number, nil
	case reflect.Slice:
		elem, err := argumentType(t.Elem())
		return cty.List(elem), err
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return cty.NilType, fmt.Errorf("maps must have strings as keys")
		}
		elem, err := argumentType(t.Elem())
		return cty.Map(elem), err
	case reflect.Struct:
		return objectType(t)
	default:
		return cty.NilType, fmt.Errorf("no argument can have the Go type %s", t)
	}
}

func objectType(t reflect.Type) (cty.Type, error) {
	s, err := shapeOf(t)
	if err != nil {
		return cty.NilType, err
	}
	attrs := map[string]cty.Type{}
	var optional []string
	for _, f := range s.fields {
		if f.block {
			return cty.NilType, fmt.Errorf("an object cannot hold the block %s", f.name)
		}
		attrs[f.name] = f.ctyType
		if !f.required {
			optional = append(optional, f.name)
		}
	}
	return cty.ObjectWithOptionalAttrs(attrs, optional), nil
}

// names lists the arguments or the blocks that there are.
func (s *shape) names(blocks bool) []string {
	var names []string
	for _, f := range s.fields {
		if f.block == blocks {
			names = append(names, f.name)
		}
	}
	return names
}

// structure checks what can be seen of a body without evaluating anything: arguments and blocks that are unknown, missing or repeated.
// what names the body in messages ("a host", "a sync block"); meta are arguments that the struct does not have.
func structure(body *hclsyntax.Body, header hcl.Range, s *shape, what string, meta []string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	arguments, blocks := append(s.names(false), meta...), s.names(true)
	for _, a := range sortedAttributes(body) {
		f := s.byName[a.Name]
		switch {
		case slices.Contains(meta, a.Name) || f != nil && !f.block:
		case f != nil:
			diags = append(diags, errorAt(a.NameRange, "Block expected", "In %s, %q is a block, not an argument: write it without the equals sign, as in %s { … }.", what, a.Name, a.Name))
		default:
			diags = append(diags, errorAt(a.NameRange, "Unsupported argument", "There is no argument named %q in %s.%s", a.Name, what, hintFor(a.Name, arguments, blocks, false)))
		}
	}
	count := map[string]int{}
	for _, b := range body.Blocks {
		f := s.byName[b.Type]
		switch {
		case f == nil && slices.Contains(meta, b.Type), f != nil && !f.block:
			diags = append(diags, errorAt(b.TypeRange, "Argument expected", "In %s, %q is an argument, not a block: set it with an equals sign, as in %s = ….", what, b.Type, b.Type))
		case f == nil:
			diags = append(diags, errorAt(b.TypeRange, "Unsupported block", "There is no block named %q in %s.%s", b.Type, what, hintFor(b.Type, arguments, blocks, true)))
		default:
			diags = append(diags, f.nested(b, &count)...)
		}
	}
	for _, f := range s.fields {
		switch {
		case f.required && f.block && count[f.name] == 0:
			diags = append(diags, errorAt(header, "Missing block", "In %s, a block named %q is required.", what, f.name))
		case f.required && !f.block && body.Attributes[f.name] == nil:
			diags = append(diags, errorAt(header, "Missing required argument", "In %s, the argument %q is required.", what, f.name))
		}
	}
	return diags
}

// nested checks one nested block.
func (f *field) nested(b *hclsyntax.Block, count *map[string]int) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if len(b.Labels) > 0 {
		diags = append(diags, errorAt(b.LabelRanges[0], "Unexpected label", "A block named %q has no label.", b.Type))
	}
	if (*count)[b.Type]++; (*count)[b.Type] == 2 && f.goType.Kind() != reflect.Slice {
		diags = append(diags, errorAt(b.DefRange(), "Repeated block", "Only one block named %q is allowed here.", b.Type))
	}
	inner, err := shapeOf(structOf(f.goType))
	if err != nil {
		return append(diags, errorAt(b.DefRange(), "Unusable block", "%s", err))
	}
	return append(diags, structure(b.Body, b.DefRange(), inner, withArticle(b.Type)+" block", nil)...)
}

// hintFor suggests an argument or a block for a name; those of the kind that was written come first.
func hintFor(name string, arguments, blocks []string, isBlock bool) string {
	if name == "count" && slices.Contains(arguments, "for_each") {
		return " Use for_each, with each.key and each.value."
	}
	if hint := foreignHint(name); hint != "" {
		return hint
	}
	first, second := arguments, blocks
	if isBlock {
		first, second = blocks, arguments
	}
	if hint := didYouMean(name, first); hint != "" {
		return hint
	}
	if s := suggest(name, second); s != "" && isBlock {
		return fmt.Sprintf(" Did you mean the argument %q?", s)
	} else if s != "" {
		return fmt.Sprintf(" Did you mean the block %q?", s)
	}
	return ""
}

// sortedAttributes returns a body's arguments in the order of the source.
func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	attrs := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		if a != nil && a.Expr != nil {
			attrs = append(attrs, a)
		}
	}
	slices.SortFunc(attrs, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	return attrs
}

// expressions returns those of a body that the shape has arguments for. What belongs to no argument
// is reported as such, and what it refers to is of no concern.
func (s *shape) expressions(body *hclsyntax.Body, skip ...string) []hclsyntax.Expression {
	var list []hclsyntax.Expression
	for _, a := range sortedAttributes(body) {
		if f := s.byName[a.Name]; f != nil && !f.block && !slices.Contains(skip, a.Name) {
			list = append(list, a.Expr)
		}
	}
	for _, b := range body.Blocks {
		f := s.byName[b.Type]
		if f == nil || !f.block || b.Body == nil {
			continue
		}
		if inner, err := shapeOf(structOf(f.goType)); err == nil {
			list = append(list, inner.expressions(b.Body)...)
		}
	}
	return list
}

// expressions returns every expression in a body, nested blocks included, in the order of the source; skip leaves out arguments of the body itself.
func expressions(body *hclsyntax.Body, skip ...string) []hclsyntax.Expression {
	var list []hclsyntax.Expression
	for _, a := range sortedAttributes(body) {
		if !slices.Contains(skip, a.Name) {
			list = append(list, a.Expr)
		}
	}
	for _, b := range body.Blocks {
		list = append(list, expressions(b.Body)...)
	}
	return list
}
