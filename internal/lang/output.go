package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Outputs holds the output blocks of a configuration.
type Outputs struct {
	eval   *Evaluator
	byName map[string]*output
}

// output is an output block.
type output struct {
	name      string
	header    hcl.Range
	value     hclsyntax.Expression // nil if the argument is missing
	sensitive bool
}

type outputShape struct {
	Value       cty.Value `hcl:"value"`
	Description string    `hcl:"description,optional"`
	Sensitive   bool      `hcl:"sensitive,optional"`
}

// Result is the value of an output block.
type Result struct {
	Value     cty.Value // without marks
	Sensitive bool
	Expr      hclsyntax.Expression
}

// NewOutputs returns an empty Outputs.
func NewOutputs(e *Evaluator) *Outputs { return &Outputs{eval: e, byName: map[string]*output{}} }

// Declare adds an output block.
func (os *Outputs) Declare(b *hclsyntax.Block) hcl.Diagnostics {
	o := &output{name: b.Labels[0], header: b.DefRange(), value: ArgumentOf(b.Body, "value")}
	diags := os.eval.Structure(b.Body, o.header, MustShape[outputShape](), "an output", nil)
	sensitive, flagDiags := os.eval.Flag(b.Body, "sensitive", false)
	o.sensitive = sensitive
	diags = append(append(diags, flagDiags...), os.eval.constantText(b.Body, "description")...)
	if first := os.byName[o.name]; first != nil {
		return append(diags, Duplicate("output", o.name, o.header, first.header))
	}
	os.byName[o.name] = o
	return diags
}

// Empty reports whether there are no outputs.
func (os *Outputs) Empty() bool { return len(os.byName) == 0 }

// Check checks all expressions.
func (os *Outputs) Check(names Names) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range SortedKeys(os.byName) {
		if o := os.byName[name]; o.value != nil {
			diags = append(diags, os.eval.Check(o.value, names)...)
		}
	}
	return diags
}

// Evaluate returns the results by name. A sensitive value in an output without sensitive = true is
// an error; the results do not contain it.
func (os *Outputs) Evaluate(ctx *hcl.EvalContext) (map[string]Result, hcl.Diagnostics) {
	results := map[string]Result{}
	var diags hcl.Diagnostics
	for _, name := range SortedKeys(os.byName) {
		o := os.byName[name]
		if o.value == nil {
			continue
		}
		v, valueDiags := os.eval.Eval(o.value, ctx)
		diags = append(diags, valueDiags...)
		if IsSensitive(v) && !o.sensitive {
			diags = append(diags, ErrorAt(o.value.Range(), "Output with a sensitive value",
				"The value of the output %q is sensitive, and outputs are printed. "+
					"Add sensitive = true to the block or, if the value is not secret, use nonsensitive(…).", name))
			continue
		}
		v, _ = v.UnmarkDeep()
		results[name] = Result{v, o.sensitive, o.value}
	}
	return results, diags
}
