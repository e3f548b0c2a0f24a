package lang

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"
)

// shape describes the body that fills a struct. It comes from the tags of the struct:
//
//	Path    string  `hcl:"path"`           a required argument
//	Owner   string  `hcl:"owner,optional"` an optional argument
//	Storage Storage `hcl:"storage,block"`  exactly one nested block
//	Sync    *Sync   `hcl:"sync,block"`     at most one nested block
//	Rules   []Rule  `hcl:"rule,block"`     any number of nested blocks
//
// The field of an argument is a string, bool, number, slice or map[string] of these, a pointer to
// one, a struct (an object), or a cty.Value (any value). A configuration cannot set fields without
// the tag. With one:"true", the argument of a list or a map can also be a string, as its only
// element.
type shape struct {
	Fields []Field
	byName map[string]*Field
}

// Field is an argument or a nested block of a shape.
type Field struct {
	Name     string
	Index    int
	block    bool
	required bool
	tag      reflect.StructTag
	goType   reflect.Type
	ctyType  cty.Type // of an argument; DynamicPseudoType is any type
}

// Tag reports whether the field has the tag name:"true".
func (f *Field) Tag(name string) bool { return f.tag.Get(name) == "true" }

// Hint returns the field's tag hint: what to do instead of setting a value of the wrong type.
func (f *Field) Hint() string { return f.tag.Get("hint") }

var (
	shapes     sync.Map // reflect.Type to *shape
	ctyValueOf = reflect.TypeFor[cty.Value]()
)

// ShapeOf returns the shape of a struct type. An error is a bug in the program.
func ShapeOf(t reflect.Type) (*shape, error) {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape), nil
	}
	s := &shape{byName: map[string]*Field{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		if name == "" {
			continue
		}
		fd := Field{Name: name, Index: i, goType: f.Type, block: option == "block", required: option == "", tag: f.Tag}
		var err error
		if fd.block {
			fd.required = f.Type.Kind() == reflect.Struct
			_, err = ShapeOf(structOf(f.Type))
		} else {
			fd.ctyType, err = argumentType(f.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		s.Fields = append(s.Fields, fd)
	}
	for i := range s.Fields {
		s.byName[s.Fields[i].Name] = &s.Fields[i]
	}
	shapes.Store(t, s)
	return s, nil
}

// structOf returns the struct type of a block's field: T for T, *T, []T and []*T.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// argumentType returns the type that an argument's value is converted to.
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
		return cty.NilType, fmt.Errorf("an argument cannot have the Go type %s", t)
	}
}

func objectType(t reflect.Type) (cty.Type, error) {
	s, err := ShapeOf(t)
	if err != nil {
		return cty.NilType, err
	}
	attrs := map[string]cty.Type{}
	var optional []string
	for _, f := range s.Fields {
		if f.block {
			return cty.NilType, fmt.Errorf("an object cannot contain the block %s", f.Name)
		}
		attrs[f.Name] = f.ctyType
		if !f.required {
			optional = append(optional, f.Name)
		}
	}
	return cty.ObjectWithOptionalAttrs(attrs, optional), nil
}

// MustShape returns the shape of a struct of this program. It panics if the tags are wrong.
func MustShape[T any]() *shape {
	s, err := ShapeOf(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	return s
}
