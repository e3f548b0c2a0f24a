package lang

import (
	"errors"
	"path/filepath"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// templates implements the functions that render templates.
type templates struct {
	eval   *Evaluator
	mu     sync.Mutex
	byPath map[string]*template
}

// template is a template file that is read and parsed only once.
type template struct {
	once  sync.Once
	expr  hclsyntax.Expression
	diags hcl.Diagnostics
	err   error
}

// fileFunction is templatefile(path, vars). Errors in the template are reported with their position
// in the template file.
func (ts *templates) fileFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("path", cty.String), param("vars", cty.DynamicPseudoType)},
		Type:   function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[1].Type().IsObjectType() && !args[1].Type().IsMapType() {
				return cty.NilVal, function.NewArgErrorf(1, "it must be a map or an object")
			}
			t := ts.file(args[0].AsString())
			if t.err != nil {
				return cty.NilVal, function.NewArgError(0, t.err)
			}
			if t.diags.HasErrors() {
				return cty.NilVal, &templateError{t.diags}
			}
			return t.render(ts.eval, args[1])
		},
	})
}

// templateName is the file name in diagnostics for a template that is a value.
const templateName = "template"

// stringFunction is templatestring(template, vars), where the template is a value, for example the
// content of a file.
func (ts *templates) stringFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("template", cty.String), param("vars", cty.DynamicPseudoType)},
		Type:   function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[1].Type().IsObjectType() && !args[1].Type().IsMapType() {
				return cty.NilVal, function.NewArgErrorf(1, "it must be a map or an object")
			}
			t := &template{}
			t.parse(ts.eval, []byte(args[0].AsString()), templateName)
			if t.diags.HasErrors() {
				return cty.NilVal, inTemplate(t.diags[0])
			}
			v, err := t.render(ts.eval, args[1])
			if inner := (*templateError)(nil); errors.As(err, &inner) {
				err = inTemplate(inner.diags[0])
			}
			return v, err
		},
	})
}

// inTemplate is the error of a template that is a value. No file has its line, so it is in the
// text.
func inTemplate(d *hcl.Diagnostic) error {
	return function.NewArgErrorf(0, "line %d: %s: %s", d.Subject.Start.Line, lowerFirst(d.Summary), lowerFirst(d.Detail))
}

func (ts *templates) file(name string) *template {
	path, err := ts.eval.Reader.Path(name)
	if err != nil {
		return &template{err: err}
	}
	ts.mu.Lock()
	t := ts.byPath[path]
	if t == nil {
		t = &template{}
		ts.byPath[path] = t
	}
	ts.mu.Unlock()
	t.once.Do(func() { t.read(ts.eval, path) })
	return t
}

func (t *template) read(e *Evaluator, path string) {
	src, err := e.Reader.Read(path, MaxSource)
	if err != nil {
		t.err = err
		return
	}
	shown := path
	if rel, err := filepath.Rel(e.Reader.Dir, path); err == nil && filepath.IsLocal(rel) {
		shown = filepath.Join(e.Reader.Dir, rel)
	}
	e.Sources.Set(shown, src)
	t.parse(e, src, shown)
}

// parse parses a template and checks its function calls. A template cannot use other templates,
// which could recurse without end.
func (t *template) parse(e *Evaluator, src []byte, name string) {
	if t.expr, t.diags = parseTemplate(src, name); t.diags.HasErrors() {
		return
	}
	functions := map[string]function.Function{}
	for name, f := range e.Functions {
		if name != "templatefile" && name != "templatestring" {
			functions[name] = f
		}
	}
	t.diags = checkCalls(t.expr, functions)
	instrument(t.expr)
}

// render evaluates a template. It can refer to the given variables only.
func (t *template) render(e *Evaluator, vars cty.Value) (cty.Value, error) {
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: e.Functions}
	for it := vars.ElementIterator(); it.Next(); {
		key, v := it.Element()
		if !hclsyntax.ValidIdentifier(key.AsString()) {
			return cty.NilVal, function.NewArgErrorf(1,
				"%q is not a valid name for a variable: use letters, digits, underscores and dashes", key.AsString())
		}
		ctx.Variables[key.AsString()] = v
	}
	v, diags := e.Eval(t.expr, ctx)
	if diags.HasErrors() {
		return cty.NilVal, &templateError{diags}
	}
	return v, nil
}
