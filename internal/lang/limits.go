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

// A few lines of configuration can describe a value of any size, so size and work are bounded: each value that has a name or is the result of a
// function, and what one evaluation may produce on the way.
const (
	maxValue = 16 << 20 // bytes of one value: its strings, and elementCost for each element
	maxBytes = 64 << 20 // bytes that one evaluation may produce inside templates and loops
	maxSteps = 200_000  // template parts and loop iterations of one evaluation
	// maxElements is how many elements a function may make of a string.
	maxElements = 500_000
	elementCost = 64
)

// tooLarge tells why a value is too large, or returns "".
func tooLarge(v cty.Value) string {
	_, why := measure(v, maxValue, 0)
	return why
}

// measure returns the size of a value; when it is more than limit, or nested too deep, it says so and stops looking.
func measure(v cty.Value, limit, depth int) (size int, why string) {
	if depth > maxNesting {
		return 0, fmt.Sprintf("The value is nested more than %d deep.", maxNesting)
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
			return size, fmt.Sprintf("Numbers must lie between -1e%d and 1e%d.", maxExponent, maxExponent)
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

// outOfRange tells whether a number is not finite, or too large or too small for the range of a double, so that its text could be of any length.
func outOfRange(n *big.Float) bool {
	if n.IsInf() {
		return true
	}
	e := n.MantExp(nil) // 0 for zero
	return e > 1100 || e < -1100
}

// budget is what one evaluation has used.
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

// metered is an expression whose evaluations count. It stands around the parts of templates and loops.
// HCL goes on with a loop after an error, so a budget that is used up ends the evaluation by a panic, which eval recovers.
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
	case b.exceeded != nil: // some function call has caught the panic
	case why != "":
		b.exceeded = ErrorAt(m.SrcRange, "Value too large", "%s", why)
	case b.bytes > maxBytes:
		b.exceeded = ErrorAt(m.SrcRange, "Value too large", "This expression makes values of more than %d MiB.", maxBytes>>20)
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

// instrument puts meters into everything below a node that can make much out of little. It changes the syntax tree.
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

// boundedOps holds the arithmetic operators with their results checked for range.
var boundedOps = func() map[*hclsyntax.Operation]*hclsyntax.Operation {
	ops := map[*hclsyntax.Operation]*hclsyntax.Operation{}
	for _, op := range []*hclsyntax.Operation{hclsyntax.OpAdd, hclsyntax.OpSubtract, hclsyntax.OpMultiply, hclsyntax.OpDivide} {
		bounded := *op
		bounded.Impl = bound(op.Impl, nil)
		ops[op] = &bounded
	}
	return ops
}()

// bound makes a function refuse arguments and results that are too large. check, if not nil, sees the arguments as well: its error
// refuses a call whose result could not be held. The arguments may be unknown, null or marked.
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
		Type:     function.StaticReturnType(cty.DynamicPseudoType), // the function itself says more when it is called
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

// needsResult is the error of a call that gives no known value although all of its arguments are
// known. cty answers so for a null that has no type, and whoever takes an unknown value for one
// that is known later would wait for ever.
func needsResult(v cty.Value, args []cty.Value) error {
	if v.IsWhollyKnown() || slices.ContainsFunc(args, func(a cty.Value) bool { return !a.IsWhollyKnown() }) {
		return nil
	}
	for i, a := range args {
		if a.IsNull() {
			return function.NewArgErrorf(i, "argument must not be null")
		}
	}
	return errors.New("these arguments have no result")
}

// open is a parameter that takes anything of its type, so that the function inside decides.
func open(p function.Parameter) function.Parameter {
	p.AllowNull, p.AllowUnknown, p.AllowDynamicType, p.AllowMarked = true, true, true, true
	return p
}
