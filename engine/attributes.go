package engine

import (
	"reflect"
	"slices"
	"strings"
)

// Attribute is one attribute of a state, as plans show it.
type Attribute struct {
	Name      string
	Value     any // string, bool, int64, uint64, float64, []string, map[string]string, or a struct of these
	Sensitive bool
}

// Attributes returns the attributes of a state (*S of a Type) that are set, in the order in which the type declares them.
// Fields that the configuration sets and fields that the type derives for plans are both there. Where any attribute is sensitive,
// derived ones count as sensitive too, since they are made from it.
func Attributes(state any, sensitive map[string]bool) []Attribute {
	if state == nil {
		return nil
	}
	var list []Attribute
	v := reflect.Indirect(reflect.ValueOf(state))
	for i := range v.NumField() {
		name, derived := attributeName(v.Type().Field(i))
		if name == "" {
			continue
		}
		value, set := plain(v.Field(i))
		if !set {
			continue
		}
		list = append(list, Attribute{Name: name, Value: value, Sensitive: sensitive[name] || derived && len(sensitive) > 0})
	}
	return list
}

func attributeName(f reflect.StructField) (name string, derived bool) {
	if name, _, _ = strings.Cut(f.Tag.Get("hcl"), ","); name != "" {
		return name, false
	}
	name, _, _ = strings.Cut(f.Tag.Get("plan"), ",")
	return name, true
}

// plain takes pointers away; it tells whether the value is set.
func plain(v reflect.Value) (any, bool) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil, false
		}
		return v.Elem().Interface(), true
	}
	return v.Interface(), !v.IsZero()
}

// compareAttributes returns the attributes of have and want that say what a change does: of what is found, what is managed, and what is shown
// wherever it is found.
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

// attributesShownWhereFound are those with a tag `plan:"name,found"`: what lies where something else is wanted.
func attributesShownWhereFound(state any) map[string]bool {
	names := map[string]bool{}
	t := reflect.Indirect(reflect.ValueOf(state)).Type()
	for i := range t.NumField() {
		if name, found := strings.CutSuffix(t.Field(i).Tag.Get("plan"), ",found"); found {
			names[name] = true
		}
	}
	return names
}
