package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// Exit statuses.
const (
	exitDone        = 0
	exitError       = 1
	exitDifferences = 2
)

// errReported is the error of a command that has already reported what went wrong.
var errReported = run.ErrReported

// errDifferences makes a command exit with status 2.
var errDifferences = errors.New("there are differences")

// exitStatus is the error of a command that exits with the status of a program that it ran.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// global is what all commands share: the streams, and the global flags.
type global struct {
	in       *os.File
	out, err *os.File
	ui       *ui.UI
	types    *engine.Registry // of resources
	today    func() time.Time

	chdir string
	color string
	quiet bool

	printFailed error
	// atEnd are called with the exit status and the error when the command has ended, the last one
	// first. Each returns the exit status, which it may change.
	atEnd []func(status int, err error) int
}

// status prints the error of a command, unless it was reported, and returns the exit status.
func (g *global) status(err error) int {
	var status exitStatus
	var stale staleError
	switch {
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &stale):
		g.ui.Error(err)
		return stale.status()
	case err == nil:
		if err := cmp.Or(g.printFailed, g.ui.Err()); err != nil {
			g.ui.Error(fmt.Errorf("cannot write the output: %w", err))
			return exitError
		}
		return exitDone
	case errors.Is(err, errDifferences):
		return exitDifferences
	case errors.Is(err, errReported):
		return exitError
	default:
		g.ui.Error(err)
		return exitError
	}
}

// print writes to standard output. An error there, such as a full disk, makes the exit status 1.
func (g *global) print(format string, args ...any) {
	if _, err := fmt.Fprintf(g.out, format, args...); err != nil && g.printFailed == nil {
		g.printFailed = err
	}
}

// note writes to standard error.
func (g *global) note(format string, args ...any) {
	_, _ = fmt.Fprintf(g.err, format, args...)
}

// printJSON prints a document.
func (g *global) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	g.print("%s\n", text)
	return nil
}
