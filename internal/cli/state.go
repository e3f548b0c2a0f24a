package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

func (a *app) stateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "See and mend what hosts know of what is managed on them",
		Long: `Each host keeps a manifest of the resources that mirrorform manages there. What is in the manifest and no longer in the configuration is removed by the next
apply. These commands show manifests and mend them; none of them changes anything else on a host.`,
	}
	cmd.AddCommand(a.stateListCommand(), a.stateShowCommand(), a.stateForgetCommand(), a.stateRebuildCommand())
	return cmd
}

func (a *app) stateListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [HOST...]",
		Short: "List the resources that are managed on hosts",
		Long:  "Print the address of every resource in the manifests of all hosts, or of those given: names, for_each blocks or globs.",
		RunE: func(cmd *cobra.Command, args []string) error {
			a.limit = append(a.limit, args...)
			manifests, err := a.manifests(cmd.Context())
			if manifests == nil {
				return err
			}
			if asJSON {
				return errors.Join(a.printManifests(manifests), err)
			}
			for _, m := range manifests {
				for _, e := range m.Manifest.Resources {
					a.print("%s\n", ui.Escape(engine.OnHost(m.Host, e.Address)))
				}
			}
			return err
		},
		ValidArgsFunction: a.completeHosts,
	}
	a.addHostFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the manifests as JSON")
	return cmd
}

// manifests asks the hosts that --limit means. It prints the errors of hosts; those that have one are not in the list.
func (a *app) manifests(ctx context.Context) ([]engine.HostManifest, error) {
	r, err := a.newRun("")
	if err != nil {
		return nil, err
	}
	defer r.close()
	if len(a.limit) > 0 || a.shard.parts > 0 {
		// Host local goes along with others for plans only.
		r.hosts = slices.DeleteFunc(r.hosts, func(h engine.Host) bool { return h.Last && !a.localNamed })
	}
	progress := r.progress()
	all := r.fleet.Manifests(ctx, r.hosts)
	progress.Close()
	good := []engine.HostManifest{}
	for _, m := range all {
		if m.Err != nil {
			a.ui.Error(explainManifest(m.Host, m.Err))
			err = errReported
			continue
		}
		good = append(good, m)
	}
	return good, err
}

// explainManifest adds the way out to the error of a manifest.
func explainManifest(host string, err error) error {
	if errors.Is(err, engine.ErrManifest) {
		return fmt.Errorf("%s: %w. Nothing was changed. %s", host, err, manifestWayOut(host))
	}
	return fmt.Errorf("%s: %w", host, err)
}

// manifestWayOut says what to do about a manifest that cannot be used.
func manifestWayOut(host string) string {
	return fmt.Sprintf("To make it anew from the configuration, keeping the old one beside it: mirrorform state rebuild '%s'", host)
}

type managedJSON struct {
	Address        string                     `json:"address"`
	Type           string                     `json:"type"`
	Source         string                     `json:"source"`
	Configuration  string                     `json:"configuration"`
	State          map[string]json.RawMessage `json:"state"`
	Digests        map[string]string          `json:"digests"`
	Sensitive      []string                   `json:"sensitive"`
	PreventDestroy bool                       `json:"prevent_destroy"`
	Made           *bool                      `json:"made"` // null: the manifest is of an older version, which did not say so
}

func newManagedJSON(host string, m *engine.Manifest, e *engine.Managed) managedJSON {
	j := managedJSON{engine.OnHost(host, e.Address), e.Type, e.Source, e.Configuration, e.State, e.Digests, slices.Sorted(maps.Keys(e.Secrets)), e.PreventDestroy, nil}
	if m.Format >= 2 {
		j.Made = &e.Made
	}
	if j.Digests == nil {
		j.Digests = map[string]string{}
	}
	if j.Sensitive == nil {
		j.Sensitive = []string{}
	}
	return j
}

func (a *app) printManifests(list []engine.HostManifest) error {
	type hostJSON struct {
		Name      string        `json:"name"`
		Version   string        `json:"mirrorform_version"`
		Resources []managedJSON `json:"resources"`
	}
	doc := struct {
		FormatVersion string     `json:"format_version"`
		Hosts         []hostJSON `json:"hosts"`
	}{"1.0", []hostJSON{}}
	for _, m := range list {
		h := hostJSON{m.Host, m.Manifest.Version, []managedJSON{}}
		for i := range m.Manifest.Resources {
			h.Resources = append(h.Resources, newManagedJSON(m.Host, m.Manifest, &m.Manifest.Resources[i]))
		}
		doc.Hosts = append(doc.Hosts, h)
	}
	return a.printJSON(doc)
}

func (a *app) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	a.print("%s\n", text)
	return nil
}

func (a *app) stateShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ADDRESS",
		Short: "Show a resource as it was last applied",
		Long:  "Print what the host's manifest has of the resource: its type, where it was declared, and the state that was last applied. Secrets are not in it.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			host := engine.HostOf(args[0])
			a.limit = []string{host}
			manifests, err := a.manifests(cmd.Context())
			if err != nil {
				return err
			}
			for _, m := range manifests {
				for i := range m.Manifest.Resources {
					if e := &m.Manifest.Resources[i]; engine.OnHost(m.Host, e.Address) == args[0] {
						if asJSON {
							return a.printJSON(newManagedJSON(m.Host, m.Manifest, e))
						}
						a.printManaged(m.Host, m.Manifest, e)
						return nil
					}
				}
			}
			return fmt.Errorf("%s is not managed: mirrorform state list prints what is", args[0])
		},
	}
	a.addHostFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

func (a *app) printManaged(host string, m *engine.Manifest, e *engine.Managed) {
	a.print("%s (%s), declared at %s\n", ui.Escape(engine.OnHost(host, e.Address)), ui.Escape(e.Type), ui.Escape(e.Source))
	if e.PreventDestroy {
		a.print("  prevent_destroy: it is not removed\n")
	}
	if m.Format >= 2 && !e.Made {
		a.print("  found: it was on the host before; it is released, and not removed, when it leaves the configuration\n")
	}
	lines := map[string]string{}
	for name, value := range e.State {
		lines[name] = ui.Escape(string(value))
	}
	for name, digest := range e.Digests {
		lines[name] = "(long, SHA-256 " + ui.Escape(digest) + ")"
	}
	for name := range e.Secrets {
		lines[name] = "(sensitive value)"
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		a.print("  %s = %s\n", ui.Escape(name), lines[name])
	}
}

func (a *app) stateForgetCommand() *cobra.Command {
	var configuration string
	cmd := &cobra.Command{
		Use:   "forget ADDRESS...",
		Short: "Let go of resources, or of a host, and leave them as they are",
		Long: `Take the resources at or below each ADDRESS out of their hosts' manifests: HOST/TYPE.NAME, HOST/mirror.NAME, or HOST for all of a host. They stay on the host as they
are, and are not removed later. What is still in the configuration is managed again with the next apply. Where several configurations manage a host, --configuration says whose
entries are meant: an ID, as "state list --json" prints it.

A HOST that is not in the configuration any more is taken out of ` + recordName + `; nothing is reached for that.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.forget(cmd.Context(), configuration, args) },
	}
	a.addHostFlags(cmd)
	a.addLockFlag(cmd)
	cmd.Flags().StringVar(&configuration, "configuration", "", "forget only what the configuration with this `ID` manages")
	return cmd
}

func (a *app) forget(ctx context.Context, configuration string, addresses []string) error {
	r, err := a.newRun("state forget")
	if err != nil {
		return err
	}
	defer r.close()
	declared := map[string]bool{}
	for _, h := range r.config.Hosts() {
		declared[h.Name] = true
	}
	byHost := map[string][]string{}
	record := r.record.clone()
	for _, address := range addresses {
		host := engine.HostOf(address)
		if _, known := record.Hosts[host]; known && !declared[host] && host == address {
			delete(record.Hosts, host)
			a.ui.Note(fmt.Sprintf("Host %s is forgotten. What is on it stays.", host))
			continue
		}
		if !declared[host] {
			return fmt.Errorf("there is no host %s, neither in the configuration nor in %s; nothing was changed", host, recordName)
		}
		byHost[host] = append(byHost[host], engine.Local(address))
	}
	if err := record.write(a.chdir, r.record); err != nil {
		return err
	}
	failed := false
	for _, host := range slices.Sorted(maps.Keys(byHost)) {
		forgotten, err := r.fleet.Forget(ctx, host, configuration, byHost[host])
		switch {
		case err != nil:
			a.ui.Error(explainManifest(host, err))
			failed = true
		case len(forgotten) == 0:
			a.ui.Error(fmt.Errorf("%s: nothing of that is managed there: mirrorform state list %s prints what is", host, host))
			failed = true
		}
		for _, address := range forgotten {
			a.print("forgotten: %s\n", ui.Escape(engine.OnHost(host, address)))
		}
	}
	if failed {
		return errReported
	}
	return nil
}

func (a *app) stateRebuildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rebuild HOST...",
		Short: "Make hosts' manifests anew from the configuration",
		Long: `For a host whose manifest is corrupt, of another machine, of a newer mirrorform, or lost. The new manifest has those resources of the configuration that the host has as they
are wanted; apply takes in the others when it has made them. The old manifest is kept beside the new one, in manifest.json.N. Nothing else is changed on the host, and
nothing is removed: what the old manifest had and the configuration does not is not known any more. All resources count as found on the host, not as made by mirrorform, so no later
removal deletes them.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.limit = args
			r, err := a.newRun("state rebuild")
			if err != nil {
				return err
			}
			defer r.close()
			if err := r.remember(r.hosts); err != nil {
				return err
			}
			for _, h := range r.hosts {
				if h.Last && !a.localNamed {
					continue // host local goes along with others only for plans
				}
				managed, left, rebuildErr := r.fleet.Rebuild(cmd.Context(), h.Name)
				r.ui.Diagnostics(r.config.Together(r.diags), r.config.Files())
				if rebuildErr != nil {
					a.ui.Error(explainManifest(h.Name, rebuildErr))
					err = errReported
					continue
				}
				a.print("%s: %d resources are managed, %d are not as they are wanted yet\n", ui.Escape(h.Name), len(managed), len(left))
				for _, address := range left {
					a.print("  not yet: %s\n", ui.Escape(address))
				}
			}
			return err
		},
		ValidArgsFunction: a.completeHosts,
	}
	a.addHostFlags(cmd)
	a.addLockFlag(cmd)
	return cmd
}
