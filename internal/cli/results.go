package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/events"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"github.com/spf13/cobra"
)

// stdoutName is the name of standard output as a FILE.
const stdoutName = "-"

// stepSummaryVar names GitHub Actions' file for a step's summary: every step and every program in it adds to that file.
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
		return fmt.Errorf("it takes FORMAT=FILE, such as json=result.json, with the formats %s", strings.Join(report.Formats(), ", "))
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

// toStdout tells whether one of the files is standard output.
func (f reportFiles) toStdout() bool {
	return slices.ContainsFunc(f, func(r reportFile) bool { return r.file == stdoutName })
}

// addReportFlag adds --report to a command, and has the files written when it ends, however it ends.
func (a *app) addReportFlag(cmd *cobra.Command) {
	cmd.Flags().Var(&a.reports, "report", "write the result to a file as `FORMAT=FILE`: "+strings.Join(report.Formats(), ", ")+"; - is standard output (may be given again)")
	_ = cmd.RegisterFlagCompletionFunc("report", completeReport)
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.reported(cmd, func() error { return run(cmd, args) })
	}
}

func completeReport(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for _, f := range report.Formats() {
		list = append(list, f+"=")
	}
	return list, cobra.ShellCompDirectiveNoSpace
}

// reported runs a command and writes the result files, if there are any to write. An error of these makes the exit status 1.
func (a *app) reported(cmd *cobra.Command, run func() error) error {
	if len(a.reports) == 0 {
		return run()
	}
	if err := a.checkReports(cmd); err != nil {
		return err
	}
	if a.reports.toStdout() {
		a.ui.ToStderr() // what is for people
	}
	a.collected = &collection{command: cmd.Name(), dir: a.chdir, start: now(), spent: map[string]time.Duration{}}
	err := run()
	unwritten := a.writeReports(a.collected.result(err))
	switch {
	case unwritten == nil:
		return err
	case err == nil, errors.Is(err, errReported), errors.Is(err, errDifferences):
		return unwritten
	}
	return errors.Join(err, unwritten)
}

// checkReports finds out before a host is reached what would keep the files from being written.
func (a *app) checkReports(cmd *cobra.Command) error {
	stdout := 0
	for _, r := range a.reports {
		if r.file == stdoutName {
			stdout++
			continue
		}
		if info, err := os.Stat(filepath.Dir(r.file)); err != nil || !info.IsDir() {
			return fmt.Errorf("--report %s=%s: there is no directory %s", r.format, r.file, filepath.Dir(r.file))
		}
	}
	json := cmd.Flags().Lookup("json")
	switch {
	case stdout > 1:
		return errors.New("--report can write one result to standard output, not several")
	case stdout == 1 && json != nil && json.Changed:
		return errors.New("--json and --report FORMAT=- cannot both write to standard output")
	case stdout == 1 && a.eventsTo == events.Stdout:
		return errors.New("--events - and --report FORMAT=- cannot both write to standard output")
	}
	return nil
}

func (a *app) writeReports(r *report.Result) error {
	var errs []error
	for _, f := range a.reports {
		if err := a.writeReport(r, f); err != nil {
			errs = append(errs, fmt.Errorf("the result was not written: %w", err))
		}
	}
	return errors.Join(errs...)
}

// writeReport replaces a file as a whole, but for one that is no regular file, which is written to, and GitHub's summary of a step, which is
// added to.
func (a *app) writeReport(r *report.Result, f reportFile) error {
	o := report.Options{Version: Version()}
	summary := isStepSummary(f)
	info, err := os.Stat(f.file)
	if summary && err == nil {
		// What others wrote there counts against the limit, too.
		o.Limit = max(report.SummaryLimit-int(min(info.Size(), report.SummaryLimit)), 1)
	}
	text, err2 := f.render(r, o)
	switch {
	case err2 != nil:
		return fmt.Errorf("%s: %w", f.format, err2)
	case f.file == stdoutName:
		a.print("%s", text)
		return nil
	case summary:
		return appendTo(f.file, os.O_APPEND, text)
	case err == nil && !info.Mode().IsRegular():
		return appendTo(f.file, 0, text)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return writeAtomically(f.file, text, 0o644)
}

// isStepSummary tells whether Markdown is to be written to the summary of a step of GitHub Actions.
func isStepSummary(f reportFile) bool {
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

// collection is what a command tells for its result. A nil one hears nothing: without --report there is nobody to tell.
type collection struct {
	command string
	dir     string // of the configuration
	start   time.Time

	run     *run
	hosts   []string // that the run is about
	sources string   // digest
	passes  []*pass
	verify  *report.Verify
	status  *report.Status

	mu       sync.Mutex
	problems []report.Problem
	spent    map[string]time.Duration // on hosts
}

// diagnosed is told of diagnostics that the user is shown.
func (c *collection) diagnosed(diags hcl.Diagnostics) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range diags {
		p := report.Problem{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			p.Severity = "warning"
		}
		if s := d.Subject; s != nil {
			p.File, p.Line, p.Column, p.EndLine, p.EndColumn = fromHere(s.Filename), s.Start.Line, s.Start.Column, s.End.Line, s.End.Column
		}
		if !slices.Contains(c.problems, p) {
			c.problems = append(c.problems, p)
		}
	}
}

// fromHere is a path from the working directory, where that is above it: so CI systems find the file in their checkout.
func fromHere(path string) string {
	if here, err := os.Getwd(); err == nil && filepath.IsAbs(path) {
		if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return filepath.Clean(path)
}

// prepared is told of a run before anything is reached.
func (c *collection) prepared(r *run) {
	if c == nil {
		return
	}
	c.run, c.hosts = r, r.names()
	c.sources = sourcesDigest(r.config.Files())
}

// narrowed is told of a run that leaves out hosts which were prepared for.
func (c *collection) narrowed(r *run) {
	if c != nil {
		c.hosts = r.names()
	}
}

// sourcesDigest tells configurations apart. Values of variables that come from elsewhere than files are not in it.
func sourcesDigest(files map[string]*hcl.File) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if ext := filepath.Ext(name); ext == ".hcl" || ext == ".hclvars" {
			all = append(all, filepath.Base(name), string(files[name].Bytes))
		}
	}
	return engine.Digest("mirrorform", "sources", all)
}

// timed hears of the progress of hosts while they are planned for or applied to, and passes it on. The time that a question to the user takes is in
// neither.
func (c *collection) timed(pass func(engine.Progress)) func(engine.Progress) {
	if c == nil {
		return pass
	}
	last := map[string]time.Time{}
	return func(p engine.Progress) {
		now := time.Now()
		c.mu.Lock()
		if before, ok := last[p.Host]; ok {
			c.spent[p.Host] += now.Sub(before)
		}
		last[p.Host] = now
		c.mu.Unlock()
		pass(p)
	}
}

// pass is a plan with what came of it. retire --delete-data makes two.
type pass struct {
	plan *engine.Plan
	done *engine.Result // nil: nothing was applied
}

func (c *collection) planned(plan *engine.Plan) {
	if c != nil {
		c.passes = append(c.passes, &pass{plan: plan})
	}
}

// applied is told of what came of the plan that planned was told of last.
func (c *collection) applied(done *engine.Result) {
	if c != nil {
		c.passes[len(c.passes)-1].done = done
	}
}

func (c *collection) verified(reports []*upstream.Report) {
	if c != nil {
		c.verify = &report.Verify{FormatVersion: verifyFormat, Mirrors: reports}
	}
}

// surveyed is told of a status, and of the plan that it was made from.
func (c *collection) surveyed(plan *engine.Plan, status *report.Status) {
	if c == nil {
		return
	}
	for _, h := range plan.Hosts {
		// Surveys are not of the configuration.
		all := len(h.Compared)
		h.Compared = slices.DeleteFunc(h.Compared, func(c engine.Compared) bool { return c.Resource.Kind == surveyKind })
		h.Unchanged -= all - len(h.Compared)
	}
	c.status = status
	c.planned(plan)
}

// now is the time as results have it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// result makes the result of a command that ended with err.
func (c *collection) result(err error) *report.Result {
	r := &report.Result{FormatVersion: report.Format, Hosts: []report.Host{}}
	dir := fromHere(c.dir)
	for _, p := range c.passes {
		r.Then(c.passed(p, dir))
	}
	for _, name := range c.hosts {
		if r.Host(name) == nil {
			r.Hosts = append(r.Hosts, report.Host{Name: name, Outcome: report.NotStarted, Changes: []report.Change{}, Warnings: []string{}, Notes: []string{}})
		}
	}
	r.Version, r.Command, r.Verify, r.Status, r.Sources = Version(), c.command, c.verify, c.status, c.sources
	r.Start, r.End = c.start, now()
	r.Problems = c.problems
	if err != nil && !errors.Is(err, errReported) && !errors.Is(err, errDifferences) {
		r.Error = err.Error()
	}
	if c.run != nil {
		r.Configuration, r.Shard = c.run.record.Configuration, c.run.shard.String()
		declared := hostsByName(c.run.config.Hosts())
		for i := range r.Hosts {
			rh := &r.Hosts[i]
			h := declared[rh.Name]
			if h == nil {
				continue // local, whose manifest alone tells of it
			}
			rh.Address, rh.Labels, rh.Local = h.Address, h.Labels, h.Local
			if h.Range.Filename != "" {
				rh.Source = &report.Source{File: fromHere(h.Range.Filename), Line: h.Range.Start.Line}
			}
		}
	}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		h.Duration = c.spent[h.Name].Truncate(time.Millisecond).Seconds()
	}
	r.Count()
	return r
}

// passed is the result of one plan and what came of it.
func (c *collection) passed(p *pass, dir string) *report.Result {
	r := report.FromPlan(p.plan)
	r.Locate(p.plan, dir)
	switch {
	case p.done != nil:
		r.Apply(p.done)
	case c.run.fleet.Lock != nil: // it was to be applied
		r.NotDone()
	}
	return r
}
