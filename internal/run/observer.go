package run

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// ErrReported is the error of a run whose Observer has heard already what went wrong.
var ErrReported = errors.New("already reported")

// Observer hears what happens in a run. Its methods may be called by many goroutines at once.
type Observer interface {
	// Note, Warning and Error hear what has no place in the configuration.
	Note(text string)
	Warning(text string)
	Error(err error)
	// Diagnostics hears what the configuration has against itself, and hosts against it.
	Diagnostics(diags hcl.Diagnostics, files map[string]*hcl.File)

	// Prepared hears of a run before anything is reached.
	Prepared(r *Run)
	// Hosts hears which hosts are about to be observed.
	Hosts(names []string)
	// Observed hears of a plan that was made, before its problems are told.
	Observed(plan *engine.Plan)
	// Planned hears of a plan that was made and may be applied.
	Planned(plan *engine.Plan)
	// Applied hears what came of the plan that Planned heard of last.
	Applied(result *engine.Result)
	// Progress begins to show what happens on hosts. report is for what an engine.Fleet reports;
	// end is called before anything else is shown.
	Progress(hosts []string) (report func(engine.Progress), end func())
	// Tell hears what happens on a host where it is not shown.
	Tell(e engine.Progress)
	// Transfer shows how far the sync of a job is; Sync hears of it now and then.
	Transfer(job string, t syncs.Transfer)
	Sync(e syncs.Event)
	// Wave hears that a wave begins which changes hosts: number n, from 1, of all.
	Wave(n, all int, w engine.Wave)
}
