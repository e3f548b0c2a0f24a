package cli

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/events"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/runlog"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// observerFlags say where else than to the terminal goes what happens in a run. Commands have some
// of them.
type observerFlags struct {
	log     logFlags
	events  string
	reports reportFiles
}

// observer is the run.Observer of a command: the terminal, and where flags want them the stream of
// events, the log and the result.
type observer struct {
	*ui.UI
	events *events.Stream // nil: none are wanted
	log    *runlog.Log    // nil: none is wanted
	result *collection    // nil without --report

	transfers *ui.Transfers // under way; of sync alone
}

var _ run.Observer = (*observer)(nil)

// observed runs a command with what its flags have observe it. The log and the events end with the
// exit status, and result files are written however the command ends; an error of these makes the
// exit status 1.
func (g *global) observed(cmd *cobra.Command, f *observerFlags, command func(*observer) error) error {
	w := &observer{UI: g.ui}
	var err error
	if w.log, err = f.log.start(g, cmd); err != nil {
		return err
	}
	if w.events, err = startEvents(g, cmd, f.events); err != nil {
		return err
	}
	return f.reports.written(g, cmd, f.events, func(c *collection) error {
		w.result = c
		return command(w)
	})
}

// Diagnostics hears what the configuration has against itself, and hosts against it.
func (w *observer) Diagnostics(diags hcl.Diagnostics, files map[string]*hcl.File) {
	w.UI.Diagnostics(diags, files)
	w.result.diagnosed(diags)
}

// Prepared hears of a run before anything is reached.
func (w *observer) Prepared(r *run.Run) { w.result.prepared(r) }

// Hosts hears which hosts are about to be observed.
func (w *observer) Hosts(names []string) { w.events.Hosts(names) }

// Observed hears of a plan that was made.
func (w *observer) Observed(plan *engine.Plan) { w.events.Plan(plan.Counts()) }

// Planned hears of a plan that may be applied.
func (w *observer) Planned(plan *engine.Plan) { w.result.planned(plan) }

// Applied hears what came of a plan.
func (w *observer) Applied(result *engine.Result) { w.result.applied(result) }

// Progress begins to show what happens on hosts.
func (w *observer) Progress(hosts []string) (report func(engine.Progress), end func()) {
	p := w.UI.Progress(hosts)
	if w.events == nil && w.log == nil {
		return w.result.timed(p.Report), p.Close
	}
	return w.result.timed(func(e engine.Progress) {
		p.Report(e)
		w.Tell(e)
	}), p.Close
}

// Transfer shows how far the sync of a job is.
func (w *observer) Transfer(job string, t syncs.Transfer) { w.transfers.Set(job, t) }

// Sync hears of a sync.
func (w *observer) Sync(e syncs.Event) { w.events.Sync(e) }

// Tell hears what happens on a host, and does not show it.
func (w *observer) Tell(e engine.Progress) {
	w.events.Report(e)
	w.log.Report(e)
}
