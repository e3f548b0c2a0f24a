package cli

import (
	"context"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

func (a *app) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration without reaching a host",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := a.mustLoad(); err != nil {
				return err
			}
			a.print("The configuration is valid.\n")
			return nil
		},
	}
	a.addVarFlags(cmd.Flags())
	return cmd
}

func (a *app) planCommand() *cobra.Command {
	var asJSON, detailed bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `Observe the hosts and show what differs from the configuration, and the steps that apply would perform. Nothing is changed.

Exit status: 0, or 1 on an error; with --detailed-exitcode 2 when there are differences.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.planAndShow(cmd.Context(), asJSON, detailed)
		},
	}
	a.addHostFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are differences")
	return cmd
}

func (a *app) driftCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Tell whether hosts differ from the configuration",
		Long: `Observe the hosts and show what differs from the configuration, as plan does. Made for timers and CI.

Exit status: 0 no differences, 2 differences, 1 an error: a host that was not reached is an error, not a difference.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.planAndShow(cmd.Context(), asJSON, true)
		},
	}
	a.addHostFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the differences as JSON")
	return cmd
}

func (a *app) planAndShow(ctx context.Context, asJSON, detailed bool) error {
	r, err := a.newRun()
	if err != nil {
		return err
	}
	defer r.close()
	plan := r.plan(ctx)
	if err := r.show(plan, asJSON); err != nil {
		return err
	}
	switch {
	case plan.Failed():
		return errReported
	case detailed && plan.Counts().Changes() > 0:
		return errDifferences
	}
	return nil
}

func (r *run) show(plan *engine.Plan, asJSON bool) error {
	if !asJSON {
		r.ui.Plan(plan, ui.PlanOptions{OmitProblems: true})
		return nil
	}
	text, err := ui.PlanJSON(plan)
	if err != nil {
		return err
	}
	r.print("%s\n", text)
	return nil
}
