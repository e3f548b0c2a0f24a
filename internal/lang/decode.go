package lang

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Decoder fills structs from bodies, by the tags of the structs.
type Decoder struct {
	eval *Evaluator
	ctx  *hcl.EvalContext
	// Unknown holds the paths of arguments whose values are not known yet, such as "content" and
	// "storage.path". Their fields are zero.
	Unknown map[string]bool
	// Failed holds the paths of arguments that have no value because of an error.
	Failed map[string]bool
	// Sensitive holds the paths of arguments with secret values.
	Sensitive map[string]bool
	// Early requires all values to be known before any host is reached.
	Early bool
	// WarnCRLF warns about values with CRLF line ends. It is set for values that go to hosts.
	WarnCRLF bool
	// RefuseSensitive, if not nil, returns why an argument cannot hold a sensitive value, or "" if
	// it can.
	RefuseSensitive func(path string, f *Field) string
	// Convert, if not nil, converts a value before it is converted to the type of its field. It
	// returns what is wrong with the value, or "".
	Convert func(expr hclsyntax.Expression, f *Field, v cty.Value) (cty.Value, string)
}

// NewDecoder returns a decoder that evaluates in a context.
func NewDecoder(e *Evaluator, ctx *hcl.EvalContext) *Decoder {
	return &Decoder{eval: e, ctx: ctx, Unknown: map[string]bool{}, Failed: map[string]bool{}, Sensitive: map[string]bool{}}
}

// Fill fills the struct that into points to. It ignores errors in the structure of the body, which
// Structure reports.
func (d *Decoder) Fill(body *hclsyntax.Body, into any) hcl.Diagnostics {
	return d.body(body, reflect.ValueOf(into).Elem(), "")
}

func (d *Decoder) body(body *hclsyntax.Body, into reflect.Value, prefix string) hcl.Diagnostics {
	s, err := ShapeOf(into.Type())
	if err != nil {
		return hcl.Diagnostics{ErrorAt(body.SrcRange, "Unusable type", "%s", err)}
	}
	var diags hcl.Diagnostics
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.block {
			diags = append(diags, d.blocks(body, f, into.Field(f.Index), prefix)...)
		} else if a := body.Attributes[f.Name]; a != nil && a.Expr != nil {
			diags = append(diags, d.argument(a, f, into.Field(f.Index), prefix+f.Name)...)
		} else if f.required {
			d.Failed[prefix+f.Name] = true
		}
	}
	return diags
}

func (d *Decoder) blocks(body *hclsyntax.Body, f *Field, into reflect.Value, prefix string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	n := 0
	for _, b := range body.Blocks {
		if b.Type != f.Name || b.Body == nil {
			continue
		}
		path := prefix + f.Name
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
		d.Failed[prefix+f.Name] = true
	}
	return diags
}

// argument evaluates an argument and sets a field to its value.
func (d *Decoder) argument(a *hclsyntax.Attribute, f *Field, into reflect.Value, path string) hcl.Diagnostics {
	v, diags := d.eval.Eval(a.Expr, d.ctx)
	if diags.HasErrors() || d.eval.bad[a.Expr] {
		d.Failed[path] = true
		return diags
	}
	fail := func(diag *hcl.Diagnostic) hcl.Diagnostics {
		d.Failed[path] = true
		if d.Sensitive[path] {
			diag.Detail = fmt.Sprintf("The value of %q cannot be used. %s", f.Name, reasonHidden)
			return append(diags, diag)
		}
		// With these, the printed diagnostic shows the values of the variables, and so the host.
		diag.Expression, diag.EvalContext = a.Expr, d.ctx
		return append(diags, d.eval.Redact(a.Expr, d.ctx, hcl.Diagnostics{diag})...)
	}
	if IsSensitive(v) {
		d.Sensitive[path] = true
		d.eval.Secrets.addMade(v)
		if d.RefuseSensitive != nil {
			if why := d.RefuseSensitive(path, f); why != "" {
				d.Failed[path] = true
				return append(diags, ErrorAt(a.Expr.Range(), "Sensitive value not allowed here",
					"The value of %q is sensitive, but %s. If the value is not secret, use nonsensitive(…).", f.Name, why))
			}
		}
	}
	v, _ = v.UnmarkDeep()
	if d.Convert != nil {
		var why string
		if v, why = d.Convert(a.Expr, f, v); why != "" {
			return fail(ErrorAt(a.Expr.Range(), "Invalid "+f.Name+" argument", "%s", why))
		}
	}
	converted, diag := convertArgument(a, f, v)
	if diag != nil {
		return fail(diag)
	}
	switch {
	case converted.IsNull() && f.required:
		return fail(ErrorAt(a.Expr.Range(), "Missing required argument",
			"The argument %q is required, but its value is null.", f.Name))
	case converted.IsNull():
		return diags // not set
	case !converted.IsWhollyKnown():
		d.Unknown[path] = true
		if d.Early {
			d.eval.Unsettled(a.Expr)
		}
		return diags
	}
	if d.WarnCRLF {
		diags = append(diags, d.eval.crlfArgument(a.Expr, converted)...)
	}
	if err := assign(converted, into); err != nil {
		return fail(ErrorAt(ElementRange(a.Expr, err), "Invalid value", "The value of %q cannot be used: %s.", f.Name, err))
	}
	return diags
}

func convertArgument(a *hclsyntax.Attribute, f *Field, v cty.Value) (cty.Value, *hcl.Diagnostic) {
	if f.ctyType == cty.DynamicPseudoType {
		return v, nil
	}
	if f.Tag("one") {
		v = alone(v, f.ctyType)
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
		return v, ErrorAt(ElementRange(a.Expr, err), "Wrong type of value",
			"The argument %q takes %s, but %s.", f.Name, DescribeType(f.ctyType), mismatch(v, f.ctyType, err))
	}
	return converted, nil
}

// alone returns a list or a map with only v, if v is a string: in a map, its key is "".
func alone(v cty.Value, want cty.Type) cty.Value {
	switch {
	case v.Type() != cty.String || v.IsNull():
		return v
	case want.IsMapType():
		return cty.MapVal(map[string]cty.Value{"": v})
	}
	return cty.ListVal([]cty.Value{v})
}

// elementError returns an error for the first element of the wrong type in a list or a map, with
// the path to that element. cty's own conversion error does not name the element. The result is nil
// if no element is to blame.
func elementError(v cty.Value, want cty.Type, path cty.Path) error {
	if !want.IsCollectionType() || v.IsNull() || !v.IsKnown() || !v.CanIterateElements() || want.IsMapType() != (v.Type().IsObjectType() || v.Type().IsMapType()) {
		return nil
	}
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		if v.Type().IsSetType() {
			return nil // elements of a set have no path
		}
		_, err := convert.Convert(e, want.ElementType())
		if err == nil {
			continue
		}
		at := append(slices.Clip(path), cty.IndexStep{Key: key})
		if inner := elementError(e, want.ElementType(), at); inner != nil {
			return inner
		}
		return at.NewErrorf("is %s, not %s", DescribeType(e.Type()), DescribeType(want.ElementType()))
	}
	return nil
}

// mismatch describes how the type of a value differs from the wanted type.
func mismatch(v cty.Value, want cty.Type, err error) string {
	path := pathOf(err)
	switch have := v.Type(); {
	case path != "" && strings.HasPrefix(err.Error(), "is "):
		return strings.TrimSuffix(strings.TrimPrefix(path, "in "), ": ") + " " + err.Error()
	case path != "":
		return path + err.Error()
	case have == cty.String && want == cty.Number:
		return "this is a string that is not a number"
	case have == cty.String && want == cty.Bool:
		return `this is a string that is neither "true" nor "false"`
	case DescribeType(have) == DescribeType(want):
		return "here " + err.Error()
	default:
		return "this is " + DescribeType(have)
	}
}

// unknownAttributes finds attributes of an object that its type does not have. Conversion drops
// them silently.
func unknownAttributes(a *hclsyntax.Attribute, f *Field, v cty.Value) *hcl.Diagnostic {
	if v.IsNull() || !v.Type().IsObjectType() {
		return nil
	}
	names := SortedKeys(f.ctyType.AttributeTypes())
	for _, name := range SortedKeys(v.Type().AttributeTypes()) {
		if !f.ctyType.HasAttribute(name) {
			return ErrorAt(keyRange(a.Expr, name), "Unsupported attribute",
				"There is no attribute named %q in %q. Its attributes are %s.%s",
				name, f.Name, AllOf(names), DidYouMean(name, names))
		}
	}
	return nil
}

// keyRange returns the range of a key in an object expression, or of the whole expression.
func keyRange(expr hclsyntax.Expression, name string) hcl.Range {
	if object, ok := expr.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range object.Items {
			if key, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && isText(key, name) {
				return item.KeyExpr.Range()
			}
		}
	}
	return expr.Range()
}

// ElementRange returns the range of the element that an error's path leads to, as far as the path
// can be followed in the source.
func ElementRange(expr hclsyntax.Expression, err error) hcl.Range {
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
			if key, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && isText(key, name) {
				return item.ValueExpr
			}
		}
	}
	return nil
}

// pathOf returns the path of an error as text, such as `in element 1: `, or "".
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
