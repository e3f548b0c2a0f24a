package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/adopt"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/resources"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// adoptFlags are the options of adopt.
type adoptFlags struct {
	out, mirrorsD string
	force         bool
}

func (a *app) adoptCommand() *cobra.Command {
	var f adoptFlags
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
			a.limit = append(a.limit, args...)
			return a.adopt(cmd.Context(), f)
		},
		ValidArgsFunction: a.completeHosts,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "write the configuration to `FILE`, in place of standard output")
	flags.BoolVar(&f.force, "force", false, "replace FILE if it is there")
	flags.StringVar(&f.mirrorsD, "mirrorsd", "", "take the mirror's entry in AlmaLinux's list from `FILE`; for one HOST")
	a.addHostFlags(cmd)
	_ = flags.MarkHidden("target")
	return cmd
}

func (a *app) adopt(ctx context.Context, f adoptFlags) error {
	if f.out != "" && !f.force {
		if _, err := os.Lstat(f.out); err == nil {
			return fmt.Errorf("%s is there already, and is left as it is: choose another name, or say --force", f.out)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	entry, err := readEntry(f.mirrorsD)
	if err != nil {
		return err
	}
	if len(a.target) > 0 {
		return errors.New("adopt takes no --target: name hosts")
	}
	r, err := a.newRun("")
	if err != nil {
		return err
	}
	defer r.close()
	r.hosts = slices.DeleteFunc(r.hosts, func(h engine.Host) bool { return h.Last })
	if entry != nil && len(r.hosts) != 1 {
		return fmt.Errorf("--mirrorsd is the entry of one mirror: name one host with it, not %d", len(r.hosts))
	}
	drafts, failures, err := r.drafts(ctx, entry, f.out)
	if err != nil {
		return err
	}
	var good []*adopt.Draft
	for i, err := range failures {
		if err != nil {
			a.ui.Error(fmt.Errorf("%s: %w", r.hosts[i].Name, err))
			continue
		}
		good = append(good, drafts[i])
	}
	if len(good) < len(r.hosts) {
		a.ui.Note("Nothing was written, since not every host could be read.")
		return errReported
	}
	return r.writeAdopted(good, f)
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

// drafts reads all hosts of the run at once. A host that cannot be read has an error of its own.
func (r *run) drafts(ctx context.Context, entry *mirrorsd.File, out string) ([]*adopt.Draft, []error, error) {
	dir, err := filepath.Abs(r.chdir)
	if err != nil {
		return nil, nil, err
	}
	drafts, failures := make([]*adopt.Draft, len(r.hosts)), make([]error, len(r.hosts))
	progress := r.progress()
	defer progress.Close()
	byName := hostsByName(r.config.Hosts())
	var group errgroup.Group
	if r.parallelism > 0 {
		group.SetLimit(r.parallelism)
	}
	for i, h := range r.hosts {
		group.Go(func() error {
			host := adopt.Host{Name: h.Name, Address: byName[h.Name].Address, Dir: dir, Types: resources.All(), MirrorsD: entry}
			drafts[i], failures[i] = r.draft(ctx, host, out, progress.Report)
			last := engine.Progress{Host: h.Name, Stage: engine.Planned}
			if failures[i] != nil {
				last.Stage, last.Err = engine.Unplanned, failures[i]
			}
			progress.Report(last)
			return nil
		})
	}
	return drafts, failures, group.Wait() // which has none: each host has its own
}

// draft asks one host until nothing is left to ask, and compares what came of it with the host.
func (r *run) draft(ctx context.Context, h adopt.Host, out string, report func(engine.Progress)) (*adopt.Draft, error) {
	report(engine.Progress{Host: h.Name, Stage: engine.Connecting})
	session, err := r.fleet.Connect(ctx, h.Name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Close() }() // everything was answered by then
	report(engine.Progress{Host: h.Name, Stage: engine.Observing})
	survey := adopt.NewSurvey(engine.Target{Name: h.Name, Facts: session.Facts, Helper: session.Hello.SHA256})
	for queries := survey.Next(); len(queries) > 0; queries = survey.Next() {
		got, err := session.Ask(ctx, queries)
		if err != nil {
			return nil, err
		}
		survey.Add(queries, got)
	}
	declared, diags := r.config.Resources(h.Name, map[string]*wire.Facts{h.Name: &session.Facts})
	if diags.HasErrors() {
		return nil, fmt.Errorf("its configuration has errors: %w", diags)
	}
	for _, res := range declared {
		if !r.declaredIn(res, out) {
			h.Declared = append(h.Declared, res)
		}
	}
	d := adopt.NewDraft(survey, h)
	if !d.Found() {
		return nil, errors.New("no mirror of AlmaLinux was found: no crontab, unit or site names one. Declare it anew with a mirror block")
	}
	got, err := session.Ask(ctx, d.Questions())
	if err != nil {
		return nil, err
	}
	d.Settle(got)
	return d, nil
}

// declaredIn tells whether a resource is declared in the file that is about to be replaced. All files of a configuration lie in one directory.
func (r *run) declaredIn(res *engine.Resource, out string) bool {
	i := strings.LastIndexByte(res.Source, ':')
	if out == "" || i <= 0 {
		return false
	}
	there, err := filepath.Abs(filepath.Join(r.chdir, filepath.Base(res.Source[:i])))
	here, outErr := filepath.Abs(out)
	return err == nil && outErr == nil && there == here
}

// writeAdopted writes the file, and tells what there is to know.
func (r *run) writeAdopted(drafts []*adopt.Draft, f adoptFlags) error {
	names := map[string]bool{}
	for _, h := range r.config.Hosts() {
		list, _ := r.config.Resources(h.Name, nil) // what needs facts was checked with them
		for _, res := range list {
			if !r.declaredIn(res, f.out) {
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
			r.ui.Note(d.Host.Name + ": " + remark.String())
		}
	}
	if f.out == "" {
		r.print("%s", text)
		return nil
	}
	if f.force {
		err = writeAtomically(f.out, text, 0o644)
	} else {
		err = writeNew(f.out, text)
	}
	if err == nil {
		r.print("Wrote %s.\nNext: read it, then run mirrorform plan, which should have nothing to do.\n", f.out)
	}
	return err
}
