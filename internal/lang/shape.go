package lang

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

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
// An argument's field is a string, bool, number, slice or map[string] of these, a pointer to one, a
// struct (an object), or a cty.Value (anything). Fields without the tag are not the
// configuration's.
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
	ctyType  cty.Type // of an argument; DynamicPseudoType takes anything
}

// Tag reports whether another tag of the field is "true".
func (f *Field) Tag(name string) bool { return f.tag.Get(name) == "true" }

var (
	shapes     sync.Map // of reflect.Type to *shape
	ctyValueOf = reflect.TypeFor[cty.Value]()
)

// ShapeOf reads the tags of a struct type. An error is a mistake in the program.
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
	s, err := ShapeOf(t)
	if err != nil {
		return cty.NilType, err
	}
	attrs := map[string]cty.Type{}
	var optional []string
	for _, f := range s.Fields {
		if f.block {
			return cty.NilType, fmt.Errorf("an object cannot hold the block %s", f.Name)
		}
		attrs[f.Name] = f.ctyType
		if !f.required {
			optional = append(optional, f.Name)
		}
	}
	return cty.ObjectWithOptionalAttrs(attrs, optional), nil
}

// MustShape is the shape of a struct of the program's own.
func MustShape[T any]() *shape {
	s, err := ShapeOf(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	return s
}
