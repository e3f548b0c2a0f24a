package config

import (
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// stateNames returns the attributes of a found state: those that a configuration sets, and those
// that the type derives.
func stateNames(t reflect.Type) []string {
	names := []string{}
	for _, f := range reflect.VisibleFields(t) {
		if name := stateName(f); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func stateName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("hcl"), ",")
	if name == "" {
		name, _, _ = strings.Cut(f.Tag.Get("plan"), ",")
	}
	return name
}

// stateValue returns the object self: the attributes of a found state with the names and values
// that plans show. found is a pointer to the state; if it is nil, the object is null. The object
// has every attribute of the type, so that conditions can refer to it. A nil pointer in the state
// is null.
func stateValue(t reflect.Type, found any, sensitive map[string]bool) cty.Value {
	v := reflect.ValueOf(found)
	if found == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	attrs := map[string]cty.Value{}
	for _, f := range reflect.VisibleFields(t) {
		if stateName(f) != "" {
			attrs[stateName(f)] = plainValue(engine.Plain(reflect.Zero(f.Type).Interface()))
		}
	}
	for _, a := range engine.Attributes(found, sensitive) {
		value := plainValue(engine.Plain(a.Value))
		if a.Sensitive {
			value = value.Mark(lang.SensitiveMark)
		}
		attrs[a.Name] = value
	}
	return cty.ObjectVal(attrs)
}

// plainValue converts a result of engine.Plain.
func plainValue(v any) cty.Value {
	switch v := v.(type) {
	case string:
		return cty.StringVal(v)
	case bool:
		return cty.BoolVal(v)
	case int64:
		return cty.NumberIntVal(v)
	case uint64:
		return cty.NumberUIntVal(v)
	case float64:
		if math.IsNaN(v) {
			break
		}
		return cty.NumberFloatVal(v)
	case []any:
		elems := make([]cty.Value, len(v))
		for i, e := range v {
			elems[i] = plainValue(e)
		}
		return cty.TupleVal(elems)
	case map[string]any:
		attrs := make(map[string]cty.Value, len(v))
		for name, e := range v {
			attrs[name] = plainValue(e)
		}
		return cty.ObjectVal(attrs)
	}
	return cty.NullVal(cty.DynamicPseudoType)
}
