package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/mirrorform/mirrorform/internal/runlog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// logFlags are what the flags say about the log of a run.
type logFlags struct {
	verbose             int
	level, format, file string
}

// add adds what says how much is told of the work on hosts.
func (f *logFlags) add(flags *pflag.FlagSet) {
	flags.CountVarP(&f.verbose, "verbose", "v", "log what is done on each host, and how long it takes; twice: also each message on the wire, by kind and size")
	flags.StringVar(&f.level, "log-level", "", "log from `LEVEL` on: info (as -v), warn, error or trace (as -vv)")
	flags.StringVar(&f.format, "log-format", "text", "`FORMAT` of the log: text or json")
	flags.StringVar(&f.file, "log-file", "", "append the log to `FILE`, in place of writing it to standard error")
}

var logLevels = map[string]slog.Level{"info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError, "trace": runlog.LevelTrace}

// start begins the log, if one is wanted. It ends with the exit status, which is that of an error
// if the log could not be written.
func (f *logFlags) start(g *global, cmd *cobra.Command) (*runlog.Log, error) {
	if cmd.Flags().Lookup("log-level") == nil {
		return nil, nil
	}
	if f.format != "text" && f.format != "json" {
		return nil, fmt.Errorf("--log-format is %q: it takes text or json", f.format)
	}
	level, known := logLevels[f.level]
	switch {
	case f.level == "" && f.verbose == 0 && f.file == "":
		return nil, nil
	case f.level != "" && !known:
		return nil, fmt.Errorf("--log-level is %q: it takes info, warn, error or trace", f.level)
	case f.verbose > 1:
		level = runlog.LevelTrace
	}
	w := g.ui.Stderr()
	if f.file != "" {
		opened, err := os.OpenFile(f.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, fmt.Errorf("--log-file: %w", err)
		}
		file := &logFile{file: opened}
		g.atEnd = append(g.atEnd, func(status int, _ error) int {
			if err := file.close(); err != nil {
				g.ui.Error(fmt.Errorf("--log-file: %w", err))
				return exitError
			}
			return status
		})
		w = file
	}
	return runlog.New(w, f.format == "json", level), nil
}

// logFile is a file that remembers the first error: log/slog passes over it. The handlers of log/slog write one record at a time.
type logFile struct {
	file *os.File
	err  error
}

func (f *logFile) Write(b []byte) (int, error) {
	n, err := f.file.Write(b)
	if f.err == nil {
		f.err = err
	}
	return n, err
}

func (f *logFile) close() error { return errors.Join(f.err, f.file.Close()) }
