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

// addLogFlags adds what says how much is told of the work on hosts.
func (a *app) addLogFlags(flags *pflag.FlagSet) {
	flags.CountVarP(&a.logging.verbose, "verbose", "v", "log what is done on each host, and how long it takes; twice: also each message on the wire, by kind and size")
	flags.StringVar(&a.logging.level, "log-level", "", "log from `LEVEL` on: info (as -v), warn, error or trace (as -vv)")
	flags.StringVar(&a.logging.format, "log-format", "text", "`FORMAT` of the log: text or json")
	flags.StringVar(&a.logging.file, "log-file", "", "append the log to `FILE`, in place of writing it to standard error")
}

var logLevels = map[string]slog.Level{"info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError, "trace": runlog.LevelTrace}

// startLog begins the log, if one is wanted.
func (a *app) startLog(cmd *cobra.Command) error {
	if cmd.Flags().Lookup("log-level") == nil {
		return nil
	}
	o := a.logging
	if o.format != "text" && o.format != "json" {
		return fmt.Errorf("--log-format is %q: it takes text or json", o.format)
	}
	level, known := logLevels[o.level]
	switch {
	case o.level == "" && o.verbose == 0 && o.file == "":
		return nil
	case o.level != "" && !known:
		return fmt.Errorf("--log-level is %q: it takes info, warn, error or trace", o.level)
	case o.verbose > 1:
		level = runlog.LevelTrace
	}
	w := a.ui.Stderr()
	if o.file != "" {
		f, err := os.OpenFile(o.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("--log-file: %w", err)
		}
		a.logFile = &logFile{file: f}
		w = a.logFile
	}
	a.log = runlog.New(w, o.format == "json", level)
	return nil
}

// endLog closes the log's file, and returns the exit status: an error if the log could not be written.
func (a *app) endLog(status int) int {
	if a.logFile == nil {
		return status
	}
	if err := a.logFile.close(); err != nil {
		a.ui.Error(fmt.Errorf("--log-file: %w", err))
		return exitError
	}
	return status
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
