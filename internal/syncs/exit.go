package syncs

import (
	"cmp"
	"errors"
	"fmt"
)

// The exit statuses of the sync program besides rsync's own.
const (
	ExitHeld        = 65
	ExitEmpty       = 66
	ExitUnavailable = 69
	ExitNoRoom      = 73
	ExitUnclaimed   = 78
	ExitTimeLimit   = 124

	exitMaxDelete = 25 // rsync's
)

// rsyncErrors explains the most common exit statuses: rsync(1), EXIT VALUES.
var rsyncErrors = map[int]string{
	1: "rsync rejected its arguments", 5: "the upstream refused the connection", 10: "the upstream could not be reached",
	11: "a file could not be read or written", 12: "the connection was lost", 20: "it was stopped",
	23: "some files could not be transferred", exitMaxDelete: "it has deleted as many files as max_delete allows, and later syncs are held",
	30: "the upstream stopped sending", 35: "the upstream did not answer", ExitNoRoom: "not enough free space on the file system",
	ExitHeld:        "it is held, since it would delete too many files",
	ExitEmpty:       "the upstream is empty, or is not the mirrored tree",
	ExitUnavailable: "its file system is not mounted, or the upstream cannot be reached",
	ExitUnclaimed:   "its directory is not the claimed one",
	ExitTimeLimit:   "it was ended at its time limit, and the next one continues",
}

// results are the results of syncs that have a name of their own, by exit status.
var results = map[int]string{
	exitMaxDelete: "held", ExitHeld: "held", ExitEmpty: "upstream empty", ExitUnclaimed: "wrong directory", ExitTimeLimit: "time limit",
}

// Result returns the result in words: "done", "unchanged", or why the sync failed with its exit
// status, such as "held (65)".
func (r *Record) Result() string {
	word := "done"
	switch {
	case r.Unchanged:
		return "unchanged"
	case !r.Succeeded():
		word = cmp.Or(r.Full(), results[r.Exit], "failed")
	case r.Exit == 0:
		return word
	}
	return fmt.Sprintf("%s (%d)", word, r.Exit)
}

// ExitError returns the error of a sync's exit status, with the errors in its output.
func ExitError(exit int, output string) error {
	if (&Record{Exit: exit}).Succeeded() {
		return nil
	}
	text := fmt.Sprintf("the sync failed with status %d", exit)
	if why := rsyncErrors[exit]; why != "" {
		text += ": " + why
	}
	for _, line := range complaints(output) {
		text += "\n" + line
	}
	return errors.New(text)
}
