package cli

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/mirrorform/mirrorform/internal/events"
	"github.com/spf13/cobra"
)

// addEventsFlag adds the flag for a stream of events.
func (f *observerFlags) addEventsFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.events, "events", "", "write what happens as JSON lines to `FILE`, - (standard output; all else goes to standard error) or fd:N; see docs/events.md")
}

// startEvents opens the stream of events, if one is wanted. It ends with the exit status, which is
// that of an error if events could not be written.
func startEvents(g *global, cmd *cobra.Command, to string) (*events.Stream, error) {
	if flag := cmd.Flags().Lookup("events"); flag == nil || !flag.Changed {
		return nil, nil
	}
	if to == events.Stdout {
		if flag := cmd.Flags().Lookup("json"); flag != nil && flag.Changed {
			return nil, errors.New("--json and --events - both print to standard output: give one of them a file")
		}
	}
	w, err := events.Open(to)
	if err != nil {
		return nil, err
	}
	if to == events.Stdout {
		// A reader that has gone is an error of writing, and must not end an apply in the middle.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
		g.out = g.err
		g.ui.ToStderr()
	}
	_, command, _ := strings.Cut(cmd.CommandPath(), " ")
	stream := events.NewStream(w, Version(), command)
	g.atEnd = append(g.atEnd, func(status int, err error) int {
		if errors.Is(err, errReported) || errors.Is(err, errDifferences) {
			err = nil // it was told as a diagnostic, or of hosts
		}
		if err := stream.Close(status, err); err != nil {
			g.ui.Error(err)
			return exitError
		}
		return status
	})
	return stream, nil
}
