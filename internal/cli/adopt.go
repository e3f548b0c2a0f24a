package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/adopt"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

// adoptOptions are the options of adopt.
type adoptOptions struct {
	hostFlags
	out, mirrorsD string
	force         bool
}

func newAdoptCommand(g *global) *cobra.Command {
	var o adoptOptions
	cmd := &cobra.Command{
		Use:   "adopt HOST…",
		Short: "Write a configuration for mirrors that are there already",
		Long: `Read the mirrors that were set up by hand on HOSTs, which the configuration declares with host blocks, and write HCL for them. Nothing on the hosts is written.

Read are crontabs, systemd units and the scripts that they run, nginx's and Apache's vhosts, rsyncd.conf, packages and services. What is there is
written as plain resources, each compared with the host first, so that the plan is empty; what cannot be managed as it is, or was not understood, is told with
its file and line. The mirror block that would take the host over stands below as a comment, with what it would change. docs/adopt.md has the whole procedure.`,
		Example: `  mirrorform adopt fra1 --out adopted.hcl
  mirrorform plan
  mirrorform adopt fra1 --mirrorsd mirrors.d/mirror.example.org.yml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runAdopt(cmd.Context(), g, w, o, args) })
		},
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.out, "out", "", "write the configuration to `FILE`, in place of standard output")
	flags.BoolVar(&o.force, "force", false, "replace FILE if it is there")
	flags.StringVar(&o.mirrorsD, "mirrorsd", "", "take the mirror's entry in AlmaLinux's list from `FILE`; for one HOST")
	o.add(g, cmd)
	_ = flags.MarkHidden("target")
	return cmd
}

func runAdopt(ctx context.Context, g *global, w *observer, o adoptOptions, names []string) error {
	if o.out != "" && !o.force {
		if _, err := os.Lstat(o.out); err == nil {
			return fmt.Errorf("%s is there already, and is left as it is: choose another name, or say --force", o.out)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	entry, err := readEntry(o.mirrorsD)
	if err != nil {
		return err
	}
	if len(o.target) > 0 {
		return errors.New("adopt takes no --target: name hosts")
	}
	r, err := run.New(o.options(g, w, "", names...), w)
	if err != nil {
		return err
	}
	defer r.Close()
	hosts := slices.DeleteFunc(slices.Clone(r.Hosts), func(h engine.Host) bool { return h.Last })
	if entry != nil && len(hosts) != 1 {
		return fmt.Errorf("--mirrorsd is the entry of one mirror: name one host with it, not %d", len(hosts))
	}
	drafts, failures, err := r.Drafts(ctx, hosts, entry, o.out)
	if err != nil {
		return err
	}
	var good []*adopt.Draft
	for i, err := range failures {
		if err != nil {
			w.Error(fmt.Errorf("%s: %w", hosts[i].Name, err))
			continue
		}
		good = append(good, drafts[i])
	}
	if len(good) < len(hosts) {
		w.Note("Nothing was written, since not every host could be read.")
		return errReported
	}
	return writeAdopted(g, w, r, o, good)
}

// readEntry reads the mirrors.d file; there is none without a name.
func readEntry(name string) (*mirrorsd.File, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	entry, err := mirrorsd.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &entry, nil
}

// writeAdopted writes the file, and tells what there is to know.
func writeAdopted(g *global, w *observer, r *run.Run, o adoptOptions, drafts []*adopt.Draft) error {
	names := map[string]bool{}
	for _, h := range r.Config.Hosts() {
		list, _ := r.Config.Resources(h.Name, nil) // what needs facts was checked with them
		for _, res := range list {
			if !r.DeclaredIn(res, o.out) {
				names[engine.Local(res.Address)] = true
			}
		}
	}
	text, err := adopt.Render(drafts, func(kind, name string) bool { return names[kind+"."+name] })
	if err != nil {
		return err
	}
	for _, d := range drafts {
		for _, remark := range d.Remarks {
			w.Note(d.Host.Name + ": " + remark.String())
		}
	}
	if o.out == "" {
		g.print("%s", text)
		return nil
	}
	if o.force {
		err = run.WriteAtomically(o.out, text, 0o644)
	} else {
		err = writeNew(o.out, text)
	}
	if err == nil {
		g.print("Wrote %s.\nNext: read it, then run mirrorform plan, which should have nothing to do.\n", o.out)
	}
	return err
}
