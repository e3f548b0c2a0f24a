package cli

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/graph"
	"github.com/spf13/cobra"
)

func (a *app) graphCommand() *cobra.Command {
	var format string
	var withFacts, all bool
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw the resources of each host and what they need",
		Long: `Print a graph in the DOT language of Graphviz, or as a Mermaid flowchart, which Markdown pages of GitHub and GitLab show. Its nodes are the resources of each host, its edges
lead from a resource to what it needs: the order in which apply goes. What other edges imply is left out, unless --all is given.

No host is reached. Resources and mirrors whose arguments need facts of their hosts are drawn dashed and without edges; with --facts the hosts are
asked for their facts, and everything is drawn.

    mirrorform graph | dot -Tsvg >graph.svg`,
		Args: a.noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "dot" && format != "mermaid" {
				return fmt.Errorf("--format is %q: it takes dot or mermaid", format)
			}
			hosts, err := a.graph(cmd.Context(), withFacts)
			if err != nil {
				return err
			}
			if !all {
				for i := range hosts {
					hosts[i].Reduce()
				}
			}
			if format == "dot" {
				a.print("%s", graph.DOT(hosts))
				return nil
			}
			text := graph.Mermaid(hosts)
			if graph.Edges(hosts) > graph.MermaidMaxEdges || utf8.RuneCountInString(text) > graph.MermaidMaxText {
				a.ui.Warning(fmt.Sprintf("This is more than Mermaid draws by itself (%d edges, %d characters): choose less with --limit or --target, or use --format dot.",
					graph.MermaidMaxEdges, graph.MermaidMaxText))
			}
			a.print("%s", text)
			return nil
		},
	}
	a.addHostFlags(cmd)
	cmd.Flags().StringVar(&format, "format", "dot", "`FORMAT` of the graph: dot or mermaid")
	cmd.Flags().BoolVar(&withFacts, "facts", false, "ask the hosts for their facts first")
	cmd.Flags().BoolVar(&all, "all", false, "draw also the edges that others imply")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"dot", "mermaid"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// graph makes the graph of the hosts that --limit means. With facts, a host that is not reached is an error.
func (a *app) graph(ctx context.Context, withFacts bool) ([]graph.Host, error) {
	r, err := a.newRun("")
	if err != nil {
		return nil, err
	}
	defer r.close()
	facts := map[string]*wire.Facts{}
	if withFacts {
		if facts, err = r.facts(ctx, r.hosts); err != nil {
			return nil, err
		}
	}
	var hosts []graph.Host
	var found []config.HostDiagnostics
	for _, h := range r.hosts {
		var resources []*engine.Resource
		var pending []string
		var hostDiags hcl.Diagnostics
		target := engine.Target{Name: h.Name}
		switch {
		case !r.declares(h.Name):
			continue // only its manifest tells of it
		case withFacts:
			target.Facts = *facts[h.Name]
			resources, hostDiags = r.config.Resources(h.Name, facts)
		default:
			resources, pending, hostDiags = r.config.Declared(h.Name)
		}
		found = append(found, config.HostDiagnostics{Host: h.Name, Diagnostics: hostDiags})
		r.mayMeet(pending)
		if hostDiags.HasErrors() {
			continue
		}
		resources = r.choose(target, resources)
		needs, problems := engine.Dependencies(target, resources)
		found = append(found, config.HostDiagnostics{Host: h.Name, Diagnostics: r.config.Problems(problems)})
		if len(problems) == 0 {
			hosts = append(hosts, graph.NewHost(h.Name, resources, needs, a.targeted(pending)))
		}
	}
	diags := r.config.Together(found)
	a.ui.Diagnostics(diags, r.config.Files())
	if diags.HasErrors() {
		return nil, errReported
	}
	return hosts, r.unmet(&engine.Plan{})
}

// declares tells whether the configuration says anything of a host.
func (r *run) declares(host string) bool {
	for _, h := range r.config.Hosts() {
		if h.Name == host {
			return true
		}
	}
	return false
}

// targeted returns those of the addresses that --target means, or may mean parts of.
func (a *app) targeted(addresses []string) []string {
	if len(a.target) == 0 {
		return addresses
	}
	var kept []string
	for _, address := range addresses {
		for _, t := range a.target {
			if engine.Within(address, t) || engine.Within(t, address) {
				kept = append(kept, address)
				break
			}
		}
	}
	return kept
}

// facts asks hosts for their facts. It prints the errors of those that do not answer.
func (r *run) facts(ctx context.Context, hosts []engine.Host) (map[string]*wire.Facts, error) {
	progress := r.progress()
	list := r.fleet.Facts(ctx, hosts)
	progress.Close()
	facts := map[string]*wire.Facts{}
	var err error
	for _, h := range list {
		if h.Err != nil {
			r.ui.Error(fmt.Errorf("%s: %w", h.Host, h.Err))
			err = errReported
			continue
		}
		facts[h.Host] = h.Facts
	}
	return facts, err
}
