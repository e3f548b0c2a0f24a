package cli

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/events"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/spf13/cobra"
)

// addEventsFlag adds the flag for a stream of events.
func (a *app) addEventsFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.eventsTo, "events", "", "write what happens as JSON lines to `FILE`, - (standard output; all else goes to standard error) or fd:N; see docs/events.md")
}

// startEvents opens the stream of events, if one is wanted.
func (a *app) startEvents(cmd *cobra.Command) error {
	if flag := cmd.Flags().Lookup("events"); flag == nil || !flag.Changed {
		return nil
	}
	if a.eventsTo == events.Stdout {
		if flag := cmd.Flags().Lookup("json"); flag != nil && flag.Changed {
			return errors.New("--json and --events - both print to standard output: give one of them a file")
		}
	}
	w, err := events.Open(a.eventsTo)
	if err != nil {
		return err
	}
	if a.eventsTo == events.Stdout {
		// A reader that has gone is an error of writing, and must not end an apply in the middle.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
		a.out = a.err
		a.ui.ToStderr()
	}
	_, command, _ := strings.Cut(cmd.CommandPath(), " ")
	a.events = events.NewStream(w, Version(), command)
	return nil
}

// endEvents writes the last event, and returns the exit status: an error if events could not be written.
func (a *app) endEvents(status int, err error) int {
	if errors.Is(err, errReported) || errors.Is(err, errDifferences) {
		err = nil // it was told as a diagnostic, or of hosts
	}
	if err := a.events.Close(status, err); err != nil {
		a.ui.Error(err)
		return exitError
	}
	return status
}

// reporter returns what is told of each thing that happens on hosts.
func (a *app) reporter(p *ui.Progress) func(engine.Progress) {
	if a.events == nil && a.log == nil {
		return p.Report
	}
	return func(e engine.Progress) {
		p.Report(e)
		a.tell(e)
	}
}

// tell tells those other than the terminal of what happens on a host.
func (a *app) tell(e engine.Progress) {
	a.events.Report(e)
	a.log.Report(e)
}
