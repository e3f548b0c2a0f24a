package engine

import "errors"

// Outcome is how a host ended in an apply, in one word.
type Outcome string

// The outcomes. RolledBack is a host on which all went well and that was taken back with its wave; one that failed itself is Failed, however it was
// left.
const (
	Unchanged   Outcome = "unchanged"
	Changed     Outcome = "changed"
	Failed      Outcome = "failed"
	Unreachable Outcome = "unreachable"
	RolledBack  Outcome = "rolled back"
	NotStarted  Outcome = "not started"
)

// Good tells whether the host is as wanted.
func (o Outcome) Good() bool { return o == Unchanged || o == Changed }

// ErrNotStarted is in the error of a host that an apply did not begin with, which says why.
var ErrNotStarted = errors.New("not started")

// ErrWaveRolledBack is in the error of a host that was taken back with its wave.
var ErrWaveRolledBack = errors.New("taken back with its wave")

// Outcome tells how the host ended. An error with a method Unreachable() bool that is true makes it Unreachable, where nothing was done.
func (r *HostResult) Outcome() Outcome {
	untouched := r.State == Untouched || r.State == ""
	var u interface{ Unreachable() bool }
	switch {
	case r.Err == nil && len(r.Done) > 0:
		return Changed
	case r.Err == nil:
		return Unchanged
	case errors.Is(r.Err, ErrNotStarted):
		return NotStarted
	case errors.Is(r.Err, ErrWaveRolledBack) && r.State == TakenBack:
		return RolledBack
	case untouched && errors.As(r.Err, &u) && u.Unreachable():
		return Unreachable
	}
	return Failed
}
