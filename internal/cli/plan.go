package cli

import (
	"context"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

func (a *app) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration without reaching a host",
		Long: `Check all of the configuration that can be checked without reaching a host. What depends on a host's facts, or on a variable that nothing sets, is unknown, and
plan checks it.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			o := a.loadOptions()
			o.AllowMissing = true
			c, err := a.mustLoadWith(o)
			if err != nil {
				return err
			}
			a.print("The configuration is valid.\n")
			if missing := c.WithoutValue(); len(missing) > 0 {
				a.print("What depends on variables without a value was not checked: %s.\n", strings.Join(missing, ", "))
			}
			return nil
		},
	}
	a.addVarFlags(cmd.Flags())
	return cmd
}

func (a *app) planCommand() *cobra.Command {
	var asJSON, detailed bool
	var out outFile
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `Observe the hosts and show what differs from the configuration, and the steps that apply would perform. Nothing is changed,
and no lock is taken. What hosts have from this configuration and is not in it any more is planned to be removed; what holds data is let go.

With --out the plan is saved as well, for show and apply. The file holds no secret and can be posted for review: it has salted digests of what the
plan was made from, and those of what holds a secret are slow to guess at (Argon2id). It is not written when the plan failed for a host.

Exit status: 0, or 1 on an error; with --detailed-exitcode 2 when there are differences.`,
		Args: a.noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.planAndShow(cmd.Context(), asJSON, detailed, out)
		},
	}
	a.addHostFlags(cmd)
	a.addEventsFlag(cmd)
	a.addReplaceFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	cmd.Flags().Var(&out, "out", "save the plan in `FILE`, which apply takes")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are differences")
	a.addReportFlag(cmd)
	return cmd
}

func (a *app) driftCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Tell whether hosts differ from the configuration",
		Long: `Observe the hosts and show what differs from the configuration, as plan does. Made for timers and CI.

Exit status: 0 no differences, 2 differences, 1 an error: a host that was not reached is an error, not a difference.`,
		Args: a.noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.planAndShow(cmd.Context(), asJSON, true, "")
		},
	}
	a.addHostFlags(cmd)
	a.addEventsFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the differences as JSON")
	a.addReportFlag(cmd)
	return cmd
}

func (a *app) planAndShow(ctx context.Context, asJSON, detailed bool, out outFile) error {
	r, err := a.newRun("")
	if err != nil {
		return err
	}
	defer r.close()
	r.fleet.Once, r.fleet.Brief = true, out == "" && len(a.reports) == 0
	plan, err := r.plan(ctx)
	if err != nil {
		return err
	}
	if err := r.show(plan, asJSON); err != nil {
		return err
	}
	if out != "" {
		if err := r.save(plan, string(out)); err != nil {
			return err
		}
	}
	switch {
	case plan.Failed():
		return errReported
	case detailed && plan.Counts().Changes() > 0:
		return errDifferences
	}
	return nil
}

// show prints a plan whose problems were printed as diagnostics.
func (r *run) show(plan *engine.Plan, asJSON bool) error {
	return r.showPlan(plan, asJSON, ui.PlanOptions{OmitProblems: true, Waves: r.rollout.waves()})
}

func (a *app) showPlan(plan *engine.Plan, asJSON bool, o ui.PlanOptions) error {
	if !asJSON {
		a.ui.Plan(plan, o)
		return nil
	}
	text, err := report.FromPlan(plan).JSON()
	if err != nil {
		return err
	}
	a.print("%s\n", text)
	return nil
}
