package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Names says what an expression may refer to: it returns what is wrong with a reference, or nil.
type Names func(t hcl.Traversal) *hcl.Diagnostic

// NoNames are the names of an expression that must be constant.
func NoNames(t hcl.Traversal) *hcl.Diagnostic {
	return ErrorAt(t.SourceRange(), "References not allowed", "Only constant values may be given here.")
}

// Reference splits a traversal "local.x…" into its root and the name after it; the name is "" when
// the root stands alone.
func Reference(t hcl.Traversal) (root, name string) {
	root = t.RootName()
	if len(t) > 1 {
		name = StepName(t[1])
	}
	return root, name
}

// StepName is the name that a step of a traversal selects: .x or ["x"].
func StepName(step hcl.Traverser) string {
	switch s := step.(type) {
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString()
		}
	}
	return ""
}

// Check looks at an expression without evaluating it: what it refers to and which functions it
// calls. An expression with errors is remembered as bad, so that it is not evaluated. Each
// expression is checked once, against the names of the place that it stands in.
func (e *Evaluator) Check(expr hclsyntax.Expression, names Names) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, t := range expr.Variables() {
		if d := names(t); d != nil {
			diags = append(diags, d)
		}
	}
	diags = append(diags, checkCalls(expr, e.Functions)...)
	if diags.HasErrors() {
		e.bad[expr] = true
		return diags
	}
	instrument(expr)
	return diags
}

func checkCalls(expr hclsyntax.Expression, functions map[string]function.Function) hcl.Diagnostics {
	return hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok {
			return nil
		}
		if _, known := functions[call.Name]; known {
			return nil
		}
		detail := fmt.Sprintf("There is no function named %q.%s", call.Name, DidYouMean(call.Name, SortedKeys(functions)))
		if why := absentFunctions[call.Name]; why != "" {
			detail = fmt.Sprintf("There is no function named %q: %s.", call.Name, why)
		}
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Call to unknown function", Detail: detail,
			Subject: &call.NameRange, Context: call.Range().Ptr()}}
	})
}

// Declared checks a reference prefix.name against the names that there are.
func Declared(at hcl.Range, what, prefix, name string, names []string) *hcl.Diagnostic {
	if slices.Contains(names, name) {
		return nil
	}
	return Undeclared(at, what, prefix, name, names)
}

// Undeclared is the error of a reference prefix.name, where names are the right ones.
func Undeclared(at hcl.Range, what, prefix, name string, names []string) *hcl.Diagnostic {
	if name == "" {
		return ErrorAt(at, "Incomplete reference", "The name of %s must follow, as in %s.%s.", WithArticle(what), prefix, example(names))
	}
	return ErrorAt(at, "Reference to undeclared "+what, "There is no %s named %q.%s", what, name, DidYouMeanReference(prefix, name, names))
}

// Misses counts references to what is not declared. After many there are no suggestions, since to
// compare all names would take long.
type Misses int

// Another counts one more, and reports whether to suggest a name.
func (m *Misses) Another() bool {
	*m++
	return *m <= MaxDiagnostics
}

// Candidates lists names to suggest, or none after many misses.
func Candidates[V any](misses *Misses, m map[string]V) []string {
	if !misses.Another() {
		return nil
	}
	return SortedKeys(m)
}

func example(names []string) string {
	if len(names) == 0 {
		return "NAME"
	}
	return names[0]
}

// absentFunctions are functions of Terraform that are left out on purpose, with the reason.
var absentFunctions = map[string]string{
	"timestamp":      "its result would differ in every run, so that no plan would ever be empty",
	"plantimestamp":  "its result would differ in every run, so that no plan would ever be empty",
	"uuid":           "its result would differ in every run, so that no plan would ever be empty",
	"bcrypt":         "its result would differ in every run, so that no plan would ever be empty",
	"templatefile":   "a template cannot use other templates", // found in templates only
	"templatestring": "a template cannot use other templates",
	"type":           "it stands around a whole expression in `mirrorform console`, and nowhere else",
	"rsadecrypt":     "decrypt before, and pass the value in a sensitive variable",
}

// SortedKeys returns the keys of a map, sorted.
func SortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
