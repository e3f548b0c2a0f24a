package config

import (
	"maps"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// globals are the values that all expressions can refer to: var, local, host and path.
type globals struct {
	eval      *lang.Evaluator
	variables *lang.Variables
	locals    *lang.Locals
	inventory *inventory
	path      cty.Value
	all       *hcl.EvalContext // all values, set by evaluate
}

// evaluate evaluates local values and hosts, each once and after the values that it refers to.
// Those in a cycle, or with references to one, get no value.
func (g *globals) evaluate() hcl.Diagnostics {
	definitions := g.locals.Definitions(func(expr hclsyntax.Expression) *hcl.EvalContext { return g.contextFor(expr) })
	diags := lang.EvaluateInOrder(append(definitions, g.inventory.definitions(g.eval, g.contextFor)...), "host")
	g.inventory.order()
	g.all = g.contextOf(g.variables.Values, g.locals.Values, g.inventory.values)
	return diags
}

func (g *globals) contextOf(variables, locals, hosts map[string]cty.Value) *hcl.EvalContext {
	return &hcl.EvalContext{
		Functions: g.eval.Functions,
		Variables: map[string]cty.Value{
			"var": cty.ObjectVal(variables), "local": cty.ObjectVal(locals), "host": cty.ObjectVal(hosts), "path": g.path,
		},
	}
}

// contextFor returns a context with only the values that expressions refer to. It works before all
// values are known, and is cheaper than a context with thousands of hosts.
func (g *globals) contextFor(exprs ...hclsyntax.Expression) *hcl.EvalContext {
	vars, locals, hosts := map[string]cty.Value{}, map[string]cty.Value{}, map[string]cty.Value{}
	pick := func(to, from map[string]cty.Value, name string) {
		if v, ok := from[name]; ok {
			to[name] = v
		}
	}
	for _, expr := range exprs {
		for _, t := range expr.Variables() {
			switch root, name := lang.Reference(t); root {
			case "var":
				pick(vars, g.variables.Values, name)
			case "local":
				pick(locals, g.locals.Values, name)
			case "host":
				switch name {
				case "": // all hosts except local
					maps.Copy(hosts, g.inventory.values)
				case localHost:
					hosts[localHost] = localHostValue()
				default:
					pick(hosts, g.inventory.values, name)
				}
			}
		}
	}
	return g.contextOf(vars, locals, hosts)
}

// pathNames has the attributes of the object path.
var pathNames = []string{"cwd", "module", "root"}

// pathValue returns the object path. In functions and arguments, paths are relative to the
// configuration's directory, so root and module are "." on every machine; abspath(path.root) is the
// absolute path. cwd is the working directory of mirrorform.
func pathValue() cty.Value {
	cwd := cty.NullVal(cty.String)
	if dir, err := os.Getwd(); err == nil {
		cwd = cty.StringVal(filepath.ToSlash(dir))
	}
	return cty.ObjectVal(map[string]cty.Value{"cwd": cwd, "module": cty.StringVal("."), "root": cty.StringVal(".")})
}
