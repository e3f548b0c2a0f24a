package lang

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// A few lines of configuration can describe a value of any size. Limits apply to each named value,
// to each result of a function, and to the intermediate values and steps of one evaluation.
const (
	maxValue = 16 << 20 // bytes of one value: its strings, and elementCost for each element
	maxBytes = 64 << 20 // bytes that one evaluation may produce in templates and loops
	maxSteps = 200_000  // template parts and loop iterations of one evaluation
	// maxElements is the largest number of elements that a function may make from a string.
	maxElements = 500_000
	elementCost = 64 // estimated bytes of memory for one element
)

// tooLarge returns why a value is too large, or "".
func tooLarge(v cty.Value) string {
	_, why := measure(v, maxValue, 0)
	return why
}

// measure returns the size of a value in bytes. It stops at the first reason to reject the value:
// its size, its depth or a number out of range.
func measure(v cty.Value, limit, depth int) (size int, why string) {
	if depth > maxNesting {
		return 0, fmt.Sprintf("The value is nested more than %d levels deep.", maxNesting)
	}
	v, _ = v.Unmark()
	size = elementCost
	if v.IsNull() || !v.IsKnown() {
		return size, ""
	}
	switch ty := v.Type(); {
	case ty == cty.String:
		size += len(v.AsString())
	case ty == cty.Number:
		if outOfRange(v.AsBigFloat()) {
			return size, fmt.Sprintf("Numbers must be between -1e%d and 1e%d.", maxExponent, maxExponent)
		}
	case v.CanIterateElements():
		for it := v.ElementIterator(); it.Next(); {
			key, elem := it.Element()
			if key.Type() == cty.String && !ty.IsSetType() {
				key, _ = key.Unmark()
				size += len(key.AsString())
			}
			n, why := measure(elem, limit-size, depth+1)
			if why != "" {
				return size, why
			}
			if size += n; size > limit {
				break
			}
		}
	}
	if size > limit {
		return size, fmt.Sprintf("The value is larger than %d MiB.", maxValue>>20)
	}
	return size, ""
}

// outOfRange reports whether a number is infinite or outside the range of a double. The text of
// such a number could be of any length.
func outOfRange(n *big.Float) bool {
	if n.IsInf() {
		return true
	}
	e := n.MantExp(nil) // 0 for zero
	return e > 1100 || e < -1100
}

// budget counts what one evaluation has used.
type budget struct {
	bytes, steps, failures int
	exceeded               *hcl.Diagnostic
}

// budgetName is the variable that holds the budget of an evaluation. No expression can name it.
const budgetName = "\x00 budget of this evaluation \x00"

var budgetType = cty.Capsule("budget", reflect.TypeFor[budget]())

func budgetOf(ctx *hcl.EvalContext) *budget {
	for ; ctx != nil; ctx = ctx.Parent() {
		if v, ok := ctx.Variables[budgetName]; ok {
			return v.EncapsulatedValue().(*budget)
		}
	}
	return &budget{}
}

// metered wraps a part of a template or a loop and counts its evaluations. HCL continues a loop
// after an error, so metered panics to end an evaluation that has used up its budget. Eval
// recovers.
type metered struct {
	*hclsyntax.ParenthesesExpr
}

// Value evaluates the expression.
func (m *metered) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	b := budgetOf(ctx)
	v, diags := m.Expression.Value(ctx)
	b.steps++
	b.failures += len(diags)
	size, why := measure(v, maxValue, 0)
	b.bytes += size
	switch {
	case b.exceeded != nil: // a function call has caught an earlier panic
	case why != "":
		b.exceeded = ErrorAt(m.SrcRange, "Value too large", "%s", why)
	case b.bytes > maxBytes:
		b.exceeded = ErrorAt(m.SrcRange, "Value too large",
			"This expression produces more than %d MiB of values.", maxBytes>>20)
	case b.steps > maxSteps:
		b.exceeded = ErrorAt(m.SrcRange, "Too much work", "This expression takes more than %d steps.", maxSteps)
	case b.failures > MaxDiagnostics:
		b.exceeded = diags[0]
	default:
		return v, diags
	}
	panic(b.exceeded)
}

func meter(expr hclsyntax.Expression) hclsyntax.Expression {
	if expr == nil {
		return nil
	}
	return &metered{&hclsyntax.ParenthesesExpr{Expression: expr, SrcRange: expr.Range()}}
}

// instrument changes the syntax tree below a node: it wraps everything that can multiply values in
// meters, and replaces arithmetic operators with bounded ones.
func instrument(node hclsyntax.Node) {
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		switch n := n.(type) {
		case *hclsyntax.TemplateExpr:
			for i, part := range n.Parts {
				if _, literal := part.(*hclsyntax.LiteralValueExpr); !literal {
					n.Parts[i] = meter(part)
				}
			}
		case *hclsyntax.ForExpr:
			n.KeyExpr, n.ValExpr, n.CondExpr = meter(n.KeyExpr), meter(n.ValExpr), meter(n.CondExpr)
		case *hclsyntax.BinaryOpExpr:
			if bounded, ok := boundedOps[n.Op]; ok {
				n.Op = bounded
			}
		}
		return nil
	})
}

// boundedOps has, for each arithmetic operator, one that checks the range of its result.
var boundedOps = func() map[*hclsyntax.Operation]*hclsyntax.Operation {
	ops := map[*hclsyntax.Operation]*hclsyntax.Operation{}
	for _, op := range []*hclsyntax.Operation{hclsyntax.OpAdd, hclsyntax.OpSubtract, hclsyntax.OpMultiply, hclsyntax.OpDivide} {
		bounded := *op
		bounded.Impl = bound(op.Impl, nil)
		ops[op] = &bounded
	}
	return ops
}()

// bound returns a function that rejects arguments and results that are too large. check, if not
// nil, gets the arguments first and rejects a call whose result would be too large. The arguments
// may be unknown, null or marked.
func bound(f function.Function, check func(args []cty.Value) error) function.Function {
	params := f.Params()
	for i := range params {
		params[i] = open(params[i])
	}
	varParam := f.VarParam()
	if varParam != nil {
		*varParam = open(*varParam)
	}
	return function.New(&function.Spec{
		Params:   params,
		VarParam: varParam,
		Type:     function.StaticReturnType(cty.DynamicPseudoType), // the call of f decides
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			left := maxBytes
			for i, a := range args {
				size, why := measure(a, maxValue, 0)
				if why != "" {
					return cty.NilVal, function.NewArgErrorf(i, "%s", lowerFirst(why))
				}
				if left -= size; left < 0 {
					return cty.NilVal, fmt.Errorf("the arguments are larger than %d MiB", maxBytes>>20)
				}
			}
			if check != nil {
				if err := check(args); err != nil {
					return cty.NilVal, err
				}
			}
			v, err := f.Call(args)
			if err != nil {
				return cty.NilVal, inWords(err)
			}
			if why := tooLarge(v); why != "" {
				return cty.NilVal, fmt.Errorf("%s", lowerFirst(why))
			}
			return v, needsResult(v, args)
		},
	})
}

// needsResult returns an error if a call has an unknown result although all its arguments are
// known. cty returns such results for a null without a type. An unknown value would look like one
// that becomes known with facts, which this one never does.
func needsResult(v cty.Value, args []cty.Value) error {
	if v.IsWhollyKnown() || slices.ContainsFunc(args, func(a cty.Value) bool { return !a.IsWhollyKnown() }) {
		return nil
	}
	for i, a := range args {
		if a.IsNull() {
			return function.NewArgErrorf(i, "it must not be null")
		}
	}
	return errors.New("it has no result for these arguments")
}

// open returns a parameter that accepts any value of its type, so that the wrapped function
// decides.
func open(p function.Parameter) function.Parameter {
	p.AllowNull, p.AllowUnknown, p.AllowDynamicType, p.AllowMarked = true, true, true, true
	return p
}
