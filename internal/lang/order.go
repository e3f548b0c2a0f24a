package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Definition is a value that expressions can refer to.
type Definition struct {
	Name     string    // the beginning of references to it: local.x
	At       hcl.Range // for messages
	Exprs    []hclsyntax.Expression
	Evaluate func() hcl.Diagnostics // evaluates and stores the value
	Skip     func()                 // records that there is no value
}

// EvaluateInOrder evaluates each definition once, after those that it refers to. It skips
// definitions that are part of a cycle or depend on one. whole holds the roots of references that
// may stand alone: such a reference depends on all definitions with that root.
func EvaluateInOrder(definitions []Definition, whole ...string) hcl.Diagnostics {
	byName := map[string]*Definition{}
	for i := range definitions {
		byName[definitions[i].Name] = &definitions[i]
	}
	g := NewGraph()
	for _, d := range definitions {
		g.Add(d.Name, d.At, references(d.Exprs, byName, whole)...)
	}
	order, cycles := g.Order()
	var diags hcl.Diagnostics
	for _, cycle := range cycles {
		diags = append(diags, g.Describe(cycle, CycleWords{
			Summary: "Cycle of references", Itself: "Reference to itself",
			Problem: "These values refer to each other", Verb: "refers to",
		}))
	}
	for _, name := range order {
		diags = append(diags, byName[name].Evaluate()...)
		delete(byName, name)
	}
	for _, d := range byName {
		d.Skip()
	}
	return diags
}

// references returns the names of the definitions that expressions refer to.
func references(exprs []hclsyntax.Expression, byName map[string]*Definition, whole []string) []string {
	var names []string
	for _, expr := range exprs {
		for _, t := range expr.Variables() {
			root, name := Reference(t)
			if slices.Contains(whole, root) && len(t) == 1 {
				for _, n := range SortedKeys(byName) {
					if strings.HasPrefix(n, root+".") {
						names = append(names, n)
					}
				}
			} else if n := root + "." + name; byName[n] != nil {
				names = append(names, n)
			}
		}
	}
	return names
}

// Graph has, for each name, its position and the names that it refers to.
type Graph struct {
	refs   map[string][]string
	places map[string]hcl.Range
}

// NewGraph returns an empty graph.
func NewGraph() *Graph { return &Graph{refs: map[string][]string{}, places: map[string]hcl.Range{}} }

// Add adds a name and the names that it refers to.
func (g *Graph) Add(name string, at hcl.Range, refs ...string) {
	g.refs[name], g.places[name] = refs, at
}

// Order sorts the names so that each comes after those it refers to. Names without an order between
// them are sorted alphabetically. The order leaves out the names that are part of a cycle or refer
// to one. Each cycle is returned once.
func (g *Graph) Order() (order []string, cycles [][]string) { return sortGraph(g.refs) }

// CycleWords are the words for a cycle in a message.
type CycleWords struct {
	Summary string
	Itself  string // the summary if a name refers to itself
	Problem string // the beginning of the detail
	Verb    string // the relation of each name to the next: "refers to"
}

// Describe returns a diagnostic that names every member of a cycle. Its position is that of the
// first member in the source.
func (g *Graph) Describe(cycle []string, w CycleWords) *hcl.Diagnostic {
	first := 0
	for i, n := range cycle {
		a, b := g.places[n], g.places[cycle[first]]
		if Before(&a, &b) {
			first = i
		}
	}
	cycle = append(append([]string{}, cycle[first:]...), cycle[:first]...)
	at := g.places[cycle[0]]
	if len(cycle) == 1 {
		return ErrorAt(at, w.Itself, "%s %s itself.", cycle[0], w.Verb)
	}
	const shown = 20
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", cycle[0], Place(at))
	for i, n := range cycle[1:] {
		if i >= shown && i < len(cycle)-2 {
			if i == shown {
				fmt.Fprintf(&b, ", … (%d more)", len(cycle)-2-shown)
			}
			continue
		}
		fmt.Fprintf(&b, ", which %s %s (%s)", w.Verb, n, Place(g.places[n]))
	}
	return ErrorAt(at, w.Summary, "%s: %s, which %s %s again.", w.Problem, b.String(), w.Verb, cycle[0])
}

// sortGraph is Order for the references of a graph.
func sortGraph(graph map[string][]string) (order []string, cycles [][]string) {
	waits := map[string]int{} // number of nodes that must come before it and are not in order yet
	users := map[string][]string{}
	for _, n := range SortedKeys(graph) {
		seen := map[string]bool{}
		for _, d := range graph[n] {
			if d == n && !seen[d] {
				cycles = append(cycles, []string{n})
			}
			if _, known := graph[d]; known && !seen[d] {
				seen[d] = true
				waits[n]++
				users[d] = append(users[d], n)
			}
		}
	}
	for _, n := range SortedKeys(graph) {
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

// findCycles follows from each waiting node the nodes that it waits for, until a node repeats. It
// ignores nodes that refer to themselves, which sortGraph has found.
func findCycles(graph map[string][]string, waits map[string]int) [][]string {
	var cycles [][]string
	walkOf := map[string]int{}
	for walk, start := range SortedKeys(graph) {
		var way []string
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

func nextWaiting(n string, deps []string, waits map[string]int) string {
	for _, d := range deps {
		if d != n && waits[d] > 0 {
			return d
		}
	}
	return ""
}

func indexOf(way []string, n string) int {
	for i, w := range way {
		if w == n {
			return i
		}
	}
	return 0
}
