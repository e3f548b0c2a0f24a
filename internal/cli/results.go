package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/events"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

// stdoutName is the name of standard output as a FILE.
const stdoutName = "-"

// stepSummaryVar names the file of a step's summary in GitHub Actions. Every program of the step
// appends to it.
const stepSummaryVar = "GITHUB_STEP_SUMMARY"

// reportFile is one --report FORMAT=FILE.
type reportFile struct {
	format, file string
	render       report.Renderer
}

// reportFiles is the value of --report.
type reportFiles []reportFile

func (f *reportFiles) Set(s string) error {
	format, file, ok := strings.Cut(s, "=")
	if !ok || file == "" {
		return fmt.Errorf("it takes FORMAT=FILE, such as json=result.json; the formats are %s",
			strings.Join(report.Formats(), ", "))
	}
	render, err := report.RendererOf(format)
	if err != nil {
		return err
	}
	*f = append(*f, reportFile{format, file, render})
	return nil
}
func (f *reportFiles) String() string { return "" }
func (f *reportFiles) Type() string   { return "FORMAT=FILE" }

// toStdout reports whether one of the files is standard output.
func (f reportFiles) toStdout() bool {
	return slices.ContainsFunc(f, func(r reportFile) bool { return r.file == stdoutName })
}

// addFlag adds --report to a command.
func (f *reportFiles) addFlag(cmd *cobra.Command) {
	cmd.Flags().Var(f, "report", "write the result to a file, as `FORMAT=FILE`: "+strings.Join(report.Formats(), ", ")+
		"; - is standard output (can be repeated)")
	_ = cmd.RegisterFlagCompletionFunc("report", completeReport)
}

func completeReport(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for _, f := range report.Formats() {
		list = append(list, f+"=")
	}
	return list, cobra.ShellCompDirectiveNoSpace
}

// written runs a command and then writes the result files, also if the command failed. If a file
// cannot be written, the exit status is 1. eventsTo is where the command's events go.
func (f reportFiles) written(g *global, cmd *cobra.Command, eventsTo string, command func(*collection) error) error {
	if len(f) == 0 {
		return command(nil)
	}
	if err := f.check(cmd, eventsTo); err != nil {
		return err
	}
	if f.toStdout() {
		g.ui.ToStderr() // the output for people
	}
	c := &collection{command: cmd.Name(), dir: g.chdir, start: now(), spent: map[string]time.Duration{}}
	err := command(c)
	unwritten := f.write(g, c.result(err))
	switch {
	case unwritten == nil:
		return err
	case err == nil, errors.Is(err, errReported), errors.Is(err, errDifferences):
		return unwritten
	}
	return errors.Join(err, unwritten)
}

// check finds what would keep the files from being written, before a command connects to a host.
func (f reportFiles) check(cmd *cobra.Command, eventsTo string) error {
	stdout := 0
	for _, r := range f {
		if r.file == stdoutName {
			stdout++
			continue
		}
		if info, err := os.Stat(filepath.Dir(r.file)); err != nil || !info.IsDir() {
			return fmt.Errorf("--report %s=%s: directory %s not found", r.format, r.file, filepath.Dir(r.file))
		}
	}
	json := cmd.Flags().Lookup("json")
	switch {
	case stdout > 1:
		return errors.New("only one --report can write to standard output")
	case stdout == 1 && json != nil && json.Changed:
		return errors.New("--json and --report FORMAT=- cannot both write to standard output")
	case stdout == 1 && eventsTo == events.Stdout:
		return errors.New("--events - and --report FORMAT=- cannot both write to standard output")
	}
	return nil
}

func (f reportFiles) write(g *global, r *report.Result) error {
	var errs []error
	for _, one := range f {
		if err := one.write(g, r); err != nil {
			errs = append(errs, fmt.Errorf("cannot write the result: %w", err))
		}
	}
	return errors.Join(errs...)
}

// write replaces a regular file as a whole, writes into a file of another type, such as a pipe, and
// appends to the summary of a step in GitHub Actions.
func (f reportFile) write(g *global, r *report.Result) error {
	o := report.Options{Version: Version()}
	summary := f.isStepSummary()
	info, err := os.Stat(f.file)
	if summary && err == nil {
		// What other programs wrote there counts towards the limit.
		o.Limit = max(report.SummaryLimit-int(min(info.Size(), report.SummaryLimit)), 1)
	}
	text, err2 := f.render(r, o)
	switch {
	case err2 != nil:
		return fmt.Errorf("%s: %w", f.format, err2)
	case f.file == stdoutName:
		g.print("%s", text)
		return nil
	case summary:
		return appendTo(f.file, os.O_APPEND, text)
	case err == nil && !info.Mode().IsRegular():
		return appendTo(f.file, 0, text)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return run.WriteAtomically(f.file, text, 0o644)
}

// isStepSummary reports whether the file is the summary of a step in GitHub Actions.
func (f reportFile) isStepSummary() bool {
	name := os.Getenv(stepSummaryVar)
	if f.format != "markdown" || name == "" {
		return false
	}
	one, err := os.Stat(f.file)
	other, err2 := os.Stat(name)
	return err == nil && err2 == nil && os.SameFile(one, other)
}

func appendTo(name string, flags int, text []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|flags, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}
