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

// observerFlags say where besides the terminal a run is reported. Most commands have only some of
// them.
type observerFlags struct {
	log     logFlags
	events  string
	reports reportFiles
}

// observer is the run.Observer of a command. It passes what happens to the terminal and, if flags
// ask for them, to the stream of events, the log and the result.
type observer struct {
	*ui.UI
	events *events.Stream // nil without --events
	log    *runlog.Log    // nil without -v, --log-level or --log-file
	result *collection    // nil without --report

	transfers *ui.Transfers // that are running; only for sync
}

var _ run.Observer = (*observer)(nil)

// observed runs a command with the observers that its flags ask for. However the command ends, the
// log and the events are closed and result files are written; if that fails, the exit status is 1.
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

// Diagnostics reports problems of the configuration, and of the configuration with a host.
func (w *observer) Diagnostics(diags hcl.Diagnostics, files map[string]*hcl.File) {
	w.UI.Diagnostics(diags, files)
	w.result.diagnosed(diags)
}

// Prepared receives a run before it connects to a host.
func (w *observer) Prepared(r *run.Run) { w.result.prepared(r) }

// Hosts receives the hosts that are about to be observed.
func (w *observer) Hosts(names []string) { w.events.Hosts(names) }

// Observed receives a plan that was made.
func (w *observer) Observed(plan *engine.Plan) { w.events.Plan(plan.Counts()) }

// Planned receives a plan that may be applied.
func (w *observer) Planned(plan *engine.Plan) { w.result.planned(plan) }

// Applied receives the result of a plan.
func (w *observer) Applied(result *engine.Result) { w.result.applied(result) }

// Progress starts to show what happens on hosts.
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

// Transfer shows the progress of a job's sync.
func (w *observer) Transfer(job string, t syncs.Transfer) { w.transfers.Set(job, t) }

// Sync receives an event of a sync.
func (w *observer) Sync(e syncs.Event) { w.events.Sync(e) }

// An event that the terminal does not show goes to the stream of events and the log.
func (w *observer) Tell(e engine.Progress) {
	w.events.Report(e)
	w.log.Report(e)
}
