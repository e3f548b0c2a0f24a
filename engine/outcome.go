package engine

import "errors"

// Outcome is the result of an apply on one host, in one word.
type Outcome string

// The outcomes. A host is RolledBack if all its steps succeeded and it was rolled back with its
// wave. A host that failed itself is Failed, in whatever state it was left.
const (
	Unchanged   Outcome = "unchanged"
	Changed     Outcome = "changed"
	Failed      Outcome = "failed"
	Unreachable Outcome = "unreachable"
	RolledBack  Outcome = "rolled back"
	NotStarted  Outcome = "not started"
)

// Good reports whether the host is as wanted.
func (o Outcome) Good() bool { return o == Unchanged || o == Changed }

// ErrNotStarted is in the error of a host that an apply skipped. The error contains the reason.
var ErrNotStarted = errors.New("not started")

// ErrWaveRolledBack is in the error of a host that was rolled back with its wave.
var ErrWaveRolledBack = errors.New("rolled back with its wave")

// Outcome returns the outcome of the host. If nothing was changed, an error with a method
// Unreachable() bool that returns true makes it Unreachable.
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
