package ui

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/zclconf/go-cty/cty"
)

// maxValue is the largest width, in columns, of a string value shown with a diagnostic.
const maxValue = 60

// expressionValues describes the values of the variables in a diagnostic's expression, one per
// line, sorted. Unknown values, and values with a sensitive (marked) part, are omitted.
func expressionValues(d *hcl.Diagnostic) []string {
	if d.Expression == nil || d.EvalContext == nil {
		return nil
	}
	var lines []string
	for _, traversal := range d.Expression.Variables() {
		if traversal.IsRelative() {
			continue
		}
		v, diags := traversal.TraverseAbs(d.EvalContext)
		if diags.HasErrors() || v == cty.NilVal || v.ContainsMarked() {
			continue
		}
		if text := describeValue(v); text != "" {
			lines = append(lines, describeTraversal(traversal)+" is "+text)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// describeValue returns "" for an unknown value. v has no marks.
func describeValue(v cty.Value) string {
	t := v.Type()
	switch {
	case !v.IsKnown():
		return ""
	case v.IsNull():
		return "null"
	case t.IsPrimitiveType():
		return primitive(v)
	case t.IsObjectType():
		return elements("object", len(t.AttributeTypes()), "attribute")
	case t.IsTupleType():
		return elements("tuple", len(t.TupleElementTypes()), "element")
	case t.IsCollectionType():
		// A set with unknown elements has no length.
		if !v.Length().IsKnown() {
			return plain.Escape(t.FriendlyName())
		}
		return elements(t.FriendlyName(), v.LengthInt(), "element")
	}
	return plain.Escape(t.FriendlyName())
}

func elements(kind string, n int, noun string) string {
	if n == 0 {
		return fmt.Sprintf("%s without %ss", plain.Escape(kind), noun)
	}
	return fmt.Sprintf("%s with %s", plain.Escape(kind), count(n, noun))
}

func primitive(v cty.Value) string {
	switch v.Type() {
	case cty.Bool:
		return strconv.FormatBool(v.True())
	case cty.Number:
		return number(v.AsBigFloat())
	}
	return truncate(quote(v.AsString()), maxValue)
}

func number(f *big.Float) string {
	if f.IsInt() && f.MantExp(nil) <= 64 {
		return f.Text('f', 0)
	}
	return f.Text('g', 10)
}

// quote quotes a string as in Go, and escapes the result.
func quote(s string) string {
	return plain.Escape(strconv.Quote(s))
}

func describeTraversal(t hcl.Traversal) string {
	var b strings.Builder
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			b.WriteString(step.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + step.Name)
		case hcl.TraverseIndex:
			key := "…"
			if !step.Key.IsMarked() && step.Key.IsKnown() && !step.Key.IsNull() && step.Key.Type().IsPrimitiveType() {
				key = primitive(step.Key)
			}
			b.WriteString("[" + key + "]")
		default:
			b.WriteString("[…]")
		}
	}
	return plain.Escape(b.String())
}
