package syncs

import (
	"errors"
	"fmt"
)

// Statuses of the sync script besides rsync's own.
const (
	ExitHeld        = 65
	ExitEmpty       = 66
	ExitUnavailable = 69
	ExitNoRoom      = 73
	ExitUnclaimed   = 78
)

// rsyncErrors are what rsync's commonest exit statuses mean: rsync(1), EXIT VALUES.
var rsyncErrors = map[int]string{
	1: "rsync does not take its arguments", 5: "the upstream refused", 10: "the upstream could not be reached", 11: "a file could not be read or written",
	12: "the connection broke off", 20: "it was stopped", 23: "some files could not be transferred", 25: "it has deleted as many files as max_delete allows, and is held",
	30: "the upstream fell silent", 35: "the upstream did not answer", ExitNoRoom: "the storage would not hold it",
	ExitHeld: "it is held, since it would delete too many files", ExitEmpty: "the upstream is empty, or is not what was mirrored",
	ExitUnavailable: "its file system is not mounted, or the upstream cannot be reached", ExitUnclaimed: "its directory is not the claimed one",
}

// ExitError is the error of a sync's exit status, with what its output says of it.
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
