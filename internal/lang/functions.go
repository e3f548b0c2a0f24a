package lang

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	yaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	yamlnode "gopkg.in/yaml.v3"
)

// functionTable returns all functions. Names and behaviour are Terraform's. Functions whose result
// changes with every run are missing (see absentFunctions). Paths are relative to the
// configuration's directory.
func functionTable(e *Evaluator) map[string]function.Function {
	table := map[string]function.Function{}
	for name, f := range pureFunctions {
		table[name] = f
	}
	for name, f := range e.Reader.fileFunctions() {
		table[name] = bound(f, nil)
	}
	table["sensitive"] = bound(markFunction(func(v cty.Value) cty.Value {
		e.Secrets.Add(v)
		return v.Mark(SensitiveMark)
	}), nil)
	t := &templates{eval: e, byPath: map[string]*template{}}
	table["templatefile"] = t.fileFunction()
	table["templatestring"] = t.stringFunction()
	return table
}

// pureFunctions are the functions that depend on their arguments alone, with their bounds.
var pureFunctions = func() map[string]function.Function {
	table := map[string]function.Function{
		// These take unevaluated expressions, so they cannot be bound.
		"can": tryfunc.CanFunc,
		"try": tryfunc.TryFunc,
	}
	for _, functions := range []map[string]function.Function{
		libraryFunctions, textFunctions, encodingFunctions, collectionFunctions, networkFunctions, markFunctions,
	} {
		for name, f := range functions {
			table[name] = bound(f, growth[name])
		}
	}
	return table
}()

// libraryFunctions come from cty's standard library.
var libraryFunctions = map[string]function.Function{
	"abs":             stdlib.AbsoluteFunc,
	"ceil":            stdlib.CeilFunc,
	"chomp":           stdlib.ChompFunc,
	"chunklist":       stdlib.ChunklistFunc,
	"coalescelist":    stdlib.CoalesceListFunc,
	"compact":         stdlib.CompactFunc,
	"concat":          stdlib.ConcatFunc,
	"contains":        stdlib.ContainsFunc,
	"csvdecode":       stdlib.CSVDecodeFunc,
	"distinct":        stdlib.DistinctFunc,
	"element":         stdlib.ElementFunc,
	"flatten":         stdlib.FlattenFunc,
	"floor":           stdlib.FloorFunc,
	"format":          stdlib.FormatFunc,
	"formatdate":      stdlib.FormatDateFunc,
	"formatlist":      stdlib.FormatListFunc,
	"indent":          stdlib.IndentFunc,
	"join":            stdlib.JoinFunc,
	"jsondecode":      stdlib.JSONDecodeFunc,
	"jsonencode":      stdlib.JSONEncodeFunc,
	"keys":            stdlib.KeysFunc,
	"log":             stdlib.LogFunc,
	"lower":           stdlib.LowerFunc,
	"max":             stdlib.MaxFunc,
	"merge":           stdlib.MergeFunc,
	"min":             stdlib.MinFunc,
	"parseint":        stdlib.ParseIntFunc,
	"pow":             stdlib.PowFunc,
	"range":           stdlib.RangeFunc,
	"regex":           stdlib.RegexFunc,
	"regexall":        stdlib.RegexAllFunc,
	"reverse":         stdlib.ReverseListFunc,
	"setintersection": stdlib.SetIntersectionFunc,
	"setproduct":      stdlib.SetProductFunc,
	"setsubtract":     stdlib.SetSubtractFunc,
	"setunion":        stdlib.SetUnionFunc,
	"signum":          stdlib.SignumFunc,
	"slice":           stdlib.SliceFunc,
	"sort":            stdlib.SortFunc,
	"split":           stdlib.SplitFunc,
	"strrev":          stdlib.ReverseFunc,
	"substr":          stdlib.SubstrFunc,
	"timeadd":         stdlib.TimeAddFunc,
	"title":           stdlib.TitleFunc,
	"tobool":          toFunction(cty.Bool),
	"tolist":          toFunction(cty.List(cty.DynamicPseudoType)),
	"tomap":           toFunction(cty.Map(cty.DynamicPseudoType)),
	"tonumber":        toFunction(cty.Number),
	"toset":           toFunction(cty.Set(cty.DynamicPseudoType)),
	"tostring":        toFunction(cty.String),
	"trim":            stdlib.TrimFunc,
	"trimprefix":      stdlib.TrimPrefixFunc,
	"trimspace":       stdlib.TrimSpaceFunc,
	"trimsuffix":      stdlib.TrimSuffixFunc,
	"upper":           stdlib.UpperFunc,
	"values":          stdlib.ValuesFunc,
	"yamldecode":      yaml.YAMLDecodeFunc,
	"yamlencode":      yaml.YAMLEncodeFunc,
	"zipmap":          stdlib.ZipmapFunc,
}

// growth has a check for each function whose result can be much larger than its arguments. The
// check runs before the function does.
var growth = map[string]func(args []cty.Value) error{
	"base64gzip": limitText(MaxLocalFile),
	"csvdecode":  limitText(MaxSource),
	"format":     limitWidth,
	"formatlist": limitWidth,
	"indent":     limitIndent,
	"join":       limitJoin,
	"jsondecode": limitJSON,
	"log":        refuseNaN(func(n, base float64) float64 { return math.Log(n) / math.Log(base) }),
	"parseint":   limitText(maxDigits),
	"pow":        refuseNaN(math.Pow),
	"regexall":   limitAll(1, MaxSource),
	"replace":    limitReplace,
	"setproduct": limitProduct,
	"split":      limitSplit,
	"yamldecode": limitYAML,
}

var errResultTooLarge = fmt.Errorf("the result would be larger than %d MiB", maxValue>>20)

// text returns an argument that is a known string.
func text(args []cty.Value, i int) (string, bool) {
	if i >= len(args) {
		return "", false
	}
	v, _ := args[i].Unmark()
	if !IsString(v) {
		return "", false
	}
	return v.AsString(), true
}

// limitText rejects a first argument that is longer than limit bytes.
func limitText(limit int) func(args []cty.Value) error { return limitAll(0, limit) }

func limitAll(i, limit int) func(args []cty.Value) error {
	return func(args []cty.Value) error {
		if s, ok := text(args, i); ok && len(s) > limit {
			return function.NewArgErrorf(i, "the text has %d bytes; at most %d are allowed", len(s), limit)
		}
		return nil
	}
}

var wideVerb = regexp.MustCompile(`%[^%A-Za-z]*[0-9]{4,}`)

// limitWidth rejects widths and precisions of more than three digits.
func limitWidth(args []cty.Value) error {
	if s, ok := text(args, 0); ok && wideVerb.MatchString(s) {
		return function.NewArgErrorf(0, "a width, precision or index has more than three digits")
	}
	return nil
}

func limitIndent(args []cty.Value) error {
	n, _ := args[0].Unmark()
	s, ok := text(args, 1)
	if !ok || n.IsNull() || !n.IsKnown() {
		return nil
	}
	spaces, _ := n.AsBigFloat().Int64()
	if spaces < 0 {
		return function.NewArgErrorf(0, "it must not be negative")
	}
	if spaces > 1000 || int64(strings.Count(s, "\n"))*spaces > maxValue {
		return errResultTooLarge
	}
	return nil
}

// refuseNaN rejects arguments for which a function of two numbers has no result: cty would panic.
func refuseNaN(of func(x, y float64) float64) func(args []cty.Value) error {
	return func(args []cty.Value) error {
		var n [2]float64
		for i := range n {
			v, _ := args[i].Unmark()
			if v.IsNull() || !v.IsKnown() {
				return nil
			}
			n[i], _ = v.AsBigFloat().Float64()
		}
		if math.IsNaN(of(n[0], n[1])) {
			return errors.New("the result is not defined for these numbers")
		}
		return nil
	}
}

func limitJoin(args []cty.Value) error {
	sep, ok := text(args, 0)
	if !ok {
		return nil
	}
	total := 0
	for _, list := range args[1:] {
		list, _ = list.Unmark()
		if list.IsNull() || !list.IsKnown() {
			return nil
		}
		total += list.LengthInt() * len(sep)
	}
	if total > maxValue { // bound has measured the elements themselves
		return errResultTooLarge
	}
	return nil
}

func limitProduct(args []cty.Value) error {
	total := 1
	for _, a := range args {
		a, _ = a.Unmark()
		if a.IsNull() || !a.IsKnown() || !a.CanIterateElements() {
			return nil
		}
		if n := a.LengthInt(); n > 0 {
			total *= n
		}
		if total*max(1, len(args)) > maxElements {
			return fmt.Errorf("the product has more than %d elements", maxElements)
		}
	}
	return nil
}

func limitSplit(args []cty.Value) error {
	sep, ok := text(args, 0)
	s, also := text(args, 1)
	if ok && also && strings.Count(s, sep) > maxElements {
		return fmt.Errorf("the text has more than %d parts", maxElements)
	}
	return nil
}

// limitJSON rejects a text that is nested too deeply for the decoder, which recurses.
func limitJSON(args []cty.Value) error {
	s, ok := text(args, 0)
	if !ok {
		return nil
	}
	depth, inString := 0, false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if inString {
				i++
			}
		case '"':
			inString = !inString
		case '[', '{':
			if !inString {
				depth++
			}
		case ']', '}':
			if !inString {
				depth--
			}
		}
		if depth > maxNesting {
			return function.NewArgErrorf(0, "it is nested more than %d levels deep", maxNesting)
		}
	}
	return nil
}

// limitYAML rejects a text that is nested too deeply for the decoder, or whose aliases expand to
// too many elements.
func limitYAML(args []cty.Value) error {
	s, ok := text(args, 0)
	if !ok {
		return nil
	}
	if len(s) > MaxSource {
		return function.NewArgErrorf(0, "the text has %d bytes; at most %d are allowed", len(s), MaxSource)
	}
	var doc yamlnode.Node
	if err := yamlnode.Unmarshal([]byte(s), &doc); err != nil {
		return function.NewArgErrorf(0, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	m := yamlMeasure{sizes: map[*yamlnode.Node]int{}}
	if m.size(&doc, 0) > maxElements {
		return function.NewArgErrorf(0,
			"it has more than %d elements, or is nested more than %d levels deep", maxElements, maxNesting)
	}
	return nil
}

// yamlMeasure counts the nodes of a YAML document with all aliases expanded.
type yamlMeasure struct{ sizes map[*yamlnode.Node]int }

// size returns the number of nodes below a node. It returns more than maxElements also for nodes
// that are nested too deeply, and for an alias inside its own anchor.
func (m *yamlMeasure) size(n *yamlnode.Node, depth int) int {
	const tooMany = maxElements + 1
	if known, ok := m.sizes[n]; ok {
		return known
	}
	if depth > maxNesting {
		return tooMany
	}
	m.sizes[n] = tooMany // a cycle ends here
	size := 1
	if n.Alias != nil {
		size += m.size(n.Alias, depth+1)
	}
	for _, c := range n.Content {
		size = min(size+m.size(c, depth+1), tooMany)
	}
	m.sizes[n] = size
	return size
}
