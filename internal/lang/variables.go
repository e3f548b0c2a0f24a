package lang

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// variable is a variable block.
type variable struct {
	name        string
	header      hcl.Range
	constraint  cty.Type
	defaults    *typeexpr.Defaults
	asText      bool // text from --var and the environment is the value, not an expression
	sensitive   bool
	nullable    bool
	defaultExpr hclsyntax.Expression // nil: the variable is required
	validations []*Rule
	failed      bool // its type has errors
}

// Variables holds the variable blocks of a configuration, and their values after Set.
type Variables struct {
	Values map[string]cty.Value
	// Missing holds the names of the variables without a value, sorted. Their values are unknown.
	Missing []string

	eval   *Evaluator
	byName map[string]*variable
	// fileFailed reports that a *.hclvars file has errors. It may set variables that look missing.
	fileFailed bool
}

// NewVariables returns an empty Variables.
func NewVariables(e *Evaluator) *Variables {
	return &Variables{Values: map[string]cty.Value{}, eval: e, byName: map[string]*variable{}}
}

// Has reports whether a variable is declared.
func (vs *Variables) Has(name string) bool { return vs.byName[name] != nil }

// Names returns the names of the variables, sorted.
func (vs *Variables) Names() []string { return SortedKeys(vs.byName) }

// Reference returns the error of the reference var.name, or nil.
func (vs *Variables) Reference(name string, at hcl.Range, misses *Misses) *hcl.Diagnostic {
	if vs.Has(name) {
		return nil
	}
	return Undeclared(at, "variable", "var", name, Candidates(misses, vs.byName))
}

// variableShape describes a variable block for Structure.
type variableShape struct {
	Type        cty.Value         `hcl:"type,optional"`
	Default     cty.Value         `hcl:"default,optional"`
	Description string            `hcl:"description,optional"`
	Sensitive   bool              `hcl:"sensitive,optional"`
	Nullable    bool              `hcl:"nullable,optional"`
	Validation  []ValidationShape `hcl:"validation,block"`
}

// ValidationShape describes a validation block, and all other blocks with a condition, for
// Structure.
type ValidationShape struct {
	Condition    cty.Value `hcl:"condition"`
	ErrorMessage cty.Value `hcl:"error_message"`
}

// Declare adds a variable block.
func (vs *Variables) Declare(b *hclsyntax.Block) hcl.Diagnostics {
	v := &variable{name: b.Labels[0], header: b.DefRange(), constraint: cty.DynamicPseudoType, asText: true, nullable: true}
	diags := vs.eval.Structure(b.Body, v.header, MustShape[variableShape](), "a variable", nil)
	if first := vs.byName[v.name]; first != nil {
		return append(diags, Duplicate("variable", v.name, v.header, first.header))
	}
	vs.byName[v.name] = v
	if expr := ArgumentOf(b.Body, "type"); expr != nil {
		ty, defaults, typeDiags := typeexpr.TypeConstraintWithDefaults(expr)
		diags = append(diags, withPlace(typeDiags, expr.Range())...)
		v.constraint, v.defaults, v.asText = ty, defaults, ty.IsPrimitiveType()
		v.failed = typeDiags.HasErrors()
	}
	var flagDiags hcl.Diagnostics
	v.sensitive, flagDiags = vs.eval.Flag(b.Body, "sensitive", false)
	diags = append(diags, flagDiags...)
	v.nullable, flagDiags = vs.eval.Flag(b.Body, "nullable", true)
	diags = append(diags, flagDiags...)
	diags = append(diags, vs.eval.constantText(b.Body, "description")...)
	v.defaultExpr = ArgumentOf(b.Body, "default")
	if v.sensitive && v.defaultExpr != nil {
		vs.eval.Sources.blank(v.defaultExpr.Range())
	}
	v.validations = RulesOf(b.Body, "validation")
	return diags
}

// Check checks the expressions of all variable blocks. Validations may refer to names.
func (vs *Variables) Check(names Names) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range vs.Names() {
		diags = append(diags, vs.byName[name].check(vs.eval, names)...)
	}
	return diags
}

func (v *variable) check(e *Evaluator, names Names) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if v.defaultExpr != nil {
		diags = append(diags, e.Check(v.defaultExpr, NoNames)...)
	}
	for _, val := range v.validations {
		diags = append(diags, val.Check(e, names)...)
		if val.condition != nil && !e.bad[val.condition] && !refersTo(val.condition, "var", v.name) {
			diags = append(diags, ErrorAt(val.condition.Range(), "Invalid validation condition",
				"The condition must refer to var.%s, whose value it validates.", v.name))
		}
	}
	return diags
}

func refersTo(expr hclsyntax.Expression, root, name string) bool {
	for _, t := range expr.Variables() {
		if r, n := Reference(t); r == root && n == name {
			return true
		}
	}
	return false
}

// given is the value of a variable in a source.
type given struct {
	value  cty.Value
	rng    hcl.Range // of the value; empty if it is in no file
	origin string    // for messages: "the environment variable MIRRORFORM_VAR_x"
}

// Set sets the value of each variable from the sources, or to its default.
func (vs *Variables) Set(in Inputs) hcl.Diagnostics {
	values, diags := vs.readInputs(in)
	for _, name := range SortedKeys(vs.byName) {
		v := vs.byName[name]
		value, valueDiags := vs.valueOf(v, values[name], in.AllowMissing)
		diags = append(diags, valueDiags...)
		if v.sensitive {
			vs.eval.Secrets.Add(value)
			value = value.Mark(SensitiveMark)
		}
		vs.Values[name] = value
	}
	return diags
}

func (vs *Variables) valueOf(v *variable, g *given, allowMissing bool) (cty.Value, hcl.Diagnostics) {
	if v.failed {
		return cty.DynamicVal, nil
	}
	fallback, diags := vs.defaultValue(v)
	switch {
	case g == nil && v.defaultExpr == nil && vs.fileFailed:
		return cty.DynamicVal, diags // the file with errors may set it
	case g == nil && v.defaultExpr == nil && allowMissing:
		vs.Missing = append(vs.Missing, v.name)
		return cty.UnknownVal(v.constraint.WithoutOptionalAttributesDeep()), diags
	case g == nil && v.defaultExpr == nil:
		return cty.DynamicVal, append(diags, ErrorAt(v.header, "Missing value for a variable",
			"The variable %q has no default and no value. "+
				"Set it in a *.hclvars file (%s = …), with --var '%s=…', or with the environment variable %s%s.",
			v.name, v.name, v.name, EnvPrefix, v.name))
	case g == nil:
		return fallback, diags
	case g.value == cty.NilVal: // givenValue has reported the error
		return cty.DynamicVal, diags
	}
	value, err := v.convert(g.value)
	if err != nil {
		return cty.DynamicVal, append(diags, v.unsuitable(g, err))
	}
	if value.IsNull() && !v.nullable {
		if v.defaultExpr != nil {
			return fallback, diags
		}
		return cty.DynamicVal, append(diags, v.unsuitable(g, fmt.Errorf("it must not be null")))
	}
	return value, diags
}

// unsuitable returns the error of a value from a source. For a sensitive value its position is the
// variable block, since a snippet of the source would show the value.
func (v *variable) unsuitable(g *given, err error) *hcl.Diagnostic {
	at, why := v.header, err.Error()
	if g.rng.Filename != "" && !v.sensitive {
		at = g.rng
	}
	if v.sensitive {
		why = reasonHiddenForVariable
	}
	return ErrorAt(at, summaryInvalidVariable, "The value of the variable %q, from %s, cannot be used: %s.",
		v.name, g.origin, why)
}

const (
	summaryInvalidVariable  = "Invalid value for a variable"
	reasonHiddenForVariable = "the reason is not shown because the variable is sensitive"
)

// convert converts a value to the variable's type.
func (v *variable) convert(value cty.Value) (cty.Value, error) {
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	converted, err := convert.Convert(value, v.constraint)
	if err != nil {
		return cty.NilVal, fmt.Errorf("%s%w (the type is %s)", pathOf(err), err, typeexpr.TypeString(v.constraint))
	}
	if why := tooLarge(converted); why != "" {
		return cty.NilVal, fmt.Errorf("%s", lowerFirst(why))
	}
	return converted, nil
}

func (vs *Variables) defaultValue(v *variable) (cty.Value, hcl.Diagnostics) {
	if v.defaultExpr == nil || vs.eval.bad[v.defaultExpr] {
		return cty.DynamicVal, nil
	}
	value, diags := vs.eval.Constant(v.defaultExpr)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	converted, err := v.convert(value)
	switch {
	case err != nil && v.sensitive:
		return cty.DynamicVal, append(diags, ErrorAt(v.header, "Invalid default",
			"The default of %q cannot be used: %s.", v.name, reasonHiddenForVariable))
	case err != nil:
		return cty.DynamicVal, append(diags, ErrorAt(ElementRange(v.defaultExpr, err), "Invalid default",
			"The default of %q cannot be used: %s.", v.name, err))
	case converted.IsNull() && !v.nullable:
		return cty.DynamicVal, append(diags, ErrorAt(v.defaultExpr.Range(), "Invalid default",
			"The default of %q is null, but the variable is not nullable.", v.name))
	}
	return converted, diags
}

// Validate evaluates the conditions of all validations in a context.
func (vs *Variables) Validate(ctx *hcl.EvalContext) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range SortedKeys(vs.byName) {
		for _, val := range vs.byName[name].validations {
			_, ruleDiags := vs.eval.JudgeNow(val, ctx, "Invalid value for variable "+name)
			diags = append(diags, ruleDiags...)
		}
	}
	return diags
}
