package config

import (
	"reflect"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/zclconf/go-cty/cty"
)

// ctyType returns the type of the values that ctyValue makes from a Go type. Structs become objects
// with the names of their json tags.
func ctyType(t reflect.Type) cty.Type {
	switch t.Kind() {
	case reflect.String:
		return cty.String
	case reflect.Bool:
		return cty.Bool
	case reflect.Slice:
		return cty.List(ctyType(t.Elem()))
	case reflect.Map:
		return cty.Map(ctyType(t.Elem()))
	case reflect.Struct:
		attrs := map[string]cty.Type{}
		for i := range t.NumField() {
			attrs[jsonName(t.Field(i))] = ctyType(t.Field(i).Type)
		}
		return cty.Object(attrs)
	default:
		return cty.Number
	}
}

func ctyValue(v reflect.Value) cty.Value {
	switch v.Kind() {
	case reflect.String:
		return cty.StringVal(v.String())
	case reflect.Bool:
		return cty.BoolVal(v.Bool())
	case reflect.Slice:
		if v.Len() == 0 {
			return cty.ListValEmpty(ctyType(v.Type().Elem()))
		}
		elems := make([]cty.Value, v.Len())
		for i := range elems {
			elems[i] = ctyValue(v.Index(i))
		}
		return cty.ListVal(elems)
	case reflect.Map:
		if v.Len() == 0 {
			return cty.MapValEmpty(ctyType(v.Type().Elem()))
		}
		elems := map[string]cty.Value{}
		for _, k := range v.MapKeys() {
			elems[k.String()] = ctyValue(v.MapIndex(k))
		}
		return cty.MapVal(elems)
	case reflect.Struct:
		attrs := map[string]cty.Value{}
		for i := range v.NumField() {
			attrs[jsonName(v.Type().Field(i))] = ctyValue(v.Field(i))
		}
		return cty.ObjectVal(attrs)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return cty.NumberUIntVal(v.Uint())
	case reflect.Float32, reflect.Float64:
		return cty.NumberFloatVal(v.Float())
	default:
		return cty.NumberIntVal(v.Int())
	}
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// factsValue returns the value of target.facts. For a host that was not reached, it is unknown.
func factsValue(facts *wire.Facts) cty.Value {
	if facts == nil {
		return cty.UnknownVal(factsType)
	}
	return ctyValue(reflect.ValueOf(*facts))
}
