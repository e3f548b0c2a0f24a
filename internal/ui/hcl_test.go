package ui

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// TestHCL reads what is printed as an expression again.
func TestHCL(t *testing.T) {
	t.Parallel()
	ctx := &hcl.EvalContext{Functions: map[string]function.Function{
		"tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
		"toset":  stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"tomap":  stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
	}}
	for _, v := range []cty.Value{
		cty.StringVal(""), cty.StringVal("a \"quoted\" ${x} %{ if } \\ \n\t\r line"), cty.StringVal("São 日本"), cty.StringVal(hostile[:7]),
		cty.NumberIntVal(-3), cty.NumberFloatVal(0.25), cty.MustParseNumberVal("123456789012345678901234567890"), cty.True, cty.False,
		cty.EmptyObjectVal, cty.EmptyTupleVal,
		cty.ListVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")}),
		cty.SetVal([]cty.Value{cty.NumberIntVal(2), cty.NumberIntVal(1)}),
		cty.MapVal(map[string]cty.Value{"a b": cty.True, "ok": cty.False, "for": cty.True, "é": cty.True, "${x}": cty.True}),
		cty.ObjectVal(map[string]cty.Value{
			"for": cty.StringVal("x"), "null": cty.NullVal(cty.DynamicPseudoType), "a-b": cty.TupleVal([]cty.Value{cty.Zero, cty.ObjectVal(map[string]cty.Value{"in": cty.True})}),
		}),
	} {
		text := HCL(v)
		checkSafe(t, text)
		expr, diags := hclsyntax.ParseExpression([]byte(text), "", hcl.InitialPos)
		if diags.HasErrors() {
			t.Errorf("%v in\n%s", diags, text)
			continue
		}
		back, diags := expr.Value(ctx)
		if diags.HasErrors() || !back.RawEquals(v) {
			t.Errorf("%#v became %#v by\n%s", v, back, text)
		}
	}
}

func TestHCLHidden(t *testing.T) {
	t.Parallel()
	secret := cty.StringVal("hunter2").Mark("sensitive")
	v := cty.ObjectVal(map[string]cty.Value{
		"list":    cty.ListVal([]cty.Value{secret, cty.StringVal("shown")}),
		"set":     cty.SetVal([]cty.Value{secret}),
		"unknown": cty.UnknownVal(cty.String),
		"object":  cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("hunter2")}).Mark("sensitive"),
		hostile:   cty.StringVal(hostile),
	})
	text := HCL(v)
	checkSafe(t, text)
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "  unknown = (known after the host is reached)\n") ||
		!strings.Contains(text, "  list = tolist([\n    (sensitive value),\n    \"shown\",\n  ])\n") {
		t.Errorf("got\n%s", text)
	}
	if got := HCL(secret); got != "(sensitive value)" {
		t.Errorf("got %s", got)
	}
}
