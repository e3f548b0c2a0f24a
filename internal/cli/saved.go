package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// outFile is the value of --out. An empty one is an error, so that an unset variable of a shell does not mean "do not save".
type outFile string

func (o *outFile) Set(s string) error {
	if s == "" {
		return errors.New("the name of the file is empty")
	}
	*o = outFile(s)
	return nil
}
func (o *outFile) String() string { return string(*o) }
func (o *outFile) Type() string   { return "FILE" }

func (a *app) showCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Print a saved plan",
		Long:  "Print a plan that plan --out saved, as plan printed it. That needs neither the configuration nor the hosts.",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			saved, err := readSaved(args[0])
			if err != nil {
				return err
			}
			plan, err := saved.Plan()
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			a.ui.Note(describeSaved(saved))
			return a.showPlan(plan, asJSON, ui.PlanOptions{})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON, as plan --json does")
	return cmd
}

// describeSaved says when and how a plan was made.
func describeSaved(s *engine.SavedPlan) string {
	text := fmt.Sprintf("Planned %s by mirrorform %s", s.Time.Format(time.RFC3339), s.Version)
	for _, l := range s.Limit {
		text += " --limit " + l
	}
	if s.Shard != "" {
		text += " --shard " + s.Shard
	}
	for _, t := range s.Target {
		text += " --target " + t
	}
	for _, address := range s.Replace {
		text += " --replace " + address
	}
	return text + "."
}

// save writes a plan of this run to a file that only its owner may read: what is not secret need not be public.
func (r *run) save(plan *engine.Plan, file string) error {
	saved, err := r.saved(plan, engine.NewNonce())
	if err != nil {
		return fmt.Errorf("%s was not written: %w", file, err)
	}
	text, err := saved.Encode()
	if err != nil {
		return err
	}
	if err := writeAtomically(file, text, 0o600); err != nil {
		return err
	}
	r.ui.Note(fmt.Sprintf("The plan is saved. To perform it and nothing else: mirrorform apply %s", file))
	return nil
}

func (r *run) saved(plan *engine.Plan, salt string) (*engine.SavedPlan, error) {
	limit, err := r.savedLimit()
	if err != nil {
		return nil, err
	}
	return engine.Save(plan, engine.SaveOptions{
		Version: Version(), Time: time.Now(), Salt: salt, Limit: limit, Shard: r.shard.String(), Target: r.target, Replace: r.replace,
	})
}

func readSaved(file string) (*engine.SavedPlan, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	saved, err := engine.DecodeSaved(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return saved, nil
}

// errStale is the error of a saved plan that does not hold any more, with the reasons.
func errStale(reasons ...string) error {
	return fmt.Errorf("plan is stale, and nothing was changed on any host:\n- %s\nPlan again with: mirrorform plan --out FILE", strings.Join(reasons, "\n- "))
}

func staleBy(differences []engine.Difference) error {
	var reasons []string
	for _, d := range differences {
		reasons = append(reasons, d.String())
	}
	return errStale(reasons...)
}

// applySaved plans again, and performs the plan if it is the saved one.
func (a *app) applySaved(ctx context.Context, file string) error {
	if len(a.limit) > 0 || len(a.target) > 0 || len(a.replace) > 0 || a.shard.parts > 0 {
		return errors.New("a saved plan has its own --limit, --shard, --target and --replace: they cannot be given with a FILE")
	}
	saved, err := readSaved(file)
	if err != nil {
		return err
	}
	if saved.Version != Version() {
		return errStale(fmt.Sprintf("mirrorform %s made it, and this is mirrorform %s, whose steps may be others", saved.Version, Version()))
	}
	a.limit, a.target, a.replace = saved.Limit, saved.Target, saved.Replace
	if saved.Shard != "" {
		if err := a.shard.Set(saved.Shard); err != nil {
			return fmt.Errorf("%s: its shard %q: %w", file, saved.Shard, err)
		}
	}
	r, err := a.newRun("apply")
	var none *noHostError
	switch {
	case errors.As(err, &none):
		return errStale("the configuration changed: " + err.Error())
	case err != nil:
		return err
	}
	defer r.close()
	if differences := saved.HostDifferences(r.hosts); len(differences) > 0 {
		return staleBy(differences)
	}
	plan, err := r.plan(ctx)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	now, err := r.saved(plan, saved.Salt)
	if err != nil {
		return errors.Join(r.show(plan, false), fmt.Errorf("%s cannot be compared with the hosts, and nothing was changed on any of them: %w", file, err))
	}
	if differences := saved.Differences(now); len(differences) > 0 {
		return staleBy(differences)
	}
	if err := r.show(plan, false); err != nil {
		return err
	}
	if plan.Counts().Changes() == 0 {
		return r.adopt(ctx, plan)
	}
	return r.perform(ctx, plan)
}
