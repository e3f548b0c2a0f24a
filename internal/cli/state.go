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
	cmd := commandWithCommands(&cobra.Command{
		Use:   "state COMMAND",
		Short: "Show and repair the manifests of hosts",
		Long: `Each host keeps a manifest of the resources that mirrorform manages on it. What
the manifest lists and the configuration no longer declares is removed by the
next apply. These commands show manifests and repair them; they change nothing
else on a host.`,
		Example: `mirrorform state list fra1
mirrorform state show fra1/file.motd`,
	})
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
		Long: `Print the address of every resource in the manifests of all hosts, or of the
named ones: names, for_each blocks or globs.`,
		Example: `mirrorform state list
mirrorform state list fra1 'edge*'
mirrorform state list --json fra1`,
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

// manifestsOf reads the manifests of hosts. A host with an error, which is reported, is not in the
// list.
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
	Made           *bool                      `json:"made"` // null: not known, since the manifest has format 1
}

func newManagedJSON(host string, m *engine.Manifest, e *engine.Managed) managedJSON {
	j := managedJSON{
		Address: engine.OnHost(host, e.Address), Type: e.Type, Source: e.Source, Configuration: e.Configuration,
		State: e.State, Digests: e.Digests, Sensitive: slices.Sorted(maps.Keys(e.Secrets)), PreventDestroy: e.PreventDestroy,
	}
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
		Short: "Show the last applied state of a resource",
		Long: `Print what the host's manifest has about a resource: its type, where it is
declared, and the state that was last applied. Secrets are not in it.`,
		Example: `mirrorform state show fra1/file.motd
mirrorform state show --json fra1/mirror.almalinux.cron`,
		Args: oneArgument("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runStateShow(cmd.Context(), g, w, o, args[0]) })
		},
	}
	o.add(g, cmd)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the resource as JSON")
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
	return fmt.Errorf("%s is not managed. To list the managed resources: mirrorform state list", address)
}

func printManaged(g *global, host string, m *engine.Manifest, e *engine.Managed) {
	g.print("%s (%s), declared at %s\n",
		plain.Escape(engine.OnHost(host, e.Address)), plain.Escape(e.Type), plain.Escape(e.Source))
	if e.PreventDestroy {
		g.print("  prevent_destroy: it is never removed\n")
	}
	if m.Format >= 2 && !e.Made {
		g.print("  found: it was on the host before mirrorform; when it leaves the configuration it is released, not removed\n")
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

// repairOptions are the options of state forget and state rebuild.
type repairOptions struct {
	hostFlags
	lockTimeout   time.Duration
	configuration string
}

func newStateForgetCommand(g *global) *cobra.Command {
	var o repairOptions
	cmd := &cobra.Command{
		Use:   "forget ADDRESS...",
		Short: "Release resources, or a whole host, without changing them",
		Long: `Take the resources at or below each ADDRESS out of their hosts' manifests. An
ADDRESS is HOST/TYPE.NAME, HOST/mirror.NAME, or HOST for all resources of a
host. They stay unchanged on the host and are not removed later. Resources that
are still in the configuration are managed again from the next apply on.

If several configurations manage a host, --configuration selects the entries of
one: an ID, as "mirrorform state list --json" prints it.

A HOST that is no longer in the configuration is taken out of
` + run.RecordName + `, and no host is connected to.`,
		Example: `mirrorform state forget fra1/file.motd
mirrorform state forget fra1`,
		Args: someArguments("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runStateForget(cmd.Context(), g, w, o, args) })
		},
	}
	o.add(g, cmd)
	addLockFlag(cmd, &o.lockTimeout)
	cmd.Flags().StringVar(&o.configuration, "configuration", "", "release only what the configuration `ID` manages")
	return cmd
}

func runStateForget(ctx context.Context, g *global, w *observer, o repairOptions, addresses []string) error {
	of := o.options(g, w, "state forget")
	of.LockTimeout = o.lockTimeout
	r, err := run.New(of, w)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Forget(ctx, o.configuration, addresses, func(address string) {
		g.print("forgotten: %s\n", plain.Escape(address))
	})
}

func newStateRebuildCommand(g *global) *cobra.Command {
	var o repairOptions
	cmd := &cobra.Command{
		Use:   "rebuild HOST...",
		Short: "Rebuild the manifests of hosts from the configuration",
		Long: `Rebuild a host's manifest that is corrupt, lost, of another machine or of a
newer mirrorform. The new manifest lists the resources of the configuration that
the host has as wanted; apply adds the others when it has created them. The old
manifest is kept beside the new one, as manifest.json.N.

Nothing else is changed on the host, and nothing is removed. Resources that only
the old manifest listed are no longer known. All resources count as found on the
host, not as created by mirrorform, so they are never removed later.`,
		Example: `mirrorform state rebuild fra1`,
		Args:    someArguments("HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runStateRebuild(cmd.Context(), g, w, o, args) })
		},
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
	}
	o.add(g, cmd)
	addLockFlag(cmd, &o.lockTimeout)
	return cmd
}

func runStateRebuild(ctx context.Context, g *global, w *observer, o repairOptions, names []string) error {
	of := o.options(g, w, "state rebuild")
	of.Selection.Limit, of.LockTimeout = names, o.lockTimeout
	r, err := run.New(of, w)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Rebuild(ctx, func(host string, managed, left []string) {
		g.print("%s: %d resources are managed, %d still differ from the configuration\n",
			plain.Escape(host), len(managed), len(left))
		for _, address := range left {
			g.print("  differs: %s\n", plain.Escape(address))
		}
	})
}
