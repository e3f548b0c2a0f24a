package run

import (
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// ErrReported is the error of a run whose Observer has already reported what went wrong.
var ErrReported = errors.New("already reported")

// Observer receives the events of a run. Many goroutines may call its methods at once.
type Observer interface {
	// Note, Warning and Error receive messages without a position in the configuration.
	Note(text string)
	Warning(text string)
	Error(err error)
	// Diagnostics receives problems of the configuration, on its own and on its hosts.
	Diagnostics(diags hcl.Diagnostics, files map[string]*hcl.File)

	// Prepared is called before the run connects to any host.
	Prepared(r *Run)
	// Hosts is called with the hosts that are about to be observed.
	Hosts(names []string)
	// Observed receives each plan, before its problems are reported.
	Observed(plan *engine.Plan)
	// Planned receives a plan that may be applied, after its problems are reported.
	Planned(plan *engine.Plan)
	// Applied receives the result of the last plan that Planned received.
	Applied(result *engine.Result)
	// Progress starts to show the progress of hosts. The run passes the events of a plan or an apply
	// to report, and calls end before anything else is shown.
	Progress(hosts []string) (report func(engine.Progress), end func())
	Tell(e engine.Progress) // receives an event of a host whose progress is not shown
	// Transfer shows the progress of a job's sync. Sync receives it less often, for logs.
	Transfer(job string, t syncs.Transfer)
	Sync(e syncs.Event)
	// Wave is called when a wave with changes starts: number n, from 1, of all.
	Wave(n, all int, w engine.Wave)
}
