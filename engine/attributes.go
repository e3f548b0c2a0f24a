package engine

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Attribute is one attribute of a state, as plans show it.
type Attribute struct {
	Name      string
	Value     any // string, bool, a number, []string, map[string]string, or a struct of these
	Sensitive bool
}

// Attributes returns the attributes of a state (*S of a Type) that are set, in the order in which
// the type declares them: fields that the configuration sets, and fields that the type derives for
// plans. If any attribute is sensitive, all derived ones are too, since they are computed from it.
func Attributes(state any, sensitive map[string]bool) []Attribute {
	if state == nil {
		return nil
	}
	var list []Attribute
	v := reflect.Indirect(reflect.ValueOf(state))
	for _, f := range fieldsOf(v.Type()) {
		name, derived := attributeName(f)
		if name == "" {
			continue
		}
		value, set := plain(v.FieldByIndex(f.Index))
		if !set {
			continue
		}
		list = append(list, Attribute{Name: name, Value: value, Sensitive: sensitive[name] || derived && len(sensitive) > 0})
	}
	return list
}

var fieldLists sync.Map // from reflect.Type to the result of fieldsOf

// fieldsOf returns the fields of a state in declaration order, including those of embedded structs.
func fieldsOf(t reflect.Type) []reflect.StructField {
	if list, ok := fieldLists.Load(t); ok {
		return list.([]reflect.StructField)
	}
	list := reflect.VisibleFields(t)
	fieldLists.Store(t, list)
	return list
}

func attributeName(f reflect.StructField) (name string, derived bool) {
	if name, _, _ = strings.Cut(f.Tag.Get("hcl"), ","); name != "" {
		return name, false
	}
	name, _, _ = strings.Cut(f.Tag.Get("plan"), ",")
	return name, true
}

// plain dereferences pointers. The bool reports whether the value is set.
func plain(v reflect.Value) (any, bool) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil, false
		}
		return v.Elem().Interface(), true
	}
	return v.Interface(), !v.IsZero()
}

// compareAttributes returns the attributes that a plan shows for a change. Of the found ones it
// keeps those that are managed, and those tagged to be shown wherever they are found.
func compareAttributes(want, have any, sensitive map[string]bool) (before, after []Attribute) {
	before, after = Attributes(have, sensitive), Attributes(want, sensitive)
	if want == nil || have == nil {
		return before, after
	}
	shown := attributesShownWhereFound(have)
	for _, a := range after {
		shown[a.Name] = true
	}
	return slices.DeleteFunc(before, func(a Attribute) bool { return !shown[a.Name] }), after
}

// attributesShownWhereFound returns the attributes with a tag `plan:"name,found"`. They describe
// what occupies the place where something else is wanted.
func attributesShownWhereFound(state any) map[string]bool {
	names := map[string]bool{}
	for _, f := range fieldsOf(reflect.Indirect(reflect.ValueOf(state)).Type()) {
		if name, found := strings.CutSuffix(f.Tag.Get("plan"), ",found"); found {
			names[name] = true
		}
	}
	return names
}

// Plain converts the value of an Attribute to bool, int64, uint64, float64, string, []any or
// map[string]any. Struct fields get their names in the configuration.
func Plain(v any) any { return plainReflect(reflect.ValueOf(v)) }

func plainReflect(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Invalid:
		return nil
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plainReflect(v.Elem())
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
			return string(v.Bytes())
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plainReflect(v.Index(i))
		}
		return list
	case reflect.Map:
		m := map[string]any{}
		for _, k := range v.MapKeys() {
			m[fmt.Sprint(k.Interface())] = plainReflect(v.MapIndex(k))
		}
		return m
	case reflect.Struct:
		return plainStruct(v)
	}
	return fmt.Sprint(v.Interface())
}

func plainStruct(v reflect.Value) any {
	m := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		if name == "" {
			name = f.Tag.Get("plan")
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		if f.Tag.Get("hcl") != "" && v.Field(i).IsZero() {
			continue
		}
		m[name] = plainReflect(v.Field(i))
	}
	return m
}
