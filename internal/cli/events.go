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

// addEventsFlag adds --events.
func (f *observerFlags) addEventsFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.events, "events", "",
		"write events as JSON lines to `FILE`, fd:N, or - for standard output, "+
			"which moves the rest to standard error; see docs/events.md")
}

// startEvents opens the stream of events, or returns nil if none is wanted. The stream ends with
// the command; if events could not be written, the exit status is 1.
func startEvents(g *global, cmd *cobra.Command, to string) (*events.Stream, error) {
	if flag := cmd.Flags().Lookup("events"); flag == nil || !flag.Changed {
		return nil, nil
	}
	if to == events.Stdout {
		if flag := cmd.Flags().Lookup("json"); flag != nil && flag.Changed {
			return nil, errors.New("--json and --events - both write to standard output: use --events FILE")
		}
	}
	w, err := events.Open(to)
	if err != nil {
		return nil, err
	}
	if to == events.Stdout {
		// Without a handler, a reader that exits would end an apply half-way. With one, the write fails,
		// which is reported at the end.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
		g.out = g.err
		g.ui.ToStderr()
	}
	_, command, _ := strings.Cut(cmd.CommandPath(), " ")
	stream := events.NewStream(w, Version(), command)
	g.atEnd = append(g.atEnd, func(status int, err error) int {
		if errors.Is(err, errReported) || errors.Is(err, errDifferences) {
			err = nil // other events have reported it
		}
		if err := stream.Close(status, err); err != nil {
			g.ui.Error(err)
			return exitError
		}
		return status
	})
	return stream, nil
}
