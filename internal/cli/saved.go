package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

// outFile is the value of --out. An empty one is an error, so that an unset shell variable does not
// mean "do not save".
type outFile string

func (o *outFile) Set(s string) error {
	if s == "" {
		return errors.New("the file name is empty")
	}
	*o = outFile(s)
	return nil
}
func (o *outFile) String() string { return string(*o) }
func (o *outFile) Type() string   { return "FILE" }

func newShowCommand(g *global) *cobra.Command {
	var asJSON bool
	var view planView
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Print a saved plan",
		Long: `Print a plan that plan --out saved, as plan printed it. This needs neither the
configuration nor the hosts.`,
		Example: `mirrorform show fleet.plan
mirrorform show --json fleet.plan`,
		Args: oneArgument("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return runShow(g, args[0], asJSON, view) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON, as plan --json does")
	view.addFlags(cmd)
	return cmd
}

func runShow(g *global, file string, asJSON bool, v planView) error {
	saved, err := run.ReadSaved(file)
	if err != nil {
		return err
	}
	plan, err := saved.Plan()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	g.ui.Note(describeSaved(saved))
	return showPlan(g, plan, asJSON, v.printed())
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

// staleError is the error of a saved plan that no longer applies.
type staleError struct {
	reasons  []string
	detailed bool // --detailed-exitcode is given
}

func (e staleError) Error() string {
	return fmt.Sprintf("plan is stale, and no host was changed:\n- %s\nTo plan again: mirrorform plan --out FILE",
		strings.Join(e.reasons, "\n- "))
}

// status returns the exit status.
func (e staleError) status() int {
	if e.detailed {
		return exitDifferences
	}
	return exitError
}

func staleBy(differences []engine.Difference) error {
	var e staleError
	for _, d := range differences {
		e.reasons = append(e.reasons, d.String())
	}
	return e
}

// staleFor returns the error of a stale plan for one reason.
func staleFor(reason string) error { return staleError{reasons: []string{reason}} }

// runApplySaved plans again, and performs the plan if it is the saved one.
func runApplySaved(ctx context.Context, g *global, w *observer, o applyOptions, file string) error {
	of := o.options(g, w)
	if of.Selection.Narrows() || len(of.Selection.Target) > 0 || len(of.Selection.Replace) > 0 {
		return errors.New("--limit, --shard, --target and --replace are part of a saved plan and cannot be given with a FILE")
	}
	saved, err := run.ReadSaved(file)
	var format *engine.SavedFormatError
	switch {
	case errors.As(err, &format):
		return staleFor(err.Error())
	case err != nil:
		return err
	}
	if saved.Version != Version() {
		return staleFor(fmt.Sprintf("mirrorform %s made it; this is mirrorform %s, which may plan other steps",
			saved.Version, Version()))
	}
	of.Selection = run.Selection{Limit: saved.Limit, Target: saved.Target, Replace: saved.Replace}
	if saved.Shard != "" {
		if err := (*shardFlag)(&of.Selection.Shard).Set(saved.Shard); err != nil {
			return fmt.Errorf("%s: invalid shard %q: %w", file, saved.Shard, err)
		}
	}
	r, err := run.New(of, w)
	var none *run.NoHostError
	switch {
	case errors.As(err, &none):
		return staleFor("the configuration changed: " + err.Error())
	case err != nil:
		return err
	}
	defer r.Close()
	if differences := saved.HostDifferences(r.Hosts); len(differences) > 0 {
		return staleBy(differences)
	}
	p, err := r.NewPlan(ctx, r.Aim())
	if err != nil {
		return cmp.Or(interrupted(ctx), err)
	}
	defer p.Close()
	if err := interrupted(ctx); err != nil {
		return err
	}
	now, err := p.Saved(saved.Salt)
	if err != nil {
		return errors.Join(showPass(g, p, false, o.planView),
			fmt.Errorf("cannot compare %s with the hosts; no host was changed: %w", file, err))
	}
	if differences := saved.Differences(now); len(differences) > 0 {
		return staleBy(differences)
	}
	if err := showPass(g, p, false, o.planView); err != nil {
		return err
	}
	return applyPass(ctx, g, p)
}
