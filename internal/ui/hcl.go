package ui

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/zclconf/go-cty/cty"
)

// unknownValue stands for unknown values in the output of HCL.
const unknownValue = "(known after the host is reached)"

// HCL returns a value as an expression that evaluates to the same value, with one element per line.
// Sensitive (marked) and unknown values are replaced by words in parentheses. The lines are
// escaped.
func HCL(v cty.Value) string {
	lines := escapeLines(string(hclwrite.Format([]byte(expression(v, "")))))
	return strings.Join(lines, "\n")
}

// expression returns a value as an expression. Lines after the first start with indent.
func expression(v cty.Value, indent string) string {
	switch ty := v.Type(); {
	case v.IsMarked():
		return SensitiveValue
	case !v.IsKnown():
		return unknownValue
	case v.IsNull():
		return "null"
	case ty.IsPrimitiveType():
		return string(hclwrite.TokensForValue(v).Bytes())
	case ty.IsObjectType():
		return members(v.AsValueMap(), indent)
	case ty.IsMapType():
		return "tomap(" + members(v.AsValueMap(), indent) + ")"
	case ty.IsTupleType():
		return elementsOf(v.AsValueSlice(), indent)
	case ty.IsListType():
		return "tolist(" + elementsOf(v.AsValueSlice(), indent) + ")"
	case ty.IsSetType():
		return "toset(" + elementsOf(v.AsValueSlice(), indent) + ")"
	default:
		return "(" + plain.Escape(ty.FriendlyName()) + ")"
	}
}

const oneLevel = "  "

func members(values map[string]cty.Value, indent string) string {
	if len(values) == 0 {
		return "{}"
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		key := name
		if name == "for" || !hclsyntax.ValidIdentifier(name) { // { for … } is a for expression
			key = string(hclwrite.TokensForValue(cty.StringVal(name)).Bytes())
		}
		b.WriteString(indent + oneLevel + key + " = " + expression(values[name], indent+oneLevel) + "\n")
	}
	b.WriteString(indent + "}")
	return b.String()
}

func elementsOf(values []cty.Value, indent string) string {
	if len(values) == 0 {
		return "[]"
	}
	var b strings.Builder
	b.WriteString("[\n")
	for _, v := range values {
		b.WriteString(indent + oneLevel + expression(v, indent+oneLevel) + ",\n")
	}
	b.WriteString(indent + "]")
	return b.String()
}
