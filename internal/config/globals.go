package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// evaluateGlobals evaluates local values and hosts, each once and after what it refers to. What is part of a cycle, or depends on one, has no value.
func (c *Config) evaluateGlobals() hcl.Diagnostics {
	graph, places := c.globalGraph()
	order, cycles := sortNodes(graph)
	var diags hcl.Diagnostics
	for _, cycle := range cycles {
		diags = append(diags, describeCycle(cycle, places))
	}
	for _, n := range order {
		kind, name, _ := strings.Cut(string(n), ".")
		if kind == "local" {
			diags = append(diags, c.evaluateLocal(c.locals[name])...)
		} else {
			diags = append(diags, c.evaluateHost(c.hostBlocks[name])...)
		}
	}
	for name := range c.locals {
		if _, ok := c.localVals[name]; !ok {
			c.localVals[name] = cty.DynamicVal
		}
	}
	for name, hb := range c.hostBlocks {
		if _, ok := c.hostVals[name]; !ok {
			c.hostVals[name], hb.failed = cty.DynamicVal, true
		}
	}
	c.orderHosts()
	c.global = &hcl.EvalContext{
		Functions: c.functions,
		Variables: map[string]cty.Value{
			"var":   cty.ObjectVal(c.varVals),
			"local": cty.ObjectVal(c.localVals),
			"host":  cty.ObjectVal(c.hostVals),
			"path":  c.path,
		},
	}
	return diags
}

// pathNames are the attributes of the object path.
var pathNames = []string{"cwd", "module", "root"}

// pathValue is the object path. Functions and arguments take paths as relative to the
// configuration's directory, so root and module are ".", on every machine; abspath(path.root) is
// the absolute one. cwd is where mirrorform was started.
func pathValue() cty.Value {
	cwd := cty.NullVal(cty.String)
	if dir, err := os.Getwd(); err == nil {
		cwd = cty.StringVal(filepath.ToSlash(dir))
	}
	return cty.ObjectVal(map[string]cty.Value{"cwd": cwd, "module": cty.StringVal("."), "root": cty.StringVal(".")})
}

func (c *Config) evaluateLocal(l *local) hcl.Diagnostics {
	v, diags := c.eval(l.expr, c.contextFor(l.expr))
	c.localVals[l.name] = v
	return diags
}

// contextFor makes a context that has what an expression refers to, so that values can be evaluated before all others are there.
func (c *Config) contextFor(exprs ...hclsyntax.Expression) *hcl.EvalContext {
	vars, locals, hosts := map[string]cty.Value{}, map[string]cty.Value{}, map[string]cty.Value{}
	pick := func(to, from map[string]cty.Value, name string) {
		if v, ok := from[name]; ok {
			to[name] = v
		}
	}
	for _, expr := range exprs {
		for _, t := range expr.Variables() {
			switch root, name := reference(t); root {
			case "var":
				pick(vars, c.varVals, name)
			case "local":
				pick(locals, c.localVals, name)
			case "host":
				switch name {
				case "": // all hosts, which local does not count among
					maps.Copy(hosts, c.hostVals)
				case localHost:
					hosts[localHost] = localHostValue()
				default:
					pick(hosts, c.hostVals, name)
				}
			}
		}
	}
	return &hcl.EvalContext{
		Functions: c.functions,
		Variables: map[string]cty.Value{"var": cty.ObjectVal(vars), "local": cty.ObjectVal(locals), "host": cty.ObjectVal(hosts), "path": pathValue()},
	}
}

// globalGraph is what refers to what among locals and hosts, with the place of each.
func (c *Config) globalGraph() (map[node][]node, map[node]hcl.Range) {
	graph, places := map[node][]node{}, map[node]hcl.Range{}
	for name, l := range c.locals {
		n := node("local." + name)
		graph[n], places[n] = c.dependencies(l.expr), l.rng
	}
	for name, hb := range c.hostBlocks {
		n := node("host." + name)
		graph[n], places[n] = nil, hb.header
		for _, expr := range expressions(hb.body) {
			graph[n] = append(graph[n], c.dependencies(expr)...)
		}
	}
	return graph, places
}

// sortNodes orders the nodes of a graph so that each comes after those it refers to; among those that are free to come next, by name.
// What cannot be ordered is in a cycle or refers to one; the cycles are returned, each once.
func sortNodes(graph map[node][]node) (order []node, cycles [][]node) {
	waits := map[node]int{} // how many nodes it still waits for
	users := map[node][]node{}
	for _, n := range sortedNodes(graph) {
		seen := map[node]bool{}
		for _, d := range graph[n] {
			if d == n && !seen[d] {
				cycles = append(cycles, []node{n})
			}
			if _, known := graph[d]; known && !seen[d] {
				seen[d] = true
				waits[n]++
				users[d] = append(users[d], n)
			}
		}
	}
	for _, n := range sortedNodes(graph) {
		if waits[n] == 0 {
			order = append(order, n)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, u := range users[order[i]] {
			if waits[u]--; waits[u] == 0 {
				order = append(order, u)
			}
		}
	}
	return order, append(cycles, findCycles(graph, waits)...)
}

// findCycles walks from each node that still waits to another one that it waits for, until it comes back. Nodes that wait for themselves are passed over.
func findCycles(graph map[node][]node, waits map[node]int) [][]node {
	var cycles [][]node
	walkOf := map[node]int{}
	for walk, start := range sortedNodes(graph) {
		var way []node
		for n := start; n != "" && waits[n] > 0; n = nextWaiting(n, graph[n], waits) {
			if w, seen := walkOf[n]; seen {
				if w == walk {
					cycles = append(cycles, way[indexOf(way, n):])
				}
				break
			}
			walkOf[n] = walk
			way = append(way, n)
		}
	}
	return cycles
}

func nextWaiting(n node, deps []node, waits map[node]int) node {
	for _, d := range deps {
		if d != n && waits[d] > 0 {
			return d
		}
	}
	return ""
}

func indexOf(way []node, n node) int {
	for i, w := range way {
		if w == n {
			return i
		}
	}
	return 0
}

func sortedNodes(graph map[node][]node) []node {
	byName := make(map[string]bool, len(graph))
	for n := range graph {
		byName[string(n)] = true
	}
	nodes := make([]node, 0, len(graph))
	for _, name := range sortedKeys(byName) {
		nodes = append(nodes, node(name))
	}
	return nodes
}

// describeCycle names every member of a cycle. It is placed at the member that comes first in the source.
func describeCycle(cycle []node, places map[node]hcl.Range) *hcl.Diagnostic {
	first := 0
	for i, n := range cycle {
		a, b := places[n], places[cycle[first]]
		if before(&a, &b) {
			first = i
		}
	}
	cycle = append(append([]node{}, cycle[first:]...), cycle[:first]...)
	if len(cycle) == 1 {
		return errorAt(places[cycle[0]], "Reference to itself", "%s refers to itself.", cycle[0])
	}
	const shown = 20
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", cycle[0], place(places[cycle[0]]))
	for i, n := range cycle[1:] {
		if i >= shown && i < len(cycle)-2 {
			if i == shown {
				fmt.Fprintf(&b, ", and so on over %d others", len(cycle)-2-shown)
			}
			continue
		}
		fmt.Fprintf(&b, ", which refers to %s (%s)", n, place(places[n]))
	}
	return errorAt(places[cycle[0]], "Cycle of references", "The values of these cannot be found: %s, which refers to %s again.", b.String(), cycle[0])
}
