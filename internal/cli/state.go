package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

func newStateCommand(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "See and mend what hosts know of what is managed on them",
		Long: `Each host keeps a manifest of the resources that mirrorform manages there. What is in the manifest and no longer in the configuration is removed by the next
apply. These commands show manifests and mend them; none of them changes anything else on a host.`,
	}
	cmd.AddCommand(newStateListCommand(g), newStateShowCommand(g), newStateForgetCommand(g), newStateRebuildCommand(g))
	return cmd
}

// stateOptions are the options of state list and state show.
type stateOptions struct {
	hostFlags
	asJSON bool
}

func newStateListCommand(g *global) *cobra.Command {
	var o stateOptions
	cmd := &cobra.Command{
		Use:   "list [HOST...]",
		Short: "List the resources that are managed on hosts",
		Long:  "Print the address of every resource in the manifests of all hosts, or of those given: names, for_each blocks or globs.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runStateList(cmd.Context(), g, w, o, args) })
		},
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
	}
	o.add(g, cmd)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the manifests as JSON")
	return cmd
}

func runStateList(ctx context.Context, g *global, w *observer, o stateOptions, names []string) error {
	manifests, err := manifestsOf(ctx, w, o.options(g, w, "", names...))
	if manifests == nil {
		return err
	}
	if o.asJSON {
		return errors.Join(printManifests(g, manifests), err)
	}
	for _, m := range manifests {
		for _, e := range m.Manifest.Resources {
			g.print("%s\n", plain.Escape(engine.OnHost(m.Host, e.Address)))
		}
	}
	return err
}

// manifestsOf asks hosts. Those that have an error, which is told, are not in the list.
func manifestsOf(ctx context.Context, w *observer, of run.Options) ([]engine.HostManifest, error) {
	r, err := run.New(of, w)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Manifests(ctx)
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

func printManifests(g *global, list []engine.HostManifest) error {
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
	return g.printJSON(doc)
}

func newStateShowCommand(g *global) *cobra.Command {
	var o stateOptions
	cmd := &cobra.Command{
		Use:   "show ADDRESS",
		Short: "Show a resource as it was last applied",
		Long:  "Print what the host's manifest has of the resource: its type, where it was declared, and the state that was last applied. Secrets are not in it.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runStateShow(cmd.Context(), g, w, o, args[0]) })
		},
	}
	o.add(g, cmd)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print it as JSON")
	return cmd
}

func runStateShow(ctx context.Context, g *global, w *observer, o stateOptions, address string) error {
	of := o.options(g, w, "")
	of.Selection.Limit = []string{engine.HostOf(address)}
	manifests, err := manifestsOf(ctx, w, of)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		for i := range m.Manifest.Resources {
			if e := &m.Manifest.Resources[i]; engine.OnHost(m.Host, e.Address) == address {
				if o.asJSON {
					return g.printJSON(newManagedJSON(m.Host, m.Manifest, e))
				}
				printManaged(g, m.Host, m.Manifest, e)
				return nil
			}
		}
	}
	return fmt.Errorf("%s is not managed: mirrorform state list prints what is", address)
}

func printManaged(g *global, host string, m *engine.Manifest, e *engine.Managed) {
	g.print("%s (%s), declared at %s\n", plain.Escape(engine.OnHost(host, e.Address)), plain.Escape(e.Type), plain.Escape(e.Source))
	if e.PreventDestroy {
		g.print("  prevent_destroy: it is not removed\n")
	}
	if m.Format >= 2 && !e.Made {
		g.print("  found: it was on the host before; it is released, and not removed, when it leaves the configuration\n")
	}
	lines := map[string]string{}
	for name, value := range e.State {
		lines[name] = plain.Escape(string(value))
	}
	for name, digest := range e.Digests {
		lines[name] = "(long, SHA-256 " + plain.Escape(digest) + ")"
	}
	for name := range e.Secrets {
		lines[name] = "(sensitive value)"
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		g.print("  %s = %s\n", plain.Escape(name), lines[name])
	}
}

// mendOptions are the options of state forget and state rebuild.
type mendOptions struct {
	hostFlags
	lockTimeout   time.Duration
	configuration string
}

func newStateForgetCommand(g *global) *cobra.Command {
	var o mendOptions
	cmd := &cobra.Command{
		Use:   "forget ADDRESS...",
		Short: "Let go of resources, or of a host, and leave them as they are",
		Long: `Take the resources at or below each ADDRESS out of their hosts' manifests: HOST/TYPE.NAME, HOST/mirror.NAME, or HOST for all of a host. They stay on the host as they
are, and are not removed later. What is still in the configuration is managed again with the next apply. Where several configurations manage a host, --configuration says whose
entries are meant: an ID, as "state list --json" prints it.

A HOST that is not in the configuration any more is taken out of ` + run.RecordName + `; nothing is reached for that.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runStateForget(cmd.Context(), g, w, o, args) })
		},
	}
	o.add(g, cmd)
	addLockFlag(cmd, &o.lockTimeout)
	cmd.Flags().StringVar(&o.configuration, "configuration", "", "forget only what the configuration with this `ID` manages")
	return cmd
}

func runStateForget(ctx context.Context, g *global, w *observer, o mendOptions, addresses []string) error {
	of := o.options(g, w, "state forget")
	of.LockTimeout = o.lockTimeout
	r, err := run.New(of, w)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Forget(ctx, o.configuration, addresses, func(address string) { g.print("forgotten: %s\n", plain.Escape(address)) })
}

func newStateRebuildCommand(g *global) *cobra.Command {
	var o mendOptions
	cmd := &cobra.Command{
		Use:   "rebuild HOST...",
		Short: "Make hosts' manifests anew from the configuration",
		Long: `For a host whose manifest is corrupt, of another machine, of a newer mirrorform, or lost. The new manifest has those resources of the configuration that the host has as they
are wanted; apply takes in the others when it has made them. The old manifest is kept beside the new one, in manifest.json.N. Nothing else is changed on the host, and
nothing is removed: what the old manifest had and the configuration does not is not known any more. All resources count as found on the host, not as made by mirrorform, so no later
removal deletes them.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runStateRebuild(cmd.Context(), g, w, o, args) })
		},
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
	}
	o.add(g, cmd)
	addLockFlag(cmd, &o.lockTimeout)
	return cmd
}

func runStateRebuild(ctx context.Context, g *global, w *observer, o mendOptions, names []string) error {
	of := o.options(g, w, "state rebuild")
	of.Selection.Limit, of.LockTimeout = names, o.lockTimeout
	r, err := run.New(of, w)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Rebuild(ctx, func(host string, managed, left []string) {
		g.print("%s: %d resources are managed, %d are not as they are wanted yet\n", plain.Escape(host), len(managed), len(left))
		for _, address := range left {
			g.print("  not yet: %s\n", plain.Escape(address))
		}
	})
}
