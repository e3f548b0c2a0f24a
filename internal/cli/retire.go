package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/publish"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/spf13/cobra"
)

// retireOptions are the options of retire.
type retireOptions struct {
	hostFlags
	lockTimeout                   time.Duration
	repository                    publish.Options
	mirrorList                    string
	wait                          time.Duration
	dryRun, skipPublish, approved bool
	patch                         bool
	deleteData                    []string
}

func newRetireCommand(g *global) *cobra.Command {
	var o retireOptions
	complete := completer{g, &o.configFlags}
	cmd := &cobra.Command{
		Use:   "retire HOST...",
		Short: "Take mirrors out of AlmaLinux's list, then stop them",
		Long: `Retire the mirrors of hosts, so that no client is sent to a mirror that has
stopped. First a pull request removes each mirror's entry from AlmaLinux's
mirror list. When it is merged and the mirror service no longer lists the
mirror, its cron entries or timers, its site and its rsync modules are removed,
and its file in mirrors.d on this machine. That is planned, shown, confirmed and
performed as by apply. HOST is a host of the configuration, a for_each block or
a glob; its mirror block must still exist. Mirrors of other distributions on the
host stay.

Run retire again until it is done. Each run continues where the last one
stopped: it opens the pull request, reports that it is not merged yet, reports
that the service still lists the mirror, and finally stops the mirror. --wait
keeps checking. --skip-publish is for mirrors that were never listed.

--patch prints the removal of the entries as patches for git am, for those who
push and open the pull request themselves. It needs no token and stops nothing.

Files, accounts and packages stay. --delete-data deletes a directory of a
mirror's files at the end, after a second question with its path and size.
ADDRESS is the address of the directory, as plan prints it. The deletion fails
while a sync holds the mirror's lock.

--events and --report cover the changes on hosts, not the pull requests. There,
a host whose mirror is still listed counts as not started.

At the end, retire prints what to remove from the configuration: until you do,
the next apply would create the mirror again.

Exit status: 0 retired, 1 error, 2 AlmaLinux still lists a mirror.`,
		Example: `# Open the pull request; later, stop the mirror
mirrorform retire fra1

# Wait for the merge, and do not ask
mirrorform retire --wait 6h --auto-approve fra1

# Also delete the mirror's files
mirrorform retire --delete-data fra1/mirror.almalinux.directory fra1`,
		Args:              someArguments("HOST"),
		ValidArgsFunction: complete.hosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runRetire(cmd.Context(), g, w, o, args) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addLockFlag(cmd, &o.lockTimeout)
	addRepositoryFlags(cmd, &o.repository)
	flags := cmd.Flags()
	flags.DurationVar(&o.wait, "wait", 0, "keep checking for `DURATION`, such as 30m or 6h, while a mirror is still listed")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the pull requests and the plan, and change nothing")
	flags.BoolVar(&o.patch, "patch", false, "print each removal as a patch for git am, and change nothing")
	addApproveFlag(cmd, &o.approved)
	flags.BoolVar(&o.skipPublish, "skip-publish", false,
		"stop mirrors even if AlmaLinux lists them: for mirrors that were never listed")
	flags.StringArrayVar(&o.deleteData, "delete-data", nil,
		"at the end, delete the directory at `ADDRESS` and the mirror's files in it (can be repeated)")
	flags.StringVar(&o.mirrorList, "mirror-list", upstream.DefaultMirrorList,
		"check at `URL` whether the mirror service lists a mirror; if empty, check only the merged files")
	for _, name := range []string{"limit", "shard", "target"} {
		_ = flags.MarkHidden(name)
	}
	for _, name := range []string{"mirror-list", "wait"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	_ = cmd.RegisterFlagCompletionFunc("delete-data", complete.addresses)
	o.reports.addFlag(cmd)
	return cmd
}

// check refuses values that cannot work.
func (o *retireOptions) check() error {
	switch {
	case len(o.limit)+len(o.target)+o.shard.Parts > 0:
		return errors.New("retire takes no --limit, --shard or --target: name the hosts instead")
	case o.wait < 0 || o.wait > 0 && o.wait < time.Second:
		return fmt.Errorf("invalid value %q for --wait: it takes 1s or more, such as 30m", o.wait)
	}
	for _, f := range []setFlag{
		{"--dry-run", o.dryRun},
		{"--skip-publish", o.skipPublish},
		{"--wait", o.wait > 0},
		{"--delete-data", len(o.deleteData) > 0},
	} {
		if err := onlyOne(setFlag{"--patch", o.patch}, f); err != nil {
			return err
		}
	}
	if o.mirrorList == "" {
		return nil
	}
	if _, err := treeURL(o.mirrorList, "http", "https"); err != nil {
		return fmt.Errorf("--mirror-list: %w", err)
	}
	return nil
}

func runRetire(ctx context.Context, g *global, w *observer, o retireOptions, names []string) error {
	if err := o.check(); err != nil {
		return err
	}
	command := "retire"
	if o.dryRun || o.patch {
		command = "" // so that no host is locked
	}
	of := o.options(g, w, command, names...)
	of.LockTimeout = o.lockTimeout
	r, err := run.New(of, w)
	if err != nil {
		return err
	}
	defer r.Close()
	hosts, err := r.HostsToRetire()
	if err != nil {
		return err
	}
	if o.patch {
		return patchRemovals(ctx, g, r, hosts, o)
	}
	data, err := r.DataToDelete(hosts, o.deleteData)
	if err != nil {
		return err
	}
	ready, waiting, failed := hosts, false, false
	if !o.skipPublish {
		if ready, waiting, failed, err = unlist(ctx, r, g.ui, hosts, o); err != nil {
			return err
		}
	}
	if len(ready) > 0 {
		if err := stopMirrors(ctx, g, r, ready, data, o); err != nil {
			if !errors.Is(err, errReported) {
				return err
			}
			failed = true
		}
	}
	switch {
	case failed:
		return errReported
	case waiting:
		return errDifferences
	}
	return nil
}

// stopMirrors stops the mirrors of hosts, deletes the files that --delete-data names, and prints
// what to remove from the configuration.
func stopMirrors(ctx context.Context, g *global, r *run.Run, hosts []string, data run.MirrorData, o retireOptions) error {
	stopping := r.Stopping(hosts, data)
	if o.dryRun {
		return showStopping(ctx, g, r, stopping)
	}
	err := planAndApply(ctx, g, r, stopping, asking("Stop the syncs and the sites of these mirrors?"), review{approved: o.approved})
	if deleting := r.Deleting(hosts, data); err == nil && len(deleting.Hosts) > 0 {
		if err = planAndApply(ctx, g, r, deleting, deletionQuestion, review{approved: o.approved}); errors.Is(err, errNotApproved) {
			g.ui.Error(errors.New("not approved; the mirrors are stopped, and their files were not deleted"))
			err = errReported
		}
	}
	if err == nil || errors.Is(err, errReported) {
		g.ui.Print(r.TakeOut(hosts))
	}
	return err
}

// showStopping shows what stopMirrors would stop.
func showStopping(ctx context.Context, g *global, r *run.Run, stopping run.Aim) error {
	p, err := r.NewPlan(ctx, stopping)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := showPass(g, p, false, planView{}); err != nil || p.Plan.Failed() {
		return errors.Join(err, errReported)
	}
	return nil
}

// deletionQuestion shows the path and the size of what a plan deletes, from the summaries of its
// steps.
func deletionQuestion(plan *engine.Plan) string {
	lines := []string{"Delete these files? This cannot be undone."}
	for _, h := range plan.Hosts {
		for _, c := range h.Changes {
			for _, step := range c.Steps {
				lines = append(lines, fmt.Sprintf("  on %s, %s", h.Host, step.Summary))
			}
		}
	}
	return strings.Join(lines, "\n")
}
