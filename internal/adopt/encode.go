package adopt

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// encode writes the fields of a struct with hcl tags, and its blocks, as HCL. It leaves out fields
// that are not set.
func encode(out *strings.Builder, v reflect.Value) {
	v = reflect.Indirect(v)
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("hcl"), ",")
		field := v.Field(i)
		if name == "" || field.IsZero() {
			continue
		}
		if options == "block" {
			if reflect.Indirect(field).IsZero() {
				continue
			}
			fmt.Fprintf(out, "%s {\n", name)
			encode(out, field)
			out.WriteString("}\n")
			continue
		}
		value := reflect.Indirect(field).Interface()
		if v.Type().Field(i).Tag.Get("one") == "true" {
			value = alone(value)
		}
		fmt.Fprintf(out, "%s = %s\n", name, expression(value))
	}
}

// alone returns the only element of a list or a map that can be written as a string.
func alone(value any) any {
	switch v := value.(type) {
	case []string:
		if len(v) == 1 {
			return v[0]
		}
	case map[string]string:
		if rate, ok := v[""]; ok && len(v) == 1 {
			return rate
		}
	}
	return value
}

// expression returns a value as an HCL expression.
func expression(v any) string {
	switch v := v.(type) {
	case string:
		return textExpression(v)
	case bool, int:
		return fmt.Sprint(v)
	case []string:
		var words []string
		for _, s := range v {
			words = append(words, quoted(s))
		}
		return "[" + strings.Join(words, ", ") + "]"
	case []int:
		return strings.ReplaceAll(fmt.Sprint(v), " ", ", ")
	case map[string]string:
		var entries []string
		for _, k := range sortedKeys(v) {
			entries = append(entries, quoted(k)+" = "+quoted(v[k]))
		}
		return "{ " + strings.Join(entries, ", ") + " }"
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Struct {
		var fields strings.Builder
		encode(&fields, r)
		return "{\n" + fields.String() + "}"
	}
	panic(fmt.Sprintf("adopt: cannot write a %T", v)) // no state has such an attribute
}

func quoted(s string) string { return string(hclwrite.TokensForValue(cty.StringVal(s)).Bytes()) }

// textExpression returns text as an HCL expression: text of several lines as a heredoc, if that has
// exactly the same value.
func textExpression(s string) string {
	if strings.Count(s, "\n") > 1 && strings.HasSuffix(s, "\n") {
		heredoc := "<<EOT\n" + strings.NewReplacer("${", "$${", "%{", "%%{").Replace(s) + "EOT"
		if means(heredoc, s) {
			return heredoc
		}
	}
	return quoted(s)
}

// representable reports whether HCL can represent a string: HCL converts text to valid UTF-8 in
// Unicode normalisation form C.
func representable(s string) bool { return utf8.ValidString(s) && means(quoted(s), s) }

// means reports whether the value of an expression is that string.
func means(text, s string) bool {
	expr, diags := hclsyntax.ParseExpression([]byte(text+"\n"), "", hcl.InitialPos)
	if diags.HasErrors() {
		return false
	}
	v, diags := expr.Value(nil)
	return !diags.HasErrors() && v.Type() == cty.String && v.AsString() == s
}

// body returns the body of a resource or mirror block, with its braces.
func body(hosts []string, state any, notes []string) string {
	var out strings.Builder
	out.WriteString("{\n")
	for _, n := range notes {
		out.WriteString("# " + n + "\n")
	}
	refs := slices.Clone(hosts)
	for i := range refs {
		refs[i] = "host." + refs[i]
	}
	fmt.Fprintf(&out, "hosts = [%s]\n", strings.Join(refs, ", "))
	encode(&out, reflect.ValueOf(state))
	out.WriteString("}\n")
	return out.String()
}
