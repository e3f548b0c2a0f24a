package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
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
	out, mirrorsD, tree string
	force, content      bool
}

func newAdoptCommand(g *global) *cobra.Command {
	var o adoptOptions
	cmd := &cobra.Command{
		Use:   "adopt HOST...",
		Short: "Write a configuration for mirrors that exist",
		Long: `Write HCL for mirrors that were set up by hand. The configuration declares each
HOST with a host block. adopt changes nothing on the hosts.

It reads crontabs, systemd units and the scripts that they run, the sites of
nginx, Apache, Caddy and lighttpd, containers, rsyncd.conf, packages and
services. It writes a mirror block that leaves the web server and all other
trees unchanged, with what the block changes and what to do by hand before.
Scripts are evaluated, never run: if one depends on what only the host knows,
name the tree with --tree. What is not understood is reported with its file and
line. The content of files is copied only with --content, and never what looks
like a secret. docs/adopt.md has the whole procedure.`,
		Example: `# Write the configuration, and see what it would change
mirrorform adopt fra1 --out adopted.hcl
mirrorform plan

# With the mirror's entry in AlmaLinux's list
mirrorform adopt fra1 --mirrorsd mirrors.d/mirror.example.org.yml`,
		Args: someArguments("HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runAdopt(cmd.Context(), g, w, o, args) })
		},
		ValidArgsFunction: completer{g, &o.configFlags}.hosts,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.out, "out", "", "write the configuration to `FILE` instead of standard output")
	flags.BoolVar(&o.force, "force", false, "with --out: replace an existing file")
	flags.BoolVar(&o.content, "content", false, "copy the content of the set-up's files into resources, except what looks like a secret")
	flags.StringVar(&o.mirrorsD, "mirrorsd", "", "read the mirror's entry in AlmaLinux's list from `FILE`; for one HOST")
	flags.StringVar(&o.tree, "tree", "", "the directory with AlmaLinux's files, an absolute `PATH`, if adopt does not find it")
	o.add(g, cmd)
	_ = flags.MarkHidden("target")
	return cmd
}

func runAdopt(ctx context.Context, g *global, w *observer, o adoptOptions, names []string) error {
	if o.out != "" && !o.force {
		if _, err := os.Lstat(o.out); err == nil {
			return fmt.Errorf("%s exists and was not changed: choose another name, or add --force", o.out)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if o.tree != "" && (!path.IsAbs(o.tree) || path.Clean(o.tree) == "/") {
		return fmt.Errorf("--tree %s: use the absolute path of a directory on the host", o.tree)
	}
	entry, err := readEntry(o.mirrorsD)
	if err != nil {
		return err
	}
	if len(o.target) > 0 {
		return errors.New("adopt takes no --target: name the hosts instead")
	}
	r, err := run.New(o.options(g, w, "", names...), w)
	if err != nil {
		return err
	}
	defer r.Close()
	hosts := slices.DeleteFunc(slices.Clone(r.Hosts), func(h engine.Host) bool { return h.Last })
	if entry != nil && len(hosts) != 1 {
		return fmt.Errorf("--mirrorsd is the entry of one mirror: name one host, not %d", len(hosts))
	}
	drafts, failures, err := r.Drafts(ctx, hosts, run.Adoption{MirrorsD: entry, Out: o.out, Tree: o.tree, Content: o.content})
	if err != nil {
		return err
	}
	var good []*adopt.Draft
	for i, err := range failures {
		if drafts[i] != nil {
			for _, remark := range drafts[i].Remarks {
				w.Note(hosts[i].Name + ": " + remark.String())
			}
		}
		if err == nil {
			good = append(good, drafts[i])
			continue
		}
		w.Error(fmt.Errorf("%s: %w", hosts[i].Name, err))
		if errors.Is(err, run.ErrNoMirror) {
			w.Note("If the host has one, name its directory: mirrorform adopt " + hosts[i].Name + " --tree PATH. To set one up, add a mirror block.")
		}
	}
	if len(good) < len(hosts) {
		w.Note("Nothing was written, since some hosts could not be read.")
		return errReported
	}
	return writeAdopted(g, w, r, o, good)
}

// readEntry reads the mirrors.d file, or returns nil if name is empty.
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

// writeAdopted writes the file.
func writeAdopted(g *global, w *observer, r *run.Run, o adoptOptions, drafts []*adopt.Draft) error {
	names := map[string]bool{}
	for _, h := range r.Config.Hosts() {
		list, _ := r.Config.Resources(h.Name, nil) // what needs facts was checked with the facts of hosts
		for _, res := range list {
			if !r.DeclaredIn(res, o.out) {
				names[res.Address.Local()] = true
				names[res.Address.Type+"."+res.Address.Name] = true // of a mirror block
			}
		}
	}
	text, err := adopt.Render(drafts, func(kind, name string) bool { return names[kind+"."+name] })
	if err != nil {
		return err
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
		g.print("Wrote %s.\nNext: read it, then run mirrorform plan, which shows what it would change.\n", o.out)
	}
	return err
}
