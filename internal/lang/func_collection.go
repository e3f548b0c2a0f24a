package lang

import (
	"errors"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

var collectionFunctions = map[string]function.Function{
	"alltrue":   boolsFunction(true),
	"anytrue":   boolsFunction(false),
	"coalesce":  coalesceFunction,
	"index":     indexFunction,
	"length":    lengthFunction,
	"lookup":    lookupFunction,
	"matchkeys": matchKeysFunction,
	"one":       oneFunction,
	"sum":       sumFunction,
	"transpose": transposeFunction,
}

// boolsFunction is alltrue or anytrue. One element can decide the result: a false one for alltrue,
// a true one for anytrue.
func boolsFunction(all bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("list", cty.List(cty.Bool))},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			unknown := false
			for _, e := range args[0].AsValueSlice() {
				if !e.IsKnown() {
					unknown = true
					continue
				}
				if holds := !e.IsNull() && e.True(); holds != all {
					return cty.BoolVal(!all), nil
				}
			}
			if unknown {
				return cty.UnknownVal(cty.Bool), nil
			}
			return cty.BoolVal(all), nil
		},
	})
}

// coalesceFunction returns its first argument that is neither null nor an empty string.
var coalesceFunction = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "vals", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true, AllowNull: true},
	Type: func(args []cty.Value) (cty.Type, error) {
		types := make([]cty.Type, len(args))
		for i, a := range args {
			types[i] = a.Type()
		}
		ty, _ := convert.UnifyUnsafe(types)
		if ty == cty.NilType {
			return ty, errors.New("all arguments must have the same type")
		}
		return ty, nil
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		for _, a := range args {
			v, err := convert.Convert(a, ty)
			switch {
			case err != nil:
				return cty.NilVal, err
			case !v.IsKnown():
				return cty.UnknownVal(ty), nil
			case v.IsNull(), v.Type() == cty.String && v.AsString() == "":
				continue
			}
			return v, nil
		}
		return cty.NilVal, errors.New("all arguments are null or empty strings")
	},
})

// indexFunction returns the index of a value in a list.
var indexFunction = function.New(&function.Spec{
	Params: []function.Parameter{param("list", cty.DynamicPseudoType), param("value", cty.DynamicPseudoType)},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		list := args[0]
		if !list.Type().IsListType() && !list.Type().IsTupleType() {
			return cty.NilVal, function.NewArgErrorf(0, "it must be a list")
		}
		for i, e := range list.AsValueSlice() {
			equal, err := stdlib.Equal(e, args[1])
			if err != nil {
				return cty.NilVal, err
			}
			if !equal.IsKnown() {
				return cty.UnknownVal(cty.Number), nil
			}
			if equal.True() {
				return cty.NumberIntVal(int64(i)), nil
			}
		}
		return cty.NilVal, errors.New("the list does not contain the value")
	},
})

// lengthFunction counts elements, or the characters of a string. The result is sensitive if the
// collection itself is; sensitive elements do not make it so.
var lengthFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true, AllowUnknown: true, AllowMarked: true}},
	Type: func(args []cty.Value) (cty.Type, error) {
		ty := args[0].Type()
		if ty == cty.String || ty == cty.DynamicPseudoType || ty.IsCollectionType() || ty.IsTupleType() || ty.IsObjectType() {
			return cty.Number, nil
		}
		return cty.Number, function.NewArgErrorf(0, "it must be a string, a list, a set, a map or an object")
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, marks := args[0].Unmark()
		length, err := lengthOf(v)
		return length.WithMarks(marks), err
	},
})

func lengthOf(v cty.Value) (cty.Value, error) {
	switch ty := v.Type(); {
	case ty == cty.DynamicPseudoType:
		return cty.UnknownVal(cty.Number), nil
	case ty == cty.String:
		return stdlib.Strlen(v)
	case ty.IsTupleType():
		return cty.NumberIntVal(int64(ty.Length())), nil
	case ty.IsObjectType():
		return cty.NumberIntVal(int64(len(ty.AttributeTypes()))), nil
	default:
		return v.Length(), nil
	}
}

// lookupFunction returns the element of a map by its key, or the third argument if the key is
// missing. Without a third argument, a missing key is an error. The result does not get the marks
// of other elements.
var lookupFunction = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "map", Type: cty.DynamicPseudoType, AllowMarked: true}, {Name: "key", Type: cty.String, AllowMarked: true},
	},
	VarParam: &function.Parameter{Name: "default", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true},
	Type:     lookupType,
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		in, inMarks := args[0].Unmark()
		key, keyMarks := args[1].Unmark()
		v, found := elementAt(in, key)
		if !found {
			if len(args) < 3 {
				return cty.NilVal, function.NewArgErrorf(1, "there is no element %q and no default value", key.AsString())
			}
			var err error
			if v, err = convert.Convert(args[2], ty); err != nil {
				return cty.NilVal, function.NewArgError(2, err)
			}
		}
		return v.WithMarks(inMarks, keyMarks), nil
	},
})

// elementAt returns an element of a map or an object, and reports whether it exists.
func elementAt(in, key cty.Value) (cty.Value, bool) {
	switch ty := in.Type(); {
	case ty.IsObjectType() && ty.HasAttribute(key.AsString()):
		return in.GetAttr(key.AsString()), true
	case ty.IsMapType() && in.HasIndex(key).True():
		return in.Index(key), true
	}
	return cty.NilVal, false
}

func lookupType(args []cty.Value) (cty.Type, error) {
	ty := args[0].Type()
	key, _ := args[1].Unmark()
	switch {
	case len(args) > 3:
		return cty.NilType, function.NewArgErrorf(3, "only one default value is allowed")
	case ty.IsMapType():
		if len(args) == 3 {
			if _, err := convert.Convert(args[2], ty.ElementType()); err != nil {
				return cty.NilType, function.NewArgErrorf(2, "the default must have the type of the map's elements")
			}
		}
		return ty.ElementType(), nil
	case !ty.IsObjectType():
		return cty.NilType, function.NewArgErrorf(0, "it must be a map or an object")
	case key.IsKnown() && ty.HasAttribute(key.AsString()):
		return ty.AttributeType(key.AsString()), nil
	case key.IsKnown() && len(args) == 3:
		return args[2].Type(), nil
	}
	return cty.DynamicPseudoType, nil
}

// matchKeysFunction returns the values whose keys are in the search set. Keys are converted to one
// type before they are compared.
var matchKeysFunction = function.New(&function.Spec{
	Params: []function.Parameter{
		param("values", cty.List(cty.DynamicPseudoType)), param("keys", cty.List(cty.DynamicPseudoType)), param("searchset", cty.List(cty.DynamicPseudoType)),
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		if ty, _ := convert.UnifyUnsafe([]cty.Type{args[1].Type(), args[2].Type()}); ty == cty.NilType {
			return cty.NilType, function.NewArgErrorf(2, "its elements must have the type of the keys")
		}
		return args[0].Type(), nil
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		if args[0].LengthInt() != args[1].LengthInt() {
			return cty.NilVal, function.NewArgErrorf(1, "it must have as many elements as the list of values")
		}
		if !args[0].IsWhollyKnown() || !args[1].IsWhollyKnown() || !args[2].IsWhollyKnown() {
			return cty.UnknownVal(ty), nil
		}
		common, _ := convert.UnifyUnsafe([]cty.Type{args[1].Type(), args[2].Type()})
		keys, err := convert.Convert(args[1], common)
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		wanted, err := convert.Convert(args[2], common)
		if err != nil {
			return cty.NilVal, function.NewArgError(2, err)
		}
		var found []cty.Value
		values := args[0].AsValueSlice()
		for i, key := range keys.AsValueSlice() {
			if slices.ContainsFunc(wanted.AsValueSlice(), func(w cty.Value) bool { return key.Equals(w).True() }) {
				found = append(found, values[i])
			}
		}
		if len(found) == 0 {
			return cty.ListValEmpty(ty.ElementType()), nil
		}
		return cty.ListVal(found), nil
	},
})

// oneFunction returns the only element of a list, or null for an empty one.
var oneFunction = function.New(&function.Spec{
	Params: []function.Parameter{param("list", cty.DynamicPseudoType)},
	Type: func(args []cty.Value) (cty.Type, error) {
		ty := args[0].Type()
		switch {
		case ty.IsListType() || ty.IsSetType():
			return ty.ElementType(), nil
		case ty.IsTupleType() && ty.Length() == 1:
			return ty.TupleElementType(0), nil
		case ty.IsTupleType() && ty.Length() == 0:
			return cty.DynamicPseudoType, nil
		}
		return cty.NilType, function.NewArgErrorf(0, "it must be a list or a set with at most one element")
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		if !args[0].Length().IsKnown() { // unknown elements of a set may be equal
			return cty.UnknownVal(ty), nil
		}
		switch elems := args[0].AsValueSlice(); len(elems) {
		case 0:
			return cty.NullVal(ty), nil
		case 1:
			return elems[0], nil
		default:
			return cty.NilVal, function.NewArgErrorf(0, "it must be a list or a set with at most one element")
		}
	},
})

// sumFunction adds numbers.
var sumFunction = function.New(&function.Spec{
	Params: []function.Parameter{param("list", cty.DynamicPseudoType)},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if ty := args[0].Type(); !ty.IsListType() && !ty.IsSetType() && !ty.IsTupleType() || args[0].LengthInt() == 0 {
			return cty.NilVal, function.NewArgErrorf(0, "it must be a list or a set with at least one number")
		}
		total := cty.Zero
		for _, e := range args[0].AsValueSlice() {
			n, err := convert.Convert(e, cty.Number)
			if err != nil || n.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "all elements must be numbers")
			}
			total = total.Add(n)
		}
		return total, nil
	},
})

// transposeFunction swaps keys and elements in a map of lists.
var transposeFunction = function.New(&function.Spec{
	Params: []function.Parameter{param("values", cty.Map(cty.List(cty.String)))},
	Type:   function.StaticReturnType(cty.Map(cty.List(cty.String))),
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(ty), nil
		}
		lists := map[string][]cty.Value{}
		for it := args[0].ElementIterator(); it.Next(); {
			key, list := it.Element()
			if list.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "its lists must not be null")
			}
			for _, e := range list.AsValueSlice() {
				if e.IsNull() {
					return cty.NilVal, function.NewArgErrorf(0, "elements of its lists must not be null")
				}
				lists[e.AsString()] = append(lists[e.AsString()], key)
			}
		}
		if len(lists) == 0 {
			return cty.MapValEmpty(cty.List(cty.String)), nil
		}
		result := map[string]cty.Value{}
		for key, list := range lists {
			result[key] = cty.ListVal(list)
		}
		return cty.MapVal(result), nil
	},
})

// markFunctions read and remove the marks of sensitive values. The function sensitive, which also
// records the secret, is in functionTable.
var markFunctions = map[string]function.Function{
	"nonsensitive": markFunction(func(v cty.Value) cty.Value {
		v, marks := v.Unmark()
		delete(marks, SensitiveMark)
		return v.WithMarks(marks)
	}),
	"issensitive": function.New(&function.Spec{
		Params: []function.Parameter{open(param("value", cty.DynamicPseudoType))},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(args[0].HasMark(SensitiveMark)), nil
		},
	}),
}

func markFunction(change func(cty.Value) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{open(param("value", cty.DynamicPseudoType))},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return change(args[0]), nil },
	})
}
