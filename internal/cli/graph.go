package cli

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/internal/graph"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

// graphOptions are the options of graph.
type graphOptions struct {
	hostFlags
	format     string
	facts, all bool
}

func newGraphCommand(g *global) *cobra.Command {
	var o graphOptions
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw the resources of each host and what they need",
		Long: `Print a graph in the DOT language of Graphviz, or as a Mermaid flowchart, which Markdown pages of GitHub and GitLab show. Its nodes are the resources of each host, its edges
lead from a resource to what it needs: the order in which apply goes. What other edges imply is left out, unless --all is given.

No host is reached. Resources and mirrors whose arguments need facts of their hosts are drawn dashed and without edges; with --facts the hosts are
asked for their facts, and everything is drawn.

    mirrorform graph | dot -Tsvg >graph.svg`,
		Args: completer{g, &o.configFlags}.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runGraph(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	cmd.Flags().StringVar(&o.format, "format", "dot", "`FORMAT` of the graph: dot or mermaid")
	cmd.Flags().BoolVar(&o.facts, "facts", false, "ask the hosts for their facts first")
	cmd.Flags().BoolVar(&o.all, "all", false, "draw also the edges that others imply")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"dot", "mermaid"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runGraph(ctx context.Context, g *global, w *observer, o graphOptions) error {
	if o.format != "dot" && o.format != "mermaid" {
		return fmt.Errorf("--format is %q: it takes dot or mermaid", o.format)
	}
	r, err := run.New(o.options(g, w, ""), w)
	if err != nil {
		return err
	}
	defer r.Close()
	hosts, err := r.Graph(ctx, o.facts)
	if err != nil {
		return err
	}
	if !o.all {
		for i := range hosts {
			hosts[i].Reduce()
		}
	}
	if o.format == "dot" {
		g.print("%s", graph.DOT(hosts))
		return nil
	}
	text := graph.Mermaid(hosts)
	if graph.Edges(hosts) > graph.MermaidMaxEdges || utf8.RuneCountInString(text) > graph.MermaidMaxText {
		w.Warning(fmt.Sprintf("This is more than Mermaid draws by itself (%d edges, %d characters): choose less with --limit or --target, or use --format dot.",
			graph.MermaidMaxEdges, graph.MermaidMaxText))
	}
	g.print("%s", text)
	return nil
}
