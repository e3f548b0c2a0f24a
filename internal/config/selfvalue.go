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

// stateNames lists the attributes that a found state can have: those that are set in a
// configuration, and those that the type derives.
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

// stateValue is the object self: the attributes of a found state (*S, or nil for an object that is
// null) with the names and values that plans show. Every attribute of the type is there, so that a
// condition can ask for it: a pointer that is nil is null.
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

// plainValue is the value of what engine.Plain returns.
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
