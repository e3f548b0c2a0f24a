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
	deleteData                    []string
}

func newRetireCommand(g *global) *cobra.Command {
	var o retireOptions
	complete := completer{g, &o.configFlags}
	cmd := &cobra.Command{
		Use:   "retire HOST...",
		Short: "Take mirrors out of AlmaLinux's list, then stop them",
		Long: `Retire the mirrors of hosts, so that no client is sent to a mirror that has stopped: first a pull request removes each mirror's entry from AlmaLinux's
mirror list; once that is merged and the mirror service does not list the mirror any more, its cron entries and its site are removed, and its file in mirrors.d here. That
is planned, shown, asked for and performed as by apply. HOST is a host of the configuration, a for_each block or a glob; its mirror block has to be there still.

retire goes on from what is there, so run it again until it is done: it opens the pull request, tells that it waits to be merged, tells that the service still lists the
mirror, then stops it. With --wait it looks again by itself for that long. --skip-publish is for mirrors that never were listed.

Files, accounts and packages stay. --delete-data deletes a directory of a mirror's files, named by its address as plan prints it, in the end and after another question that
names its path and size; while a sync holds the mirror's lock it fails.

--events and --report tell of what is planned and applied on hosts, not of the pull requests; a host whose mirror AlmaLinux still lists is one that was not started.

In the end retire says what to take out of the configuration: until then the next apply would bring the mirror back.

Exit status: 0 retired, 1 an error, 2 AlmaLinux still lists a mirror.`,
		Example: `mirrorform retire fra1
mirrorform retire --wait 6h --auto-approve fra1
mirrorform retire --delete-data fra1/mirror.almalinux.directory fra1`,
		Args:              cobra.MinimumNArgs(1),
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
	flags.StringVar(&o.mirrorList, "mirror-list", upstream.DefaultMirrorList, "ask the mirror service at `URL` whether it lists a mirror; go by the merged files alone if empty")
	flags.DurationVar(&o.wait, "wait", 0, "look again for that long, as `30m` or 6h, while a mirror is still listed")
	flags.BoolVar(&o.skipPublish, "skip-publish", false, "stop mirrors whatever AlmaLinux lists: for those that never were listed")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the pull requests and the plan, and change nothing")
	flags.BoolVar(&o.approved, "auto-approve", false, "do not ask")
	flags.StringArrayVar(&o.deleteData, "delete-data", nil, "delete the directory at `ADDRESS` with the mirror's files in it, in the end (may be given again)")
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

// check refuses flags that cannot be.
func (o *retireOptions) check() error {
	switch {
	case len(o.limit)+len(o.target)+o.shard.Parts > 0:
		return errors.New("retire takes hosts as arguments, and no --limit, --shard or --target")
	case o.wait < 0 || o.wait > 0 && o.wait < time.Second:
		return fmt.Errorf("--wait is %v: it takes a second at least, such as 30m", o.wait)
	case o.mirrorList == "":
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
	if o.dryRun {
		command = "" // takes no locks
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

// stopMirrors stops the mirrors of hosts, deletes what is to be deleted, and says what to take out of the configuration.
func stopMirrors(ctx context.Context, g *global, r *run.Run, hosts []string, data run.MirrorData, o retireOptions) error {
	stopping := r.Stopping(hosts, data)
	if o.dryRun {
		return showStopping(ctx, g, r, stopping)
	}
	err := planAndApply(ctx, g, r, stopping, asking("Stop the syncs and the sites of these mirrors?"), o.approved)
	if deleting := r.Deleting(hosts, data); err == nil && len(deleting.Hosts) > 0 {
		if err = planAndApply(ctx, g, r, deleting, deletionQuestion, o.approved); errors.Is(err, errNotApproved) {
			g.ui.Error(errors.New("not approved; the mirrors are stopped, and their files stay"))
			err = errReported
		}
	}
	if err == nil || errors.Is(err, errReported) {
		g.ui.Print(r.TakeOut(hosts))
	}
	return err
}

// showStopping shows what would be stopped.
func showStopping(ctx context.Context, g *global, r *run.Run, stopping run.Aim) error {
	p, err := r.NewPlan(ctx, stopping)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := showPass(g, p, false); err != nil || p.Plan.Failed() {
		return errors.Join(err, errReported)
	}
	return nil
}

// deletionQuestion names what a plan deletes: the path and the size, which are in the steps.
func deletionQuestion(plan *engine.Plan) string {
	lines := []string{"Do this for good? Deleted files do not come back."}
	for _, h := range plan.Hosts {
		for _, c := range h.Changes {
			for _, step := range c.Steps {
				lines = append(lines, fmt.Sprintf("  on %s, %s", h.Host, step.Summary))
			}
		}
	}
	return strings.Join(lines, "\n")
}
