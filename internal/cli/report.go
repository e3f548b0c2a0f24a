package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/spf13/cobra"
)

// textFormat is the default of --format.
const textFormat = "text"

// renderOptions say how a result is rendered.
type renderOptions struct {
	format  string
	reports reportFiles
	page    string
}

func newReportCommand(g *global) *cobra.Command {
	o := renderOptions{format: textFormat}
	cmd := &cobra.Command{
		Use:   "report RESULT...",
		Short: "Print stored results, or render them in other formats",
		Long: `Print a stored result, or render it in other formats, without the configuration
and the hosts. A RESULT is a file that --report json=FILE wrote, or the output
of plan, drift, verify or status with --json; - is standard input. You can give
one result each of a plan, drift or apply, of a verify and of a status: they are
joined.

With --html you can give any number of results, of any commands. The page shows
the newest of them and the history before.

Exit status: 0, also if the result is of a run that failed; 1 if it cannot be
read or rendered.`,
		Example: `# What a stored result says
mirrorform report result.json

# Other formats
mirrorform report --format markdown result.json
mirrorform report --report junit=junit.xml result.json

# One page for a fleet
mirrorform report --html fleet.html results/*.json`,
		Args: someArguments("RESULT"),
		RunE: func(cmd *cobra.Command, args []string) error { return runReport(cmd, g, o, args) },
	}
	o.add(cmd)
	cmd.Flags().StringVar(&o.page, "html", "", "write a page to `FILE` that shows all results and their history")
	_ = cmd.MarkFlagFilename("html", "html")
	cmd.AddCommand(newMergeCommand(g))
	return cmd
}

func runReport(cmd *cobra.Command, g *global, o renderOptions, args []string) error {
	list, err := readResults(g, args)
	if err != nil {
		return err
	}
	if o.page != "" {
		o.reports = append(o.reports, pageFile(o.page, list))
		if len(o.reports) == 1 && !cmd.Flags().Changed("format") { // nothing else, which would take one result
			if err := o.reports.check(cmd, ""); err != nil {
				return err
			}
			return o.reports.write(g, nil)
		}
	}
	r, err := report.Combine(list)
	if err != nil {
		return err
	}
	return o.render(cmd, g, r)
}

// pageFile is the page of all results.
func pageFile(name string, list []report.Named) reportFile {
	results := make([]*report.Result, len(list))
	for i, r := range list {
		results[i] = r.Result
	}
	render := func(_ *report.Result, o report.Options) ([]byte, error) { return report.HTML(results, o) }
	return reportFile{"html", name, render}
}

func newMergeCommand(g *global) *cobra.Command {
	o := renderOptions{format: "json"}
	cmd := &cobra.Command{
		Use:   "merge RESULT...",
		Short: "Join the results of a fleet's shards into one",
		Long: `Join results of one command on different hosts into one result, and print it as
JSON. Results of different commands, configurations or versions of mirrorform
are refused, and so are results that have a host in common. If results of shards
are missing, the joined result names them and is still printed.

Exit status: 0, or 1 if a shard is missing or the results do not belong
together.`,
		Example: `mirrorform report merge --report json=result.json shard-*.json

# A summary in GitHub Actions
mirrorform report merge --report markdown="$GITHUB_STEP_SUMMARY" shard-*.json`,
		Args: someArguments("RESULT"),
		RunE: func(cmd *cobra.Command, args []string) error { return runMerge(cmd, g, o, args) },
	}
	o.add(cmd)
	return cmd
}

func runMerge(cmd *cobra.Command, g *global, o renderOptions, args []string) error {
	list, err := readResults(g, args)
	if err != nil {
		return err
	}
	r, err := report.Merge(list)
	if err != nil {
		return err
	}
	if err := o.render(cmd, g, r); err != nil {
		return err
	}
	if missing := report.Missing(list); missing != "" {
		return errors.New(missing)
	}
	return nil
}

// add adds the flags that say how results are rendered.
func (o *renderOptions) add(cmd *cobra.Command) {
	formats := append([]string{textFormat}, report.Formats()...)
	flags := cmd.Flags()
	flags.StringVar(&o.format, "format", o.format, "print the result in `FORMAT`: "+strings.Join(formats, ", "))
	flags.Var(&o.reports, "report",
		"write the result to a file, as `FORMAT=FILE`, and print nothing unless --format is given (can be repeated)")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("report", completeReport)
}

// render prints a result and writes it to files.
func (o *renderOptions) render(cmd *cobra.Command, g *global, r *report.Result) error {
	printed := len(o.reports) == 0 || cmd.Flags().Changed("format")
	var render report.Renderer
	if o.format != textFormat {
		var err error
		if render, err = report.RendererOf(o.format); err != nil {
			return fmt.Errorf("--format: %w", err)
		}
	}
	if err := o.reports.check(cmd, ""); err != nil {
		return err
	}
	if printed && o.reports.toStdout() {
		return errors.New("--format and --report FORMAT=- cannot both write to standard output")
	}
	if err := o.reports.write(g, r); err != nil {
		return err
	}
	switch {
	case !printed:
	case render == nil:
		if rows := report.Table(r); len(rows) > 1 {
			g.ui.Table(rows)
		}
		g.ui.Print(report.Describe(r))
	default:
		text, err := render(r, report.Options{Version: Version()})
		if err != nil {
			return err
		}
		g.print("%s", text)
	}
	return nil
}

// readResults reads results from files, or from standard input.
func readResults(g *global, names []string) ([]report.Named, error) {
	var list []report.Named
	for _, name := range names {
		data, err := readResult(g, name)
		if err != nil {
			return nil, err
		}
		r, err := report.Read(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, report.Named{Name: name, Result: r})
	}
	return list, nil
}

func readResult(g *global, name string) ([]byte, error) {
	file := g.in
	if name != stdoutName {
		var err error
		if file, err = os.Open(name); err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // it is only read
	}
	data, err := io.ReadAll(io.LimitReader(file, report.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}
