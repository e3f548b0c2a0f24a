// Package graph draws the resources of hosts and their dependencies as DOT
// (https://graphviz.org/doc/info/lang.html) and Mermaid
// (https://mermaid.js.org/syntax/flowchart.html).
package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// HostGraph is a host with its resources.
type HostGraph struct {
	Name  string
	Nodes []Node
}

// Node is a resource, or a block whose resources are not known yet.
type Node struct {
	Address string // with the host
	Type    string // of the resource; empty if Pending
	Needs   []int  // indexes of the host's nodes that it depends on, ascending
	Pending bool   // its arguments and dependencies need facts that are not known
}

// NewHostGraph returns a HostGraph with resources and their dependencies, and with pending blocks.
func NewHostGraph(name string, resources []*engine.Resource, needs [][]int, pending []string) HostGraph {
	h := HostGraph{Name: name}
	for i, r := range resources {
		h.Nodes = append(h.Nodes, Node{Address: r.Address.String(), Type: r.Kind.Name, Needs: needs[i]})
	}
	for _, address := range pending {
		h.Nodes = append(h.Nodes, Node{Address: address, Pending: true})
	}
	return h
}

// Reduce removes each dependency that others imply. The result is the transitive reduction, which
// is unique for a graph without cycles.
func (h *HostGraph) Reduce() {
	words := (len(h.Nodes) + 63) / 64
	reach := make([][]uint64, len(h.Nodes)) // for each node, the bit set of nodes that it depends on
	var visit func(i int) []uint64
	visit = func(i int) []uint64 {
		if reach[i] != nil {
			return reach[i]
		}
		set := make([]uint64, words)
		for _, n := range h.Nodes[i].Needs {
			set[n/64] |= 1 << (n % 64)
			for w, bits := range visit(n) {
				set[w] |= bits
			}
		}
		reach[i] = set
		return set
	}
	for i := range h.Nodes {
		visit(i)
	}
	for i := range h.Nodes {
		needs := h.Nodes[i].Needs
		h.Nodes[i].Needs = slices.DeleteFunc(slices.Clone(needs), func(n int) bool {
			return slices.ContainsFunc(needs, func(other int) bool { return reach[other][n/64]&(1<<(n%64)) != 0 })
		})
	}
}

// label returns the lines that a node shows: the address without its host, and the type unless the
// address begins with it.
func (n *Node) label() []string {
	lines := []string{engine.Local(n.Address)}
	switch {
	case n.Pending:
		lines = append(lines, "(needs facts of the host)")
	case !strings.HasPrefix(lines[0], n.Type+"."):
		lines = append(lines, "("+n.Type+")")
	}
	return lines
}

// DOT draws hosts as clusters of one directed graph. Edges lead from a resource to those that it
// depends on. The names of nodes are addresses.
func DOT(hosts []HostGraph) string {
	var b strings.Builder
	b.WriteString("digraph mirrorform {\n  rankdir = LR\n  node [shape = box]\n")
	for i, h := range hosts {
		fmt.Fprintf(&b, "\n  subgraph cluster_%d {\n    label = %s\n", i, dotLabel(h.Name))
		for _, n := range h.Nodes {
			fmt.Fprintf(&b, "    %s [label = %s", dotID(n.Address), dotLabel(n.label()...))
			if n.Pending {
				b.WriteString(", style = dashed")
			}
			b.WriteString("]\n")
		}
		for _, n := range h.Nodes {
			for _, need := range n.Needs {
				fmt.Fprintf(&b, "    %s -> %s\n", dotID(n.Address), dotID(h.Nodes[need].Address))
			}
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// dotID quotes a string for DOT. In DOT's grammar, a backslash escapes only a quotation mark. But a
// backslash at the end would escape the closing one, so backslashes are doubled.
func dotID(s string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(plain.Escape(s), `\`, `\\`), `"`, `\"`) + `"`
}

// dotLabel quotes lines of text for a label, where backslashes and HTML entities have a meaning.
func dotLabel(lines ...string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`)
	for i, l := range lines {
		lines[i] = escape.Replace(plain.Escape(l))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}

// Mermaid draws hosts as subgraphs of one flowchart. Edges lead from a resource to those that it
// depends on.
func Mermaid(hosts []HostGraph) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for i, h := range hosts {
		fmt.Fprintf(&b, "  subgraph h%d[\"%s\"]\n", i, mermaidText(h.Name))
		for j, n := range h.Nodes {
			lines := n.label()
			for k := range lines {
				lines[k] = mermaidText(lines[k])
			}
			fmt.Fprintf(&b, "    h%dn%d[\"%s\"]\n", i, j, strings.Join(lines, "<br/>"))
		}
		for j, n := range h.Nodes {
			for _, need := range n.Needs {
				fmt.Fprintf(&b, "    h%dn%d --> h%dn%d\n", i, j, i, need)
			}
			if n.Pending {
				fmt.Fprintf(&b, "    style h%dn%d stroke-dasharray: 5 5\n", i, j)
			}
		}
		b.WriteString("  end\n")
	}
	return b.String()
}

// Default limits of Mermaid (maxEdges and maxTextSize in its configuration). A diagram cannot
// change them.
const (
	MermaidMaxEdges = 500
	MermaidMaxText  = 50_000 // characters
)

// mermaidText escapes text with Mermaid's numeric entity codes. It keeps letters, digits and
// characters without a meaning in Mermaid. Quotation marks, hashes, backticks (Markdown), angle
// brackets (HTML), percent signs and braces (directives) have a meaning even inside quotes.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range plain.Escape(s) {
		switch {
		case r >= 0x80, r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" .-_/()", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}

// Edges returns the number of edges in a graph of these hosts.
func Edges(hosts []HostGraph) int {
	n := 0
	for _, h := range hosts {
		for _, node := range h.Nodes {
			n += len(node.Needs)
		}
	}
	return n
}
