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
		Long: `Print a graph in the DOT language of Graphviz, or as a Mermaid flowchart, which
GitHub and GitLab show in Markdown. Its nodes are the resources of each host.
Its edges lead from a resource to what it needs, which apply changes first.
Edges that follow from others are left out, unless you give --all.

graph connects to no host. Resources and mirrors whose arguments need facts of
their hosts are dashed and have no edges. --facts connects to the hosts for
their facts, and draws everything.`,
		Example: `mirrorform graph --limit fra1 | dot -Tsvg >graph.svg
mirrorform graph --facts --format mermaid`,
		Args: completer{g, &o.configFlags}.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runGraph(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	cmd.Flags().StringVar(&o.format, "format", "dot", "print the graph in `FORMAT`: dot or mermaid")
	cmd.Flags().BoolVar(&o.facts, "facts", false, "connect to the hosts for their facts first")
	cmd.Flags().BoolVar(&o.all, "all", false, "also draw edges that follow from others")
	_ = cmd.RegisterFlagCompletionFunc("format",
		cobra.FixedCompletions([]string{"dot", "mermaid"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runGraph(ctx context.Context, g *global, w *observer, o graphOptions) error {
	if o.format != "dot" && o.format != "mermaid" {
		return fmt.Errorf("invalid value %q for --format: it takes dot or mermaid", o.format)
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
		w.Warning(fmt.Sprintf("The graph is larger than what Mermaid draws by default (%d edges, %d characters). "+
			"Draw less with --limit or --target, or use --format dot.",
			graph.MermaidMaxEdges, graph.MermaidMaxText))
	}
	g.print("%s", text)
	return nil
}
