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

// textFormat is the format that report prints without --format.
const textFormat = "text"

func (a *app) reportCommand() *cobra.Command {
	format, page := textFormat, ""
	cmd := &cobra.Command{
		Use:   "report RESULT...",
		Short: "Render stored results",
		Long: `Print what a result says, or render it in other formats, without the configuration and the hosts. A RESULT is a file that --report json=FILE wrote, or what
plan, drift, verify or status print with --json; - is standard input. Of a plan, drift or apply, a verify and a status, one each may be given: they are joined.

With --html, any number may be given, of any commands: the page shows what the newest of them say, and what came before as history.

Exit status: 0, also when the result is of a run that failed; 1 when it cannot be read or rendered.`,
		Example: `mirrorform report result.json
mirrorform report --format markdown result.json
mirrorform report --report junit=junit.xml --report sarif=drift.sarif result.json
mirrorform report --html fleet.html results/*.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.readResults(args)
			if err != nil {
				return err
			}
			if page != "" {
				a.reports = append(a.reports, pageFile(page, list))
				if len(a.reports) == 1 && !cmd.Flags().Changed("format") { // nothing that takes one result only
					if err := a.checkReports(cmd); err != nil {
						return err
					}
					return a.writeReports(nil)
				}
			}
			r, err := report.Combine(list)
			if err != nil {
				return err
			}
			return a.render(cmd, r, format)
		},
	}
	a.addRenderFlags(cmd, &format)
	cmd.Flags().StringVar(&page, "html", "", "write one page to `FILE` that shows all results, and their history")
	_ = cmd.MarkFlagFilename("html", "html")
	cmd.AddCommand(a.mergeCommand())
	return cmd
}

// pageFile is the page of all results, in place of that of one.
func pageFile(name string, list []report.Named) reportFile {
	results := make([]*report.Result, len(list))
	for i, r := range list {
		results[i] = r.Result
	}
	return reportFile{"html", name, func(_ *report.Result, o report.Options) ([]byte, error) { return report.HTML(results, o) }}
}

func (a *app) mergeCommand() *cobra.Command {
	format := "json"
	cmd := &cobra.Command{
		Use:   "merge RESULT...",
		Short: "Join the results of a fleet's shards into one",
		Long: `Join results of one command, each of other hosts, into one, and print it as JSON. Results of different commands, configurations or versions of mirrorform,
and those with a host in common, are refused. When results of shards are missing, they are named in the joined result, which is printed all the same.

Exit status: 0, or 1 when a shard is missing or the results do not belong together.`,
		Example: `mirrorform report merge shard-*.json --report json=result.json --report markdown="$GITHUB_STEP_SUMMARY"`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.readResults(args)
			if err != nil {
				return err
			}
			r, err := report.Merge(list)
			if err != nil {
				return err
			}
			if err := a.render(cmd, r, format); err != nil {
				return err
			}
			if missing := report.Missing(list); missing != "" {
				return errors.New(missing)
			}
			return nil
		},
	}
	a.addRenderFlags(cmd, &format)
	return cmd
}

// addRenderFlags adds what says how results are rendered.
func (a *app) addRenderFlags(cmd *cobra.Command, format *string) {
	formats := append([]string{textFormat}, report.Formats()...)
	flags := cmd.Flags()
	flags.StringVar(format, "format", *format, "print the result in this `FORMAT`: "+strings.Join(formats, ", "))
	flags.Var(&a.reports, "report", "write the result to a file as `FORMAT=FILE` and print nothing, unless --format is given (may be given again)")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("report", completeReport)
}

// render prints a result and writes it to files.
func (a *app) render(cmd *cobra.Command, r *report.Result, format string) error {
	printed := len(a.reports) == 0 || cmd.Flags().Changed("format")
	var render report.Renderer
	if format != textFormat {
		var err error
		if render, err = report.RendererOf(format); err != nil {
			return fmt.Errorf("--format: %w", err)
		}
	}
	if err := a.checkReports(cmd); err != nil {
		return err
	}
	if printed && a.reports.toStdout() {
		return errors.New("--format and --report FORMAT=- cannot both write to standard output")
	}
	if err := a.writeReports(r); err != nil {
		return err
	}
	switch {
	case !printed:
	case render == nil:
		if rows := report.Table(r); len(rows) > 1 {
			a.ui.Table(rows)
		}
		a.ui.Print(report.Describe(r))
	default:
		text, err := render(r, report.Options{Version: Version()})
		if err != nil {
			return err
		}
		a.print("%s", text)
	}
	return nil
}

// readResults reads results from files, or from standard input.
func (a *app) readResults(names []string) ([]report.Named, error) {
	var list []report.Named
	for _, name := range names {
		data, err := a.readResult(name)
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

func (a *app) readResult(name string) ([]byte, error) {
	file := a.in
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
