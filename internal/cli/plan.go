package cli

import (
	"context"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// planOptions are the options of plan and drift.
type planOptions struct {
	hostFlags
	replace          []string
	asJSON, detailed bool
	out              outFile
}

func newPlanCommand(g *global) *cobra.Command {
	var o planOptions
	complete := completer{g, &o.configFlags}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `Observe the hosts and show what differs from the configuration, and the steps that apply would perform. Nothing is changed,
and no lock is taken. What hosts have from this configuration and is not in it any more is planned to be removed; what holds data is let go.

With --out the plan is saved as well, for show and apply. The file holds no secret and can be posted for review: it has salted digests of what the
plan was made from, and those of what holds a secret are slow to guess at (Argon2id). It is not written when the plan failed for a host.

Exit status: 0, or 1 on an error; with --detailed-exitcode 2 when there are differences.`,
		Args: complete.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runPlan(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addReplaceFlag(cmd, &o.replace, complete)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the plan as JSON")
	cmd.Flags().Var(&o.out, "out", "save the plan in `FILE`, which apply takes")
	cmd.Flags().BoolVar(&o.detailed, "detailed-exitcode", false, "exit with 2 when there are differences")
	o.reports.addFlag(cmd)
	return cmd
}

func newDriftCommand(g *global) *cobra.Command {
	o := planOptions{detailed: true}
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Tell whether hosts differ from the configuration",
		Long: `Observe the hosts and show what differs from the configuration, as plan does. Made for timers and CI.

Exit status: 0 no differences, 2 differences, 1 an error: a host that was not reached is an error, not a difference.`,
		Args: completer{g, &o.configFlags}.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runPlan(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the differences as JSON")
	o.reports.addFlag(cmd)
	return cmd
}

func runPlan(ctx context.Context, g *global, w *observer, o planOptions) error {
	of := o.options(g, w, "")
	of.Selection.Replace = o.replace
	r, err := run.New(of, w)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := r.NewPlan(ctx, run.Aim{Once: true, Brief: o.out == "" && len(o.reports) == 0})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := showPass(g, p, o.asJSON); err != nil {
		return err
	}
	if o.out != "" {
		if err := p.Save(string(o.out)); err != nil {
			return err
		}
	}
	switch {
	case p.Plan.Failed():
		return errReported
	case o.detailed && p.Plan.Counts().Changes() > 0:
		return errDifferences
	}
	return nil
}

// showPass prints a plan whose problems were printed as diagnostics.
func showPass(g *global, p *run.Pass, asJSON bool) error {
	return showPlan(g, p.Plan, asJSON, ui.PlanOptions{OmitProblems: true, Waves: p.Waves()})
}

func showPlan(g *global, plan *engine.Plan, asJSON bool, o ui.PlanOptions) error {
	if !asJSON {
		g.ui.Plan(plan, o)
		return nil
	}
	text, err := report.FromPlan(plan).JSON()
	if err != nil {
		return err
	}
	g.print("%s\n", text)
	return nil
}
