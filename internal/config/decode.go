package config

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// decoder fills structs from bodies, as their tags say.
type decoder struct {
	config *Config
	ctx    *hcl.EvalContext
	// unknown holds the paths of arguments whose values are not known yet ("content", "storage.path"). Their fields are zero.
	unknown map[string]bool
	// failed holds those that an error keeps from having a value.
	failed map[string]bool
	// sensitive holds those whose values are secret.
	sensitive map[string]bool
	// early says that all values must be known before any host is reached.
	early bool
	// warnCRLF says that the values reach hosts.
	warnCRLF bool
	// refuseSensitive, if not nil, says why an argument cannot hold a sensitive value, or "" if it can.
	refuseSensitive func(path string, f *field) string
}

func newDecoder(c *Config, ctx *hcl.EvalContext) *decoder {
	return &decoder{config: c, ctx: ctx, unknown: map[string]bool{}, failed: map[string]bool{}, sensitive: map[string]bool{}}
}

// body fills a struct. What is wrong with the body's structure is structure's to say; here it is passed over.
func (d *decoder) body(body *hclsyntax.Body, into reflect.Value, prefix string) hcl.Diagnostics {
	s, err := shapeOf(into.Type())
	if err != nil {
		return hcl.Diagnostics{errorAt(body.SrcRange, "Unusable type", "%s", err)}
	}
	var diags hcl.Diagnostics
	for i := range s.fields {
		f := &s.fields[i]
		if f.block {
			diags = append(diags, d.blocks(body, f, into.Field(f.index), prefix)...)
		} else if a := body.Attributes[f.name]; a != nil && a.Expr != nil {
			diags = append(diags, d.argument(a, f, into.Field(f.index), prefix+f.name)...)
		} else if f.required {
			d.failed[prefix+f.name] = true
		}
	}
	return diags
}

func (d *decoder) blocks(body *hclsyntax.Body, f *field, into reflect.Value, prefix string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	n := 0
	for _, b := range body.Blocks {
		if b.Type != f.name || b.Body == nil {
			continue
		}
		path := prefix + f.name
		target := into
		switch {
		case f.goType.Kind() == reflect.Slice:
			elem := reflect.New(f.goType.Elem()).Elem()
			if f.goType.Elem().Kind() == reflect.Pointer {
				elem.Set(reflect.New(f.goType.Elem().Elem()))
			}
			into.Set(reflect.Append(into, elem))
			target, path = into.Index(n), fmt.Sprintf("%s[%d]", path, n)
		case n > 0:
			return diags // repeated
		case f.goType.Kind() == reflect.Pointer:
			into.Set(reflect.New(f.goType.Elem()))
		}
		n++
		diags = append(diags, d.body(b.Body, reflect.Indirect(target), path+".")...)
	}
	if n == 0 && f.required {
		d.failed[prefix+f.name] = true
	}
	return diags
}

// argument evaluates an argument and puts its value into a field.
func (d *decoder) argument(a *hclsyntax.Attribute, f *field, into reflect.Value, path string) hcl.Diagnostics {
	v, diags := d.config.eval(a.Expr, d.ctx)
	if diags.HasErrors() || d.config.bad[a.Expr] {
		d.failed[path] = true
		return diags
	}
	fail := func(diag *hcl.Diagnostic) hcl.Diagnostics {
		d.failed[path] = true
		if d.sensitive[path] {
			diag.Detail = fmt.Sprintf("The value of %q is unsuitable. %s", f.name, reasonHidden)
			return append(diags, diag)
		}
		// The values of the variables say which host or key it is about.
		diag.Expression, diag.EvalContext = a.Expr, d.ctx
		return append(diags, d.config.redact(a.Expr, d.ctx, hcl.Diagnostics{diag})...)
	}
	if isSensitive(v) {
		d.sensitive[path] = true
		d.config.secrets.addMade(v)
		if d.refuseSensitive != nil {
			if why := d.refuseSensitive(path, f); why != "" {
				d.failed[path] = true
				return append(diags, errorAt(a.Expr.Range(), "Sensitive value not allowed here", "The value of %q is sensitive, but %s. If it is not really secret, use nonsensitive(…).", f.name, why))
			}
		}
	}
	v, _ = v.UnmarkDeep()
	converted, diag := convertArgument(a, f, v)
	if diag != nil {
		return fail(diag)
	}
	switch {
	case converted.IsNull() && f.required:
		return fail(errorAt(a.Expr.Range(), "Missing required argument", "The argument %q is required, and its value is null.", f.name))
	case converted.IsNull():
		return diags // not set
	case !converted.IsWhollyKnown():
		d.unknown[path] = true
		if d.early {
			d.config.unsettled(a.Expr)
		}
		return diags
	}
	if d.warnCRLF {
		diags = append(diags, d.config.crlfArgument(a.Expr, converted)...)
	}
	if err := assign(converted, into); err != nil {
		return fail(errorAt(elementRange(a.Expr, err), "Unsuitable value", "The value of %q is unsuitable: %s.", f.name, err))
	}
	return diags
}

func convertArgument(a *hclsyntax.Attribute, f *field, v cty.Value) (cty.Value, *hcl.Diagnostic) {
	if f.ctyType == cty.DynamicPseudoType {
		return v, nil
	}
	if f.ctyType.IsObjectType() {
		if diag := unknownAttributes(a, f, v); diag != nil {
			return v, diag
		}
	}
	converted, err := convert.Convert(v, f.ctyType)
	if err != nil {
		if of := elementError(v, f.ctyType, nil); of != nil {
			err = of
		}
		return v, errorAt(elementRange(a.Expr, err), "Wrong type of value", "The argument %q takes %s, but %s.", f.name, describeType(f.ctyType), mismatch(v, f.ctyType, err))
	}
	return converted, nil
}

// elementError is the error of the first element that keeps a list or a map from having its type,
// with the path to it; conversion itself says only that there is one. nil: it is not an element.
func elementError(v cty.Value, want cty.Type, path cty.Path) error {
	if !want.IsCollectionType() || v.IsNull() || !v.IsKnown() || !v.CanIterateElements() || want.IsMapType() != (v.Type().IsObjectType() || v.Type().IsMapType()) {
		return nil
	}
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		if v.Type().IsSetType() {
			return nil // its elements have no place
		}
		_, err := convert.Convert(e, want.ElementType())
		if err == nil {
			continue
		}
		at := append(slices.Clip(path), cty.IndexStep{Key: key})
		if inner := elementError(e, want.ElementType(), at); inner != nil {
			return inner
		}
		return at.NewErrorf("is %s, not %s", describeType(e.Type()), describeType(want.ElementType()))
	}
	return nil
}

// mismatch says how a value is of another type than wanted.
func mismatch(v cty.Value, want cty.Type, err error) string {
	path := pathOf(err)
	switch have := v.Type(); {
	case path != "" && strings.HasPrefix(err.Error(), "is "):
		return strings.TrimSuffix(strings.TrimPrefix(path, "in "), ": ") + " " + err.Error()
	case path != "":
		return path + err.Error()
	case have == cty.String && want == cty.Number:
		return "this is a string that is no number"
	case have == cty.String && want == cty.Bool:
		return `this is a string that is neither "true" nor "false"`
	case describeType(have) == describeType(want):
		return "in this one " + err.Error()
	default:
		return "this is " + describeType(have)
	}
}

// unknownAttributes finds attributes of an object that its type does not have; conversion would drop them in silence.
func unknownAttributes(a *hclsyntax.Attribute, f *field, v cty.Value) *hcl.Diagnostic {
	if v.IsNull() || !v.Type().IsObjectType() {
		return nil
	}
	names := sortedKeys(f.ctyType.AttributeTypes())
	for _, name := range sortedKeys(v.Type().AttributeTypes()) {
		if !f.ctyType.HasAttribute(name) {
			return errorAt(keyRange(a.Expr, name), "Unsupported attribute", "There is no attribute named %q in %q, which has %s.%s", name, f.name, allOf(names), didYouMean(name, names))
		}
	}
	return nil
}

// keyRange is the place of a key in an object expression, or of the whole expression.
func keyRange(expr hclsyntax.Expression, name string) hcl.Range {
	if object, ok := expr.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range object.Items {
			if key, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && key.Type() == cty.String && key.IsKnown() && !key.IsNull() && key.AsString() == name {
				return item.KeyExpr.Range()
			}
		}
	}
	return expr.Range()
}

// elementRange is the place of the element that an error's path leads to, as far as it can be seen in the source.
func elementRange(expr hclsyntax.Expression, err error) hcl.Range {
	var at cty.PathError
	if !errors.As(err, &at) {
		return expr.Range()
	}
	for _, step := range at.Path {
		next := element(expr, step)
		if next == nil {
			break
		}
		expr = next
	}
	return expr.Range()
}

func element(expr hclsyntax.Expression, step cty.PathStep) hclsyntax.Expression {
	switch e := expr.(type) {
	case *hclsyntax.TupleConsExpr:
		if index, ok := step.(cty.IndexStep); ok && index.Key.Type() == cty.Number {
			if i, _ := index.Key.AsBigFloat().Int64(); i >= 0 && int(i) < len(e.Exprs) {
				return e.Exprs[i]
			}
		}
	case *hclsyntax.ObjectConsExpr:
		var name string
		switch s := step.(type) {
		case cty.GetAttrStep:
			name = s.Name
		case cty.IndexStep:
			if s.Key.Type() == cty.String {
				name = s.Key.AsString()
			}
		}
		for _, item := range e.Items {
			if key, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && key.Type() == cty.String && key.IsKnown() && !key.IsNull() && key.AsString() == name {
				return item.ValueExpr
			}
		}
	}
	return nil
}

// pathOf is the path of an error as text: `element 1: `.
func pathOf(err error) string {
	var at cty.PathError
	if !errors.As(err, &at) || len(at.Path) == 0 {
		return ""
	}
	var b strings.Builder
	for _, step := range at.Path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			fmt.Fprintf(&b, "in attribute %q: ", s.Name)
		case cty.IndexStep:
			if s.Key.Type() == cty.String {
				fmt.Fprintf(&b, "in element %q: ", s.Key.AsString())
			} else if s.Key.Type() == cty.Number {
				fmt.Fprintf(&b, "in element %s: ", s.Key.AsBigFloat().Text('f', 0))
			}
		}
	}
	return b.String()
}

// describeType names a type for a sentence.
func describeType(t cty.Type) string {
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

// assign puts a value that is known, not null and of the field's type into a field. An error may be a cty.PathError.
func assign(v cty.Value, into reflect.Value) error {
	if into.Type() == ctyValueOf {
		into.Set(reflect.ValueOf(v))
		return nil
	}
	switch into.Kind() {
	case reflect.Pointer:
		elem := reflect.New(into.Type().Elem())
		into.Set(elem)
		return assign(v, elem.Elem())
	case reflect.String:
		into.SetString(v.AsString())
	case reflect.Bool:
		into.SetBool(v.True())
	case reflect.Slice:
		return assignSlice(v, into)
	case reflect.Map:
		return assignMap(v, into)
	case reflect.Struct:
		return assignObject(v, into)
	case reflect.Float32, reflect.Float64:
		f, _ := v.AsBigFloat().Float64()
		into.SetFloat(f)
	default:
		return assignInteger(v.AsBigFloat(), into)
	}
	return nil
}

func assignInteger(n *big.Float, into reflect.Value) error {
	if !n.IsInt() {
		return fmt.Errorf("%s is not a whole number", n.Text('g', 10))
	}
	if into.CanInt() {
		i, accuracy := n.Int64()
		if accuracy != big.Exact || into.OverflowInt(i) {
			limit := int64(math.MaxInt64 >> (64 - into.Type().Bits()))
			return fmt.Errorf("it must lie between %d and %d", -limit-1, limit)
		}
		into.SetInt(i)
		return nil
	}
	u, accuracy := n.Uint64()
	if accuracy != big.Exact || into.OverflowUint(u) {
		return fmt.Errorf("it must lie between 0 and %d", uint64(math.MaxUint64>>(64-into.Type().Bits())))
	}
	into.SetUint(u)
	return nil
}

var errNullElement = errors.New("it must not be null")

func assignSlice(v cty.Value, into reflect.Value) error {
	elems := v.AsValueSlice()
	list := reflect.MakeSlice(into.Type(), len(elems), len(elems))
	for i, e := range elems {
		err := errNullElement
		if !e.IsNull() {
			err = assign(e, list.Index(i))
		}
		if err != nil {
			return cty.IndexPath(cty.NumberIntVal(int64(i))).NewErrorf("element %d: %w", i, err)
		}
	}
	into.Set(list)
	return nil
}

func assignMap(v cty.Value, into reflect.Value) error {
	m := reflect.MakeMap(into.Type())
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		elem := reflect.New(into.Type().Elem()).Elem()
		err := errNullElement
		if !e.IsNull() {
			err = assign(e, elem)
		}
		if err != nil {
			return cty.IndexPath(key).NewErrorf("element %q: %w", key.AsString(), err)
		}
		m.SetMapIndex(reflect.ValueOf(key.AsString()).Convert(into.Type().Key()), elem)
	}
	into.Set(m)
	return nil
}

func assignObject(v cty.Value, into reflect.Value) error {
	s, err := shapeOf(into.Type())
	if err != nil {
		return err
	}
	for _, f := range s.fields {
		attr := v.GetAttr(f.name)
		if attr.IsNull() {
			if f.required {
				return cty.GetAttrPath(f.name).NewErrorf("attribute %q: %w", f.name, errNullElement)
			}
			continue
		}
		if err := assign(attr, into.Field(f.index)); err != nil {
			return cty.GetAttrPath(f.name).NewErrorf("attribute %q: %w", f.name, err)
		}
	}
	return nil
}
