package config

import (
	"fmt"
	"strconv"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// eachKey is one element of a for_each.
type eachKey struct {
	key   string
	value cty.Value
}

// context returns a child context with the object each.
func (k eachKey) context(ctx *hcl.EvalContext) *hcl.EvalContext {
	child := ctx.NewChild()
	child.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(k.key), "value": k.value})}
	return child
}

// maxInstances is the largest number of elements in a for_each.
const maxInstances = 10_000

// forEach evaluates a for_each argument: a map, an object or a set of strings. The keys are sorted.
// If they are not known or there was an error, the result is nil.
func forEach(e *lang.Evaluator, expr hclsyntax.Expression, ctx *hcl.EvalContext) ([]eachKey, hcl.Diagnostics) {
	v, diags := e.Eval(expr, ctx)
	fail := func(format string, args ...any) ([]eachKey, hcl.Diagnostics) {
		d := lang.ErrorAt(expr.Range(), "Invalid for_each argument", format, args...)
		d.Expression, d.EvalContext = expr, ctx
		return nil, append(diags, e.Redact(expr, ctx, hcl.Diagnostics{d})...)
	}
	if diags.HasErrors() || e.Bad(expr) {
		return nil, diags
	}
	// Elements may be sensitive. Keys and the number of elements must not be.
	if v.IsMarked() || v.Type().IsSetType() && lang.IsSensitive(v) {
		return fail("The value is sensitive, but its keys are part of addresses, which are printed. " +
			"If the keys are not secret, use nonsensitive(…).")
	}
	ty := v.Type()
	switch {
	case v.IsNull():
		return fail("The value is null. For no instances, use {}.")
	case !v.IsKnown():
		e.Unsettled(expr)
		return nil, diags
	case ty.IsTupleType() || ty.IsListType():
		return fail("The value must be a map or a set of strings, but it is a list. " +
			"To convert a list of strings, use toset([…]).")
	case ty.IsSetType() && ty.ElementType() != cty.String && v.LengthInt() > 0:
		return fail("The value must be a map or a set of strings, but it is %s.", lang.DescribeType(ty))
	case !ty.IsSetType() && !ty.IsMapType() && !ty.IsObjectType():
		return fail("The value must be a map or a set of strings, but it is %s.", lang.DescribeType(ty))
	case v.LengthInt() > maxInstances:
		return fail("The value has %d elements. The limit is %d.", v.LengthInt(), maxInstances)
	}
	keys := []eachKey{}
	for it := v.ElementIterator(); it.Next(); {
		key, elem := it.Element()
		if ty.IsSetType() {
			key = elem
		}
		if !key.IsKnown() {
			e.Unsettled(expr)
			return nil, diags
		}
		if key.IsNull() {
			return fail("A key is null.")
		}
		if why := checkKey(key.AsString()); why != "" {
			return fail("%s", why)
		}
		keys = append(keys, eachKey{key.AsString(), elem})
	}
	return keys, diags
}

// checkKey returns why a for_each key cannot be part of an address, or "".
func checkKey(key string) string {
	if key == "" {
		return "A key is empty."
	}
	if len(key) > 255 {
		return "A key is longer than 255 bytes."
	}
	for _, r := range key {
		if !unicode.IsPrint(r) {
			return fmt.Sprintf("The key %s contains a character that cannot be printed. Keys are part of addresses.",
				strconv.QuoteToASCII(key))
		}
	}
	return ""
}
