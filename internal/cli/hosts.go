package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

// hostsOptions are the options of hosts.
type hostsOptions struct {
	configFlags
	selectFlags
	asJSON bool
}

func newHostsCommand(g *global) *cobra.Command {
	var o hostsOptions
	complete := completer{g, &o.configFlags}
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "List hosts, or those that --limit and --shard select",
		Long: `Print the hosts of the configuration, or those that --limit and --shard select,
with their addresses, labels and waves. hosts connects to no host.

` + limitHelp,
		Example: `mirrorform hosts
mirrorform hosts --limit 'wave=canary,country!=DE'
mirrorform hosts --limit @failed
mirrorform hosts --shard 3/10 --json`,
		Args: complete.none,
		RunE: func(*cobra.Command, []string) error { return runHosts(g, o) },
	}
	o.configFlags.add(cmd.Flags())
	o.selectFlags.add(cmd, complete)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the hosts as JSON")
	return cmd
}

type hostJSON struct {
	Name    string            `json:"name"`
	Address string            `json:"address"`
	User    string            `json:"user,omitempty"`
	Port    int               `json:"port,omitempty"`
	Labels  map[string]string `json:"labels"`
	Wave    int               `json:"wave,omitempty"` // from 1; only with a rollout
}

func runHosts(g *global, o hostsOptions) error {
	s, err := run.NewScope(o.sources(g), run.Selection{Limit: o.limit, Shard: o.shard}, &observer{UI: g.ui})
	if err != nil {
		return err
	}
	waves := wavesByHost(s.Config)
	list := []hostJSON{}
	for _, selected := range s.Hosts {
		h := s.Host(selected.Name)
		j := hostJSON{
			Name: h.Name, Address: h.Address, User: h.User, Port: h.Port, Labels: map[string]string{}, Wave: waves[h.Name],
		}
		maps.Copy(j.Labels, h.Labels)
		list = append(list, j)
	}
	if o.asJSON {
		return g.printJSON(struct {
			FormatVersion string     `json:"format_version"`
			Hosts         []hostJSON `json:"hosts"`
		}{"1.0", list})
	}
	head := []string{"NAME", "ADDRESS"}
	if len(waves) > 0 {
		head = append(head, "WAVE")
	}
	rows := [][]string{append(head, "LABELS")}
	for _, h := range list {
		row := []string{h.Name, h.Address}
		if len(waves) > 0 {
			wave := "last"
			if h.Wave > 0 {
				wave = fmt.Sprint(h.Wave)
			}
			row = append(row, wave)
		}
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(h.Labels)) {
			labels = append(labels, name+"="+h.Labels[name])
		}
		rows = append(rows, append(row, strings.Join(labels, ",")))
	}
	g.ui.Table(rows)
	return nil
}

// wavesByHost are the numbers of the hosts' waves, from 1; empty without a rollout.
func wavesByHost(c *config.Config) map[string]int {
	waves := map[string]int{}
	if r := c.Rollout(); r != nil {
		for i, w := range r.Waves {
			for _, name := range w.Hosts {
				waves[name] = i + 1
			}
		}
	}
	return waves
}
