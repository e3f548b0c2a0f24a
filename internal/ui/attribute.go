package ui

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// SensitiveValue replaces every sensitive value, in text and in JSON.
const SensitiveValue = engine.SensitiveValue

// maxInline is the largest width, in columns, of a list or map on the line of its attribute. Longer
// ones are shown with one element per line.
const maxInline = 60

// plainValue converts a value of engine.Attribute to bool, number, string, []any or map[string]any.
func plainValue(v any) any { return engine.Plain(v) }

// inline returns a plain value on one line, escaped.
func inline(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		if binary(v) {
			return fmt.Sprintf("(binary, %s)", count(len(v), "byte"))
		}
		return quote(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = inline(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		if len(v) == 0 {
			return "{}"
		}
		var parts []string
		for _, k := range sortedNames(v) {
			parts = append(parts, mapKey(k)+" = "+inline(v[k]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return plain.Escape(fmt.Sprint(v))
}

// text returns a plain value as lines of text, for comparison line by line. A string is not
// escaped.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var b strings.Builder
		for _, e := range v {
			b.WriteString(inline(e) + "\n")
		}
		return b.String()
	case map[string]any:
		var b strings.Builder
		for _, k := range sortedNames(v) {
			b.WriteString(mapKey(k) + " = " + inline(v[k]) + "\n")
		}
		return b.String()
	}
	return inline(v)
}

// multiline reports whether a plain value is shown line by line.
func multiline(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(strings.TrimSuffix(v, "\n"), "\n") && !binary(v)
	case []any:
		return len(v) > 1 && columns(inline(v)) > maxInline
	case map[string]any:
		return len(v) > 1 && columns(inline(v)) > maxInline
	}
	return false
}

func binary(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsRune(s, 0)
}

func sortedNames(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

func mapKey(k string) string {
	for _, r := range k {
		if r != '_' && r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return quote(k)
		}
	}
	if k == "" {
		return quote(k)
	}
	return plain.Escape(k)
}

// attributeChange is one attribute before and after a change; nil means not set.
type attributeChange struct {
	name          string
	before, after *engine.Attribute
}

func (c attributeChange) sensitive() bool {
	return c.before != nil && c.before.Sensitive || c.after != nil && c.after.Sensitive
}

// attributeChanges returns the attributes that differ, in the order of After, then those that only
// Before has.
func attributeChanges(c *engine.Change) []attributeChange {
	var list []attributeChange
	seen := map[string]bool{}
	for i := range c.After {
		a := &c.After[i]
		b := findAttribute(c.Before, a.Name)
		seen[a.Name] = true
		if b == nil || !reflect.DeepEqual(plainValue(a.Value), plainValue(b.Value)) {
			list = append(list, attributeChange{a.Name, b, a})
		}
	}
	for i := range c.Before {
		if b := &c.Before[i]; !seen[b.Name] {
			list = append(list, attributeChange{b.Name, b, nil})
		}
	}
	return list
}

func findAttribute(list []engine.Attribute, name string) *engine.Attribute {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}
