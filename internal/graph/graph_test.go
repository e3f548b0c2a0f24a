package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"gonum.org/v1/gonum/graph/formats/dot"
	"gonum.org/v1/gonum/graph/formats/dot/ast"
)

// hostile are for_each keys that mean something to DOT, Mermaid, HTML or a terminal.
var hostile = []string{
	`a`, `quote\"d`, `back\\slash`, `\\`, `\\N\\n`, `&amp;&#34;`, `<b>x</b>`, `#quot;`, `%%{init: {}}%%`, "`md` **bold**", `end`, `style:x#1;`, `] --> x[`, "São/Paulo", "日本", `a;b`, `{}|`, "x\u202ey",
}

func hostileHost() HostGraph {
	h := HostGraph{Name: `edge["` + hostile[1] + `"]`}
	for i, k := range hostile {
		n := Node{Address: fmt.Sprintf(`%s/file.x["%s"]`, h.Name, k), Type: "file"}
		if i > 0 {
			n.Needs = []int{i - 1}
		}
		h.Nodes = append(h.Nodes, n)
	}
	h.Nodes = append(h.Nodes,
		Node{Address: h.Name + "/mirror.almalinux.cron", Type: "cron", Needs: []int{0, 2}},
		Node{Address: h.Name + "/file.motd", Pending: true})
	return h
}

// parseDOT returns the nodes, by their labels, and the edges of a graph, by the names of nodes, as another parser reads them.
func parseDOT(t *testing.T, text string) (labels map[string]string, edges int) {
	t.Helper()
	file, err := dot.ParseString(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	labels = map[string]string{}
	var walk func(list []ast.Stmt)
	walk = func(list []ast.Stmt) {
		for _, s := range list {
			switch s := s.(type) {
			case *ast.NodeStmt:
				for _, a := range s.Attrs {
					if a.Key == "label" {
						labels[s.Node.ID] = a.Val
					}
				}
			case *ast.EdgeStmt:
				edges++
				for _, end := range []string{s.From.(*ast.Node).ID, s.To.Vertex.(*ast.Node).ID} {
					if labels[end] == "" {
						t.Errorf("an edge has an end that is not declared: %s", end)
					}
				}
			case *ast.Subgraph:
				walk(s.Stmts)
			}
		}
	}
	for _, g := range file.Graphs {
		walk(g.Stmts)
	}
	return labels, edges
}

func TestDOT(t *testing.T) {
	t.Parallel()
	h := hostileHost()
	text := DOT([]HostGraph{h, {Name: "empty"}})
	labels, edges := parseDOT(t, text)
	if len(labels) != len(h.Nodes) || edges != len(hostile)+1 {
		t.Errorf("%d nodes and %d edges, want %d and %d:\n%s", len(labels), edges, len(h.Nodes), len(hostile)+1, text)
	}
	for _, want := range []string{
		`[label = "file.x[\"quote\\\"d\"]"]`,
		`[label = "file.x[\"\\\\N\\\\n\"]"]`,
		`[label = "file.x[\"&amp;amp;&amp;#34;\"]"]`,
		`[label = "mirror.almalinux.cron\n(cron)"]`,
		`[label = "file.motd\n(needs facts of the host)", style = dashed]`,
		`[label = "file.x[\"x\\u202ey\"]"]`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	printable(t, text)
}

func printable(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%q is not printable in\n%s", r, text)
		}
	}
}

// TestMermaid checks that nothing in a label can mean anything: labels are letters, digits, some punctuation and entity codes.
func TestMermaid(t *testing.T) {
	t.Parallel()
	h := hostileHost()
	text := Mermaid([]HostGraph{h, {Name: "empty"}})
	nodes := 0
	for line := range strings.Lines(text) {
		_, label, ok := strings.Cut(strings.TrimRight(line, "\n"), `["`)
		if !ok {
			continue
		}
		nodes++
		label = strings.ReplaceAll(strings.TrimSuffix(label, `"]`), "<br/>", "")
		if strings.ContainsAny(label, "\"'`<>[]{}|%&:\\") || strings.Count(label, "#") != strings.Count(label, ";") {
			t.Errorf("label %s", label)
		}
	}
	if want := len(h.Nodes) + 2; nodes != want {
		t.Errorf("%d nodes and hosts, want %d:\n%s", nodes, want, text)
	}
	if got := strings.Count(text, "-->"); got != len(hostile)+1 {
		t.Errorf("%d edges:\n%s", got, text)
	}
	for _, want := range []string{
		"flowchart LR\n", `    h0n1["file.x#91;#34;quote#92;#34;d#34;#93;"]`, "    h0n1 --> h0n0\n", "    style h0n19 stroke-dasharray: 5 5\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	printable(t, text)
}

// TestReduce compares with what reachability says: the reduced graph reaches the same, and without any of its edges it would not.
func TestReduce(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		h := HostGraph{Nodes: make([]Node, 1+random.IntN(90))}
		order := random.Perm(len(h.Nodes))
		for i := range order {
			for j := range i {
				if random.IntN(4) == 0 {
					h.Nodes[order[i]].Needs = append(h.Nodes[order[i]].Needs, order[j])
				}
			}
			slices.Sort(h.Nodes[order[i]].Needs)
		}
		before := reachable(h)
		h.Reduce()
		if after := reachable(h); !slices.Equal(before, after) {
			t.Fatal("what is reachable has changed")
		}
		for i := range h.Nodes {
			for n := range h.Nodes[i].Needs {
				kept := h.Nodes[i].Needs
				h.Nodes[i].Needs = slices.Delete(slices.Clone(kept), n, n+1)
				if slices.Equal(before, reachable(h)) {
					t.Fatalf("the edge %d to %d is implied", i, kept[n])
				}
				h.Nodes[i].Needs = kept
			}
			if len(h.Nodes) > 20 {
				break // one node of a large graph is enough
			}
		}
	}
}

// reachable lists all pairs of nodes of which one needs the other, directly or not.
func reachable(h HostGraph) []string {
	var pairs []string
	for i := range h.Nodes {
		seen := map[int]bool{}
		var visit func(n int)
		visit = func(n int) {
			for _, m := range h.Nodes[n].Needs {
				if !seen[m] {
					seen[m] = true
					visit(m)
				}
			}
		}
		visit(i)
		for n := range seen {
			pairs = append(pairs, fmt.Sprint(i, " ", n))
		}
	}
	slices.Sort(pairs)
	return pairs
}

// FuzzLabels draws a node whose address holds any text, and has another parser read it.
func FuzzLabels(f *testing.F) {
	for _, k := range hostile {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		h := HostGraph{Name: "h", Nodes: []Node{{Address: "h/" + key, Type: "file"}, {Address: "h/other", Type: "file", Needs: []int{0}}}}
		if key == "other" {
			return // no two resources have one address
		}
		labels, edges := parseDOT(t, DOT([]HostGraph{h}))
		if len(labels) != 2 || edges != 1 {
			t.Errorf("%d nodes, %d edges", len(labels), edges)
		}
		if text := Mermaid([]HostGraph{h}); strings.Count(text, "\n") != 6 || strings.Count(text, `"`) != 6 {
			t.Errorf("got\n%s", text)
		}
	})
}
