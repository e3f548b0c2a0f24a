package lang

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"

	"github.com/zclconf/go-cty/cty"
)

// assign sets a field to a value. The value must be known, not null and of the field's type. The
// error may be a cty.PathError, which leads to the element that is wrong.
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
			return fmt.Errorf("it must be between %d and %d", -limit-1, limit)
		}
		into.SetInt(i)
		return nil
	}
	u, accuracy := n.Uint64()
	if accuracy != big.Exact || into.OverflowUint(u) {
		return fmt.Errorf("it must be between 0 and %d", uint64(math.MaxUint64>>(64-into.Type().Bits())))
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
	s, err := ShapeOf(into.Type())
	if err != nil {
		return err
	}
	for _, f := range s.Fields {
		attr := v.GetAttr(f.Name)
		if attr.IsNull() {
			if f.required {
				return cty.GetAttrPath(f.Name).NewErrorf("attribute %q: %w", f.Name, errNullElement)
			}
			continue
		}
		if err := assign(attr, into.Field(f.Index)); err != nil {
			return cty.GetAttrPath(f.Name).NewErrorf("attribute %q: %w", f.Name, err)
		}
	}
	return nil
}
