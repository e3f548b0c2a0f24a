package lang

import (
	"errors"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// toFunction is tostring, tolist and so on. Unlike cty's own, it leaves marks on the elements that
// have them; types and messages are cty's.
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

// inWords puts the panic of a function into the words of the language: cty's error holds Go's
// stack.
func inWords(err error) error {
	var panicked function.PanicError
	if errors.As(err, &panicked) {
		return errors.New("it has no result for these arguments: their types, or a null in them, do not go together")
	}
	return err
}
