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
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// applyOptions are the options of apply.
type applyOptions struct {
	hostFlags
	replace  []string
	detailed bool
	review
	lockTimeout time.Duration
}

func newApplyCommand(g *global) *cobra.Command {
	var o applyOptions
	complete := completer{g, &o.configFlags}
	cmd := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Change the hosts to match the configuration",
		Long: `Plan, show the plan, ask for confirmation, and change all hosts at once. Each
host is then observed again: a change counts as applied only if it is found.

On each host, apply is a transaction. It locks the host, rolls back what an
interrupted run left, and refuses to start if the host has changed since the
plan. If a step fails, the connection is lost, or the host does not match the
configuration at the end, the host rolls back all changes. Changes that could
cut the connection are confirmed over a new one; otherwise the host rolls them
back after its confirm_timeout.

A host that is unreachable or fails does not stop the others, but the exit
status is 1. After an interrupt, hosts finish what they have started and no
further host starts; a second interrupt ends mirrorform at once.

With a rollout block, hosts are changed in its waves. All hosts are planned
first, and you confirm once. Each wave is planned again with its hosts locked,
and a host whose plan is no longer the one you confirmed is refused. When more
hosts fail than max_failures allows, or a gate fails, no further host starts;
with on_failure = "roll_back" the whole wave is rolled back. To continue:
mirrorform apply --limit @failed

At the end come the outputs, and the commands that the changes leave to do: the
first sync of a new mirror, a look at its site, its entry in the mirror list.

With a FILE from plan --out, nothing is asked. The hosts are observed again, and
the plan is applied only if it is still the same: the configuration, the hosts
and their machine-ids, the found state of each resource, and the steps.
Otherwise the plan is stale: the differences are listed, no host is changed, and
the exit status is 1, or 2 with --detailed-exitcode. The directory of the
configuration may be another one, as in another clone. The plan's --limit and
--target apply; give variables as you gave them to plan.`,
		Example: `# All hosts, or one of them
mirrorform apply
mirrorform apply --limit fra1

# The hosts on which the last apply failed
mirrorform apply --limit @failed

# A saved plan, as CI does after review
mirrorform apply fleet.plan

# Without a question, with the result as files
mirrorform apply --auto-approve --report json=result.json`,
		Args: optionalArgument("FILE"),
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
				err := runApplySaved(cmd.Context(), g, w, o, args[0])
				if stale := (staleError{}); errors.As(err, &stale) {
					stale.detailed = o.detailed
					return stale
				}
				return err
			})
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addLockFlag(cmd, &o.lockTimeout)
	o.reports.addFlag(cmd)
	addReplaceFlag(cmd, &o.replace, complete)
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.detailed, "detailed-exitcode", false, "with a FILE: exit with 2 if the plan is stale")
	return cmd
}

// review is how a plan is shown, and whether it needs an answer.
type review struct {
	planView
	approved bool
}

func (v *review) addFlags(cmd *cobra.Command) {
	addApproveFlag(cmd, &v.approved)
	v.planView.addFlags(cmd)
}

// planView is how much of a plan is shown.
type planView struct{ expand, compact bool }

func (v *planView) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&v.expand, "expand", false, "print each host's plan, also where several are the same")
	cmd.Flags().BoolVar(&v.compact, "compact", false, "print a line for each change")
}

// printed are the options of a printed plan.
func (v planView) printed() ui.PlanOptions {
	return ui.PlanOptions{Expand: v.expand, Compact: v.compact}
}

// addApproveFlag adds --auto-approve.
func addApproveFlag(cmd *cobra.Command, approved *bool) {
	cmd.Flags().BoolVar(approved, "auto-approve", false, "do not ask for confirmation")
}

// options are the options of a run that applies.
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
	return planAndApply(ctx, g, r, r.Aim(), asking("Apply these changes?"), o.review)
}

// destroyOptions are the options of destroy.
type destroyOptions struct {
	hostFlags
	review
	lockTimeout time.Duration
}

func newDestroyCommand(g *global) *cobra.Command {
	var o destroyOptions
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Remove the configuration's resources from the hosts",
		Long: `Plan the removal of the configuration's resources, show the plan, ask for
confirmation, and perform it.

Only what mirrorform created is removed; the rest is released. Mirror data, file
systems, mounts and users are released too, unless --target names that very
resource. A directory is removed only if it is empty.`,
		Example: `# Everything on one host
mirrorform destroy --limit fra1

# One resource
mirrorform destroy --target fra1/file.motd`,
		Args: completer{g, &o.configFlags}.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runDestroy(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addLockFlag(cmd, &o.lockTimeout)
	o.reports.addFlag(cmd)
	o.addFlags(cmd)
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
	aim := r.Aim()
	aim.Adjust = r.Removal
	return planAndApply(ctx, g, r, aim, asking("Remove these resources?"), o.review)
}

var errNotApproved = errors.New("not approved; nothing was changed")

// interrupted is the error of a command that was interrupted before it changed anything, or nil.
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

// planAndApply plans, shows the plan, asks for confirmation unless approved, and performs it.
func planAndApply(
	ctx context.Context, g *global, r *run.Run, aim run.Aim, question func(*engine.Plan) string, v review,
) error {
	p, err := r.NewPlan(ctx, aim)
	if err != nil {
		return cmp.Or(interrupted(ctx), err)
	}
	defer p.Close()
	if err := interrupted(ctx); err != nil {
		return err
	}
	if err := showPass(g, p, false, v.planView); err != nil {
		return err
	}
	if !v.approved && p.Plan.Counts().Changes() > 0 {
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

// applyPass performs a plan that was shown.
func applyPass(ctx context.Context, g *global, p *run.Pass) error {
	if p.Plan.Counts().Changes() == 0 {
		return p.Adopt(ctx)
	}
	result, err := p.Perform(ctx)
	if err != nil {
		return err
	}
	g.ui.Summary(result)
	switch {
	case result.Failed():
		return errReported
	case p.Options.Command != "apply":
		return nil
	}
	return afterApply(g, p, result)
}
