package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/spf13/cobra"
)

func (a *app) applyCommand() *cobra.Command {
	var approved bool
	cmd := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Bring the hosts to what the configuration says",
		Long: `Plan, show the plan, ask, and perform it on all hosts at once. Afterwards each host is observed again: applied means observed.

On each host an apply is a transaction. It takes the host's lock, takes back what an earlier apply left unfinished, and refuses to go on if the host has changed since
the plan was made. If a step fails, the connection is lost, or the host is not as wanted in the end, the host takes everything back. Changes that may cut the
connection are confirmed over a new one; without that the host takes them back within the host's confirm_timeout.

A host that cannot be reached or that fails does not stop the others; it makes the exit status 1. An interrupt lets the hosts finish what they have begun,
and begins no more; a second one ends mirrorform at once.

Where the configuration has a rollout block, hosts are applied to in its waves. All are planned first, the plan is shown by waves, and asked about once. Each
wave is then planned anew under the locks of its hosts; one that differs from what was approved is refused. When more hosts fail than max_failures, or a gate
does not pass, no further host is begun, and with on_failure = "roll_back" the wave is taken back as a whole. apply --limit @failed goes on from there.

With a FILE that plan --out wrote, nothing is asked. The configuration is evaluated and the hosts are observed again, and the plan is performed only
if it is still the same: the configuration, the hosts and their machine-ids, every resource as it was found, and the steps. If anything differs, the
plan is stale: what differs is named, nothing is changed on any host, and the exit status is 1. The plan's --limit and --target hold; variables have to
be given as they were given to plan.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if _, err := os.Stat(args[0]); errors.Is(err, fs.ErrNotExist) {
					if err := a.checkArgument(cmd, args[0]); err != nil {
						return err
					}
				}
				return a.applySaved(cmd.Context(), args[0])
			}
			r, err := a.newRun("apply")
			if err != nil {
				return err
			}
			defer r.close()
			return r.apply(cmd.Context(), "Apply these changes?", approved)
		},
	}
	a.addHostFlags(cmd)
	a.addEventsFlag(cmd)
	a.addLockFlag(cmd)
	a.addReportFlag(cmd)
	a.addReplaceFlag(cmd)
	cmd.Flags().BoolVar(&approved, "auto-approve", false, "do not ask")
	return cmd
}

func (a *app) destroyCommand() *cobra.Command {
	var approved bool
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Remove from the hosts what the configuration declares",
		Long: `Plan the removal of the configuration's resources, show the plan, ask, and perform it.

Mirror data, file systems, mounts and users are kept, unless --target names the very resource. A directory is removed only when it is empty.`,
		Args: a.noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.newRun("destroy")
			if err != nil {
				return err
			}
			defer r.close()
			r.fleet.Adjust = r.removal
			return r.apply(cmd.Context(), "Remove all this?", approved)
		},
	}
	a.addHostFlags(cmd)
	a.addEventsFlag(cmd)
	a.addLockFlag(cmd)
	a.addReportFlag(cmd)
	cmd.Flags().BoolVar(&approved, "auto-approve", false, "do not ask")
	return cmd
}

// removal marks resources for removal. Those that keep what cannot be brought back stay, unless --target names them.
func (r *run) removal(list []*engine.Resource) []*engine.Resource {
	var removed []*engine.Resource
	for _, res := range list {
		if len(r.target) > 0 && !slices.ContainsFunc(r.target, func(t string) bool { return engine.Within(res.Address, t) }) {
			continue // selected only because something else needs it
		}
		if keep := res.Kept(); keep != "" && !slices.Contains(r.target, res.Address) {
			r.ui.Note(fmt.Sprintf("Kept: %s (%s). To remove it, name it: --target '%s'", res.Address, keep, res.Address))
			continue
		}
		res.Remove = true
		removed = append(removed, res)
	}
	return removed
}

var errNotApproved = errors.New("not approved; nothing was changed")

var errInterrupted = errors.New("interrupted; nothing was changed")

// apply plans, asks and performs.
func (r *run) apply(ctx context.Context, question string, approved bool) error {
	return r.applyAsking(ctx, func(*engine.Plan) string { return question }, approved)
}

// applyAsking is apply with a question about the plan.
func (r *run) applyAsking(ctx context.Context, question func(*engine.Plan) string, approved bool) error {
	plan, err := r.plan(ctx)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	if err := r.show(plan, false); err != nil {
		return err
	}
	if plan.Counts().Changes() == 0 {
		return r.adopt(ctx, plan)
	}
	if r.rollout != nil {
		r.fleet.Close() // and with it the locks: each wave takes those of its hosts
	}
	if !approved {
		yes, err := r.ui.Confirm(question(plan))
		if err != nil {
			return err
		}
		if !yes {
			return errNotApproved
		}
	}
	return r.perform(ctx, plan)
}

// adopt ends an apply that has nothing to change: hosts note that they manage what is as wanted.
func (r *run) adopt(ctx context.Context, plan *engine.Plan) error {
	if err := r.remember(r.planned(plan)); err != nil {
		return err
	}
	progress := r.progress()
	result := r.fleet.Apply(context.WithoutCancel(ctx), plan, r.hosts)
	progress.Close()
	r.collected.applied(result)
	r.recordOutcomes(outcomesOf(result.Hosts))
	for i, h := range result.Hosts {
		if h.Err != nil && !plan.Hosts[i].Failed() { // those that have no plan were told
			r.ui.Error(fmt.Errorf("%s: %w", h.Host, h.Err))
		}
	}
	if result.Failed() {
		return errReported
	}
	return nil
}

// planned are the hosts that a plan was made for.
func (r *run) planned(plan *engine.Plan) []engine.Host {
	var list []engine.Host
	for i, h := range plan.Hosts {
		if !h.Failed() {
			list = append(list, r.hosts[i])
		}
	}
	return list
}

// changing are the hosts that a plan changes.
func changing(plan *engine.Plan) []string {
	var names []string
	for _, h := range plan.Hosts {
		if len(h.Changes) > 0 && !h.Failed() {
			names = append(names, h.Host)
		}
	}
	return names
}

// perform does what a plan of this run says.
func (r *run) perform(ctx context.Context, plan *engine.Plan) error {
	if err := r.remember(r.planned(plan)); err != nil {
		return err
	}
	if r.rollout != nil {
		return r.performWaves(ctx, plan)
	}
	r.recordOutcomes(allWith(r.hosts, outcomeUnknown))
	progress := r.progressOf(changing(plan))
	quiet := context.AfterFunc(ctx, func() {
		r.ui.Note("Interrupted: the hosts finish what they have begun. A second interrupt ends mirrorform at once; each host then finishes its current step and takes everything back.")
	})
	defer quiet()
	// Steps under way are finished after a signal: half of an operation is worse than all of it. A second signal ends the program.
	result := r.fleet.ApplyWith(context.WithoutCancel(ctx), plan, r.hosts, engine.ApplyOptions{Admit: engine.UntilDone(ctx)})
	progress.Close()
	r.collected.applied(result)
	r.recordOutcomes(outcomesOf(result.Hosts))
	r.ui.Summary(result)
	if result.Failed() {
		return errReported
	}
	return nil
}
