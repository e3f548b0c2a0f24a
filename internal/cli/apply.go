package cli

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

// applyOptions are the options of apply.
type applyOptions struct {
	hostFlags
	replace     []string
	lockTimeout time.Duration
	approved    bool
}

func newApplyCommand(g *global) *cobra.Command {
	var o applyOptions
	complete := completer{g, &o.configFlags}
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
			return g.observed(cmd, &o.observerFlags, func(w *observer) error {
				if len(args) == 0 {
					return runApply(cmd.Context(), g, w, o)
				}
				if _, err := os.Stat(args[0]); errors.Is(err, fs.ErrNotExist) {
					if err := complete.explain(cmd, args[0]); err != nil {
						return err
					}
				}
				return runApplySaved(cmd.Context(), g, w, o, args[0])
			})
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addLockFlag(cmd, &o.lockTimeout)
	o.reports.addFlag(cmd)
	addReplaceFlag(cmd, &o.replace, complete)
	cmd.Flags().BoolVar(&o.approved, "auto-approve", false, "do not ask")
	return cmd
}

// options are those of a run that applies.
func (o *applyOptions) options(g *global, w *observer) run.Options {
	of := o.hostFlags.options(g, w, "apply")
	of.Selection.Replace, of.LockTimeout = o.replace, o.lockTimeout
	of.Verify = gateVerifier(g.ui, defaultVerifyFlags())
	return of
}

func runApply(ctx context.Context, g *global, w *observer, o applyOptions) error {
	r, err := run.New(o.options(g, w), w)
	if err != nil {
		return err
	}
	defer r.Close()
	return planAndApply(ctx, g, r, run.Aim{}, asking("Apply these changes?"), o.approved)
}

// destroyOptions are the options of destroy.
type destroyOptions struct {
	hostFlags
	lockTimeout time.Duration
	approved    bool
}

func newDestroyCommand(g *global) *cobra.Command {
	var o destroyOptions
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Remove from the hosts what the configuration declares",
		Long: `Plan the removal of the configuration's resources, show the plan, ask, and perform it.

Mirror data, file systems, mounts and users are kept, unless --target names the very resource. A directory is removed only when it is empty.`,
		Args: completer{g, &o.configFlags}.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runDestroy(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addLockFlag(cmd, &o.lockTimeout)
	o.reports.addFlag(cmd)
	cmd.Flags().BoolVar(&o.approved, "auto-approve", false, "do not ask")
	return cmd
}

func runDestroy(ctx context.Context, g *global, w *observer, o destroyOptions) error {
	of := o.options(g, w, "destroy")
	of.LockTimeout = o.lockTimeout
	r, err := run.New(of, w)
	if err != nil {
		return err
	}
	defer r.Close()
	return planAndApply(ctx, g, r, run.Aim{Adjust: r.Removal}, asking("Remove all this?"), o.approved)
}

var errNotApproved = errors.New("not approved; nothing was changed")

// interrupted is the error of a command that was interrupted before it changed anything.
func interrupted(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("interrupted; nothing was changed")
	}
	return nil
}

// asking is a question that is the same for all plans.
func asking(question string) func(*engine.Plan) string {
	return func(*engine.Plan) string { return question }
}

// planAndApply plans, shows the plan, asks unless that is approved, and performs it.
func planAndApply(ctx context.Context, g *global, r *run.Run, aim run.Aim, question func(*engine.Plan) string, approved bool) error {
	p, err := r.NewPlan(ctx, aim)
	if err != nil {
		return cmp.Or(interrupted(ctx), err)
	}
	defer p.Close()
	if err := interrupted(ctx); err != nil {
		return err
	}
	if err := showPass(g, p, false); err != nil {
		return err
	}
	if !approved && p.Plan.Counts().Changes() > 0 {
		yes, err := g.ui.Confirm(question(p.Plan))
		if err != nil {
			return err
		}
		if !yes {
			return errNotApproved
		}
	}
	return applyPass(ctx, g, p)
}

// applyPass does what a plan says that was shown.
func applyPass(ctx context.Context, g *global, p *run.Pass) error {
	if p.Plan.Counts().Changes() == 0 {
		return p.Adopt(ctx)
	}
	result, err := p.Perform(ctx)
	if err != nil {
		return err
	}
	g.ui.Summary(result)
	if result.Failed() {
		return errReported
	}
	return nil
}
