package lang

import (
	"errors"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// toFunction is tostring, tolist and so on. Unlike cty's functions, it keeps marks on the elements
// that have them. Types and messages are cty's.
func toFunction(ty cty.Type) function.Function {
	plain := stdlib.MakeToFunc(ty)
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "v", Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true, AllowMarked: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			return plain.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, ret cty.Type) (cty.Value, error) {
			v, err := convert.Convert(args[0], ret)
			if err == nil {
				return v, nil
			}
			unmarked, _ := args[0].UnmarkDeep()
			if _, plainErr := plain.Call([]cty.Value{unmarked}); plainErr != nil {
				err = plainErr
			}
			return cty.NilVal, err
		},
	})
}

// inWords replaces the error of a function that panicked: cty's error contains a Go stack trace.
func inWords(err error) error {
	var panicked function.PanicError
	if errors.As(err, &panicked) {
		return errors.New("it has no result for these arguments: their types do not match, or one of them contains a null")
	}
	return err
}
