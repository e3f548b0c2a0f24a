package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/spf13/cobra"
)

func (a *app) hostsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "List the hosts that a selection means",
		Long:  "Print the hosts of the configuration, or those that --limit and --shard mean, with their addresses, labels and waves. No host is reached.\n\n" + limitHelp,
		Example: `mirrorform hosts --limit 'wave=canary,country!=DE'
mirrorform hosts --limit @failed
mirrorform hosts --shard 3/10 --json`,
		Args: a.noArguments,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.mustLoad()
			if err != nil {
				return err
			}
			return a.listHosts(c, asJSON)
		},
	}
	a.addVarFlags(cmd.Flags())
	a.addSelectionFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON")
	return cmd
}

type hostJSON struct {
	Name    string            `json:"name"`
	Address string            `json:"address"`
	User    string            `json:"user,omitempty"`
	Port    int               `json:"port,omitempty"`
	Labels  map[string]string `json:"labels"`
	Wave    int               `json:"wave,omitempty"` // from 1; only where there is a rollout
}

func (a *app) listHosts(c *config.Config, asJSON bool) error {
	declared := a.hosts(c)
	selected, err := a.selectHosts(declared)
	if err != nil {
		return err
	}
	byName := hostsByName(declared)
	waves := wavesByHost(c)
	list := []hostJSON{}
	for _, s := range selected {
		h := byName[s.Name]
		j := hostJSON{Name: h.Name, Address: h.Address, User: h.User, Port: h.Port, Labels: map[string]string{}, Wave: waves[h.Name]}
		maps.Copy(j.Labels, h.Labels)
		list = append(list, j)
	}
	if asJSON {
		return a.printJSON(struct {
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
	a.ui.Table(rows)
	return nil
}

// wavesByHost are the numbers of the hosts' waves, from 1; none where there is no rollout.
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
