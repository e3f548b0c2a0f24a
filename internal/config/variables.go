package config

import (
	"fmt"
	"reflect"

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
	asText      bool // values given as text are taken as they are, not as expressions
	sensitive   bool
	nullable    bool
	defaultExpr hclsyntax.Expression // nil: the variable is required
	validations []*rule
	failed      bool // its type cannot be read
}

// variableShape is the tagged form of a variable block, for the check of its structure.
type variableShape struct {
	Type        cty.Value         `hcl:"type,optional"`
	Default     cty.Value         `hcl:"default,optional"`
	Description string            `hcl:"description,optional"`
	Sensitive   bool              `hcl:"sensitive,optional"`
	Nullable    bool              `hcl:"nullable,optional"`
	Validation  []validationShape `hcl:"validation,block"`
}

// validationShape is the tagged form of a validation block, and of all other blocks with a condition.
type validationShape struct {
	Condition    cty.Value `hcl:"condition"`
	ErrorMessage cty.Value `hcl:"error_message"`
}

type outputShape struct {
	Value       cty.Value `hcl:"value"`
	Description string    `hcl:"description,optional"`
	Sensitive   bool      `hcl:"sensitive,optional"`
}

func (c *Config) declareVariable(b *hclsyntax.Block) hcl.Diagnostics {
	v := &variable{name: b.Labels[0], header: b.DefRange(), constraint: cty.DynamicPseudoType, asText: true, nullable: true}
	diags := structure(b.Body, v.header, mustShape[variableShape](), "a variable", nil)
	if first := c.variables[v.name]; first != nil {
		return append(diags, duplicate("variable", v.name, v.header, first.header))
	}
	c.variables[v.name] = v
	if expr := argumentOf(b.Body, "type"); expr != nil {
		ty, defaults, typeDiags := typeexpr.TypeConstraintWithDefaults(expr)
		diags = append(diags, withPlace(typeDiags, expr.Range())...)
		v.constraint, v.defaults, v.asText = ty, defaults, ty.IsPrimitiveType()
		v.failed = typeDiags.HasErrors()
	}
	var flagDiags hcl.Diagnostics
	v.sensitive, flagDiags = c.flag(b.Body, "sensitive", false)
	diags = append(diags, flagDiags...)
	v.nullable, flagDiags = c.flag(b.Body, "nullable", true)
	diags = append(diags, flagDiags...)
	diags = append(diags, c.constantText(b.Body, "description")...)
	v.defaultExpr = argumentOf(b.Body, "default")
	if v.sensitive && v.defaultExpr != nil {
		c.blank(v.defaultExpr.Range())
	}
	v.validations = rulesOf(b.Body, "validation")
	return diags
}

// mustShape is the shape of one of this package's own structs.
func mustShape[T any]() *shape {
	s, err := shapeOf(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	return s
}

// flag evaluates a constant true or false.
func (c *Config) flag(body *hclsyntax.Body, name string, otherwise bool) (bool, hcl.Diagnostics) {
	expr := argumentOf(body, name)
	if expr == nil {
		return otherwise, nil
	}
	if diags := c.check(expr, scopeConstant); diags.HasErrors() {
		return otherwise, diags
	}
	v, diags := c.constant(expr)
	if diags.HasErrors() {
		return otherwise, diags
	}
	v, err := convert.Convert(v, cty.Bool)
	if err != nil || v.IsNull() || !v.IsKnown() {
		return otherwise, append(diags, errorAt(expr.Range(), "Wrong type of value", "The argument %q takes true or false.", name))
	}
	return v.True(), diags
}

// constantText checks that an argument is a constant string.
func (c *Config) constantText(body *hclsyntax.Body, name string) hcl.Diagnostics {
	expr := argumentOf(body, name)
	if expr == nil {
		return nil
	}
	if diags := c.check(expr, scopeConstant); diags.HasErrors() {
		return diags
	}
	v, diags := c.constant(expr)
	if diags.HasErrors() {
		return diags
	}
	if v.IsNull() || v.Type() != cty.String {
		diags = append(diags, errorAt(expr.Range(), "Wrong type of value", "The argument %q takes a constant string.", name))
	}
	return diags
}

// check looks at the expressions of a variable block.
func (v *variable) check(c *Config) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if v.defaultExpr != nil {
		diags = append(diags, c.check(v.defaultExpr, scopeConstant)...)
	}
	for _, val := range v.validations {
		diags = append(diags, val.check(c, scope{global: true, eachWhy: noForEach})...)
		if val.condition != nil && !c.bad[val.condition] && !refersTo(val.condition, "var", v.name) {
			diags = append(diags, errorAt(val.condition.Range(), "Invalid validation condition", "The condition must refer to var.%s: it says which values are right.", v.name))
		}
	}
	return diags
}

func refersTo(expr hclsyntax.Expression, root, name string) bool {
	for _, t := range expr.Variables() {
		if r, n := reference(t); r == root && n == name {
			return true
		}
	}
	return false
}

// given is a value that a source gives to a variable.
type given struct {
	value  cty.Value
	rng    hcl.Range // of the value; empty if it stands in no file
	origin string    // for messages: "the environment variable MIRRORFORM_VAR_x"
}

// setVariables finds the value of each variable: from the sources, or its default.
func (c *Config) setVariables(o Options) hcl.Diagnostics {
	values, diags := c.readSources(o)
	for _, name := range sortedKeys(c.variables) {
		v := c.variables[name]
		value, valueDiags := c.variableValue(v, values[name], o.AllowMissing)
		diags = append(diags, valueDiags...)
		if v.sensitive {
			c.secrets.add(value)
			value = value.Mark(sensitiveMark)
		}
		c.varVals[name] = value
	}
	return diags
}

func (c *Config) variableValue(v *variable, g *given, allowMissing bool) (cty.Value, hcl.Diagnostics) {
	if v.failed {
		return cty.DynamicVal, nil
	}
	fallback, diags := c.defaultValue(v)
	switch {
	case g == nil && v.defaultExpr == nil && c.varFileFailed:
		return cty.DynamicVal, diags // a file that cannot be read may set it
	case g == nil && v.defaultExpr == nil && allowMissing:
		c.withoutValue = append(c.withoutValue, v.name)
		return cty.UnknownVal(v.constraint.WithoutOptionalAttributesDeep()), diags
	case g == nil && v.defaultExpr == nil:
		return cty.DynamicVal, append(diags, errorAt(v.header, "Missing value for a variable",
			"The variable %q has no default, and nothing sets it. Set it in a *.hclvars file (%s = …), with --var '%s=…', or in the environment as %s%s.",
			v.name, v.name, v.name, envPrefix, v.name))
	case g == nil:
		return fallback, diags
	case g.value == cty.NilVal: // an error was reported
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

// unsuitable is the error of a value that a source gives. The place of a sensitive value would show it.
func (v *variable) unsuitable(g *given, err error) *hcl.Diagnostic {
	at, why := v.header, err.Error()
	if g.rng.Filename != "" && !v.sensitive {
		at = g.rng
	}
	if v.sensitive {
		why = reasonHiddenForVariable
	}
	return errorAt(at, "Unsuitable value for a variable", "The value of the variable %q, from %s, is unsuitable: %s.", v.name, g.origin, why)
}

const reasonHiddenForVariable = "the reason is not shown, since the variable is sensitive"

// convert brings a value to the variable's type.
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

func (c *Config) defaultValue(v *variable) (cty.Value, hcl.Diagnostics) {
	if v.defaultExpr == nil || c.bad[v.defaultExpr] {
		return cty.DynamicVal, nil
	}
	value, diags := c.constant(v.defaultExpr)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	converted, err := v.convert(value)
	switch {
	case err != nil && v.sensitive:
		return cty.DynamicVal, append(diags, errorAt(v.header, "Unsuitable default", "The default of %q is unsuitable: %s.", v.name, reasonHiddenForVariable))
	case err != nil:
		return cty.DynamicVal, append(diags, errorAt(elementRange(v.defaultExpr, err), "Unsuitable default", "The default of %q is unsuitable: %s.", v.name, err))
	case converted.IsNull() && !v.nullable:
		return cty.DynamicVal, append(diags, errorAt(v.defaultExpr.Range(), "Unsuitable default", "The default of %q is null, but the variable is not nullable.", v.name))
	}
	return converted, diags
}

// validateVariables evaluates the conditions. They may refer to anything that is known without a host.
func (c *Config) validateVariables() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range sortedKeys(c.variables) {
		for _, val := range c.variables[name].validations {
			_, ruleDiags := c.judgeNow(val, c.global, "Invalid value for variable "+name)
			diags = append(diags, ruleDiags...)
		}
	}
	return diags
}
