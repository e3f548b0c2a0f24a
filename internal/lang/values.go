package lang

import (
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
)

// IsString reports whether a value is a known string that is not null.
func IsString(v cty.Value) bool { return v.Type() == cty.String && v.IsKnown() && !v.IsNull() }

func isText(v cty.Value, text string) bool { return IsString(v) && v.AsString() == text }

// DescribeType returns a type in words for a sentence: "a list of strings".
func DescribeType(t cty.Type) string {
	switch {
	case t == cty.String, t == cty.Number:
		return "a " + t.FriendlyName()
	case t == cty.Bool:
		return "true or false"
	case t.IsListType():
		return "a list of " + plural(t.ElementType())
	case t.IsSetType():
		return "a set of " + plural(t.ElementType())
	case t.IsMapType():
		return "a map of " + plural(t.ElementType())
	case t.IsTupleType():
		return "a list"
	case t.IsObjectType():
		return "an object"
	default:
		return typeexpr.TypeString(t)
	}
}

func plural(t cty.Type) string {
	switch {
	case t == cty.String:
		return "strings"
	case t == cty.Number:
		return "numbers"
	case t == cty.Bool:
		return "true or false values"
	case t.IsObjectType():
		return "objects"
	default:
		return "values"
	}
}
