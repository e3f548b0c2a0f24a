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

// logFlags are the flags of the log of a run.
type logFlags struct {
	verbose             int
	level, format, file string
}

// add adds the flags.
func (f *logFlags) add(flags *pflag.FlagSet) {
	flags.CountVarP(&f.verbose, "verbose", "v", // without a value, which the empty name says
		"``log what is done on each host, and how long it takes; "+
			"-vv also logs each message on the wire, by kind and size")
	flags.StringVar(&f.level, "log-level", "", "log from `LEVEL` up: trace (as -vv), info (as -v), warn or error")
	flags.StringVar(&f.format, "log-format", "text", "write the log in `FORMAT`: text or json")
	flags.StringVar(&f.file, "log-file", "", "append the log to `FILE` instead of writing it to standard error")
}

var logLevels = map[string]slog.Level{
	"trace": runlog.LevelTrace, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// start begins the log, or returns nil if none is wanted. The log ends with the command; if it
// could not be written, the exit status is 1.
func (f *logFlags) start(g *global, cmd *cobra.Command) (*runlog.Log, error) {
	if cmd.Flags().Lookup("log-level") == nil {
		return nil, nil
	}
	if f.format != "text" && f.format != "json" {
		return nil, fmt.Errorf("invalid value %q for --log-format: it takes text or json", f.format)
	}
	level, known := logLevels[f.level]
	switch {
	case f.level == "" && f.verbose == 0 && f.file == "":
		return nil, nil
	case f.level != "" && !known:
		return nil, fmt.Errorf("invalid value %q for --log-level: it takes trace, info, warn or error", f.level)
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

// logFile is a file that remembers its first error, which log/slog ignores. It needs no lock, since
// the handlers of log/slog write one record at a time.
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
