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

// context is ctx with the object each.
func (k eachKey) context(ctx *hcl.EvalContext) *hcl.EvalContext {
	child := ctx.NewChild()
	child.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(k.key), "value": k.value})}
	return child
}

// maxInstances is how many elements a for_each may have.
const maxInstances = 10_000

// forEach evaluates a for_each argument: a map, an object or a set of strings. The keys are sorted;
// nil means that they are not known, for an error.
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
	// Elements may be sensitive: keys, and what says how many there are, may not.
	if v.IsMarked() || v.Type().IsSetType() && lang.IsSensitive(v) {
		return fail("The value is sensitive, but keys are part of addresses, which are printed. If the keys are not really secret, use nonsensitive(…).")
	}
	ty := v.Type()
	switch {
	case v.IsNull():
		return fail("The value is null. Use {} for nothing.")
	case !v.IsKnown():
		e.Unsettled(expr)
		return nil, diags
	case ty.IsTupleType() || ty.IsListType():
		return fail("The value is a list. A map or a set of strings is wanted; toset([…]) makes a set of a list of strings.")
	case ty.IsSetType() && ty.ElementType() != cty.String && v.LengthInt() > 0:
		return fail("The value is %s. A map or a set of strings is wanted.", lang.DescribeType(ty))
	case !ty.IsSetType() && !ty.IsMapType() && !ty.IsObjectType():
		return fail("The value is %s. A map or a set of strings is wanted.", lang.DescribeType(ty))
	case v.LengthInt() > maxInstances:
		return fail("The value has %d elements. At most %d are allowed.", v.LengthInt(), maxInstances)
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

// checkKey tells why a for_each key cannot be part of an address, or returns "".
func checkKey(key string) string {
	if key == "" {
		return "A key is empty."
	}
	if len(key) > 255 {
		return "A key is longer than 255 bytes."
	}
	for _, r := range key {
		if !unicode.IsPrint(r) {
			return fmt.Sprintf("The key %s holds a character that cannot be printed. Keys are part of addresses.", strconv.QuoteToASCII(key))
		}
	}
	return ""
}
