package engine

// Stage is how far the work on a host is.
type Stage string

// The stages that an observer receives. Each host begins with Connecting and ends with Planned or
// Unplanned. If it has changes to apply, it then ends with Applied or NotApplied, with step stages
// in between. Unplanned can follow Planned, if the host's machine turns out to be another host too.
const (
	Connecting   Stage = "connecting"
	Connected    Stage = "connected"
	Waiting      Stage = "waiting" // for the lock; Summary names its holder
	Begun        Stage = "begun"   // the host's lock is taken
	Noted        Stage = "noted"   // Summary describes something that the plan does not contain
	Observing    Stage = "observing"
	Planned      Stage = "planned"
	Unplanned    Stage = "unplanned"
	StepStarted  Stage = "step-started"
	StepProgress Stage = "step-progress" // what a step has done so far, while it takes long
	StepDone     Stage = "step-done"
	StepFailed   Stage = "step-failed"
	StepUndone   Stage = "step-undone"
	UndoneFailed Stage = "undo-failed"
	Confirming   Stage = "confirming" // all steps are done; the host is observed again
	Committing   Stage = "committing"
	Held         Stage = "held" // everything but the commit is done; it waits for the rest of the wave
	Applied      Stage = "applied"
	NotApplied   Stage = "not-applied"
)

// Progress is an event on one host.
type Progress struct {
	Host        string
	Stage       Stage
	Address     string // the resource, with step stages
	Summary     string // the step, with step stages; a message with Waiting and Noted
	Done, Total int    // steps, during an apply
	Files       int64  // with StepProgress: that the step has labelled
	Err         error  // with Unplanned, StepFailed, UndoneFailed and NotApplied
}

// Report receives progress, from many goroutines at once.
type Report func(Progress)

// Unreported is a Report that drops everything.
func Unreported(Progress) {}
