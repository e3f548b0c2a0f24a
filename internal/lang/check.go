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

// Names decides what an expression may refer to: it returns the error of a reference, or nil.
type Names func(t hcl.Traversal) *hcl.Diagnostic

// NoNames allows no references: the expression must be constant.
func NoNames(t hcl.Traversal) *hcl.Diagnostic {
	return ErrorAt(t.SourceRange(), "References not allowed", "Only a constant value is allowed here.")
}

// Reference splits a traversal "local.x…" into its root and the name after it. The name is "" if
// nothing follows the root.
func Reference(t hcl.Traversal) (root, name string) {
	root = t.RootName()
	if len(t) > 1 {
		name = StepName(t[1])
	}
	return root, name
}

// StepName returns the name that a step of a traversal selects: x for .x and ["x"], or "".
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

// Check checks the references and function calls of an expression without evaluating it. An
// expression with errors is marked as bad and is not evaluated later. Check each expression once,
// with the names that are in scope at its place.
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

// Declared checks that the name of a reference prefix.name is one of names.
func Declared(at hcl.Range, what, prefix, name string, names []string) *hcl.Diagnostic {
	if slices.Contains(names, name) {
		return nil
	}
	return Undeclared(at, what, prefix, name, names)
}

// Undeclared is the error of a reference prefix.name to a name that is not one of names.
func Undeclared(at hcl.Range, what, prefix, name string, names []string) *hcl.Diagnostic {
	if name == "" {
		return ErrorAt(at, "Incomplete reference",
			"Add the name of %s, as in %s.%s.", WithArticle(what), prefix, example(names))
	}
	return ErrorAt(at, "Reference to undeclared "+what,
		"There is no %s named %q.%s", what, name, DidYouMeanReference(prefix, name, names))
}

// Misses counts references to undeclared names. After many of them there are no more suggestions:
// each suggestion compares the name with all declared names, which takes time.
type Misses int

// Another counts one more miss and reports whether to suggest a name.
func (m *Misses) Another() bool {
	*m++
	return *m <= MaxDiagnostics
}

// Candidates returns the names to choose a suggestion from; after many misses it returns none.
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

// absentFunctions holds Terraform's functions that this language leaves out, with the reason.
var absentFunctions = map[string]string{
	"timestamp":      changesEveryRun,
	"plantimestamp":  changesEveryRun,
	"uuid":           changesEveryRun,
	"bcrypt":         changesEveryRun,
	"templatefile":   "a template cannot use other templates", // inside a template
	"templatestring": "a template cannot use other templates",
	"type":           "it is only available in `mirrorform console`, around a whole expression",
	"rsadecrypt":     "decrypt the value first, and pass it in a sensitive variable",
}

const changesEveryRun = "its result changes with every run, so every plan would show a change"

// SortedKeys returns the keys of a map, sorted.
func SortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
