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
	replace []string
	planView
	asJSON, detailed bool
	out              outFile
}

func newPlanCommand(g *global) *cobra.Command {
	var o planOptions
	complete := completer{g, &o.configFlags}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `Show what differs between the configuration and the hosts, and the steps that
apply would perform. plan changes nothing and takes no lock.

Resources that this configuration has applied and no longer declares are planned
for removal. Data is released, never removed.

If the plans of three or more hosts differ in nothing but each host's own name
and address, they are printed once, with marks such as ‹host› instead, and new
files that mirrorform generates are summed up. --expand prints each host;
--compact prints a line for each change.

--out also saves the plan, for show and apply. The file contains no secrets and
can be posted for review: it has salted digests of what the plan was made from,
and those of secrets are slow to guess (Argon2id). It is not written if the plan
of a host failed.

Exit status: 0 done, 1 error; with --detailed-exitcode 2 if there are
differences.`,
		Example: `# All hosts, or the hosts of one country
mirrorform plan
mirrorform plan --limit country=DE

# Save the plan, read it again, and apply just that
mirrorform plan --out fleet.plan
mirrorform show fleet.plan
mirrorform apply fleet.plan

# In CI: a summary for people, and exit status 2 if there are differences
mirrorform plan --detailed-exitcode --report markdown=plan.md`,
		Args: complete.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runPlan(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	addReplaceFlag(cmd, &o.replace, complete)
	cmd.Flags().Var(&o.out, "out", "also save the plan in `FILE`, for show and apply")
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.detailed, "detailed-exitcode", false, "exit with 2 if there are differences")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the plan as JSON")
	o.reports.addFlag(cmd)
	return cmd
}

func newDriftCommand(g *global) *cobra.Command {
	o := planOptions{detailed: true}
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Check whether hosts differ from the configuration",
		Long: `Show what differs between the configuration and the hosts, as plan does, with an
exit status for timers and CI. drift changes nothing and takes no lock.

Exit status: 0 no differences, 1 error, 2 differences. An unreachable host is an
error, even if other hosts differ.`,
		Example: `mirrorform drift
mirrorform drift --limit @failed
mirrorform drift --quiet --report junit=drift.xml --report json=drift.json`,
		Args: completer{g, &o.configFlags}.none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return runPlan(cmd.Context(), g, w, o) })
		},
	}
	o.add(g, cmd)
	o.addEventsFlag(cmd)
	o.addFlags(cmd)
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
	aim := r.Aim()
	aim.Brief = o.out == "" && len(o.reports) == 0
	p, err := r.NewPlan(ctx, aim)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := showPass(g, p, o.asJSON, o.planView); err != nil {
		return err
	}
	if note := oldFacts(g.today()); note != "" && r.AlmaLinux() {
		w.Note(note)
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

// showPass prints a plan, and what is known of its rollout. Its problems have already been printed
// as diagnostics.
func showPass(g *global, p *run.Pass, asJSON bool, v planView) error {
	defer p.Foretell()
	o := v.printed()
	o.OmitProblems, o.Waves = true, p.Waves()
	return showPlan(g, p.Plan, asJSON, o)
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
