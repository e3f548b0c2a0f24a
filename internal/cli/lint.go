package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/mirrorsd/report"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/spf13/cobra"
)

// lintFormats are the values of lint's --format.
var lintFormats = []string{"text", "json", "sarif", "github"}

// lintOptions are the options of lint.
type lintOptions struct {
	fix, dryRun, diff, strict, rules bool
	format                           string
	asJSON                           bool
	enable, disable                  []string
	stdinName                        string
	service                          serviceFlags
}

func newLintCommand(g *global) *cobra.Command {
	var f lintOptions
	cmd := &cobra.Command{
		Use:   "lint PATH...",
		Short: "Check mirrors.d files of AlmaLinux's list",
		Long: `Check files of AlmaLinux's mirror list: what the schema of its service requires,
and mistakes that the service does not notice. lint needs no configuration. It
fetches what the service requires at present; --offline, or without a network,
it knows what the service required when mirrorform was released. docs/lint.md
describes the rules, and --rules lists them.

PATH is a file or a directory. A directory stands for the *.yml files in and
below it, and for mirror files with another extension. A PATH of - is standard
input. Files that are checked together are also compared with each other.

--fix corrects what has only one meaning, and keeps comments, order and all
other bytes. The report then lists what is left. Standard input is written to
standard output, and the report goes to standard error.

Exit status: 1 if there are errors; with --strict also if there are warnings.`,
		Example: `mirrorform lint mirrors.d

# See what --fix would change, then change it
mirrorform lint --fix --dry-run mirrors.d/mirror.example.org.yml
mirrorform lint --fix mirrors.d/mirror.example.org.yml

# Annotations in GitHub Actions
mirrorform lint --format github --strict mirrors.d

# Without two rules
mirrorform lint --disable file-name,slow-sync mirrors.d`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yml", "yaml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.asJSON {
				f.format = "json"
			}
			return runLint(cmd.Context(), g, f, args)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.fix, "fix", false, "correct what has only one meaning")
	flags.BoolVar(&f.dryRun, "dry-run", false, "with --fix: show the changes, and write nothing")
	flags.BoolVar(&f.diff, "diff", false, "show what --fix changes; without --fix nothing is written")
	flags.BoolVar(&f.strict, "strict", false, "exit with 1 also if there are warnings")
	flags.BoolVar(&f.rules, "rules", false, "list the rules and what they mean, and check nothing")
	flags.StringVar(&f.format, "format", "text",
		"print the findings in `FORMAT`: text, json, sarif (2.1.0) or github (annotations of GitHub Actions)")
	flags.BoolVar(&f.asJSON, "json", false, "print the findings as JSON, as --format json does")
	cmd.MarkFlagsMutuallyExclusive("format", "json")
	flags.StringSliceVar(&f.disable, "disable", nil, "skip `RULES`: names separated by commas, or all")
	flags.StringSliceVar(&f.enable, "enable", nil, "also check `RULES`: optional ones, or some after --disable all")
	f.service.add(flags)
	flags.StringVar(&f.stdinName, "stdin-name", "", "check standard input as the file `NAME`")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(lintFormats, cobra.ShellCompDirectiveNoFileComp))
	names := []string{mirrorsd.AllRules}
	for _, r := range mirrorsd.Rules() {
		names = append(names, r.Name)
	}
	for _, flag := range []string{"disable", "enable"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// check refuses flags that do not go together.
func (f *lintOptions) check(args []string) error {
	switch {
	case !slices.Contains(lintFormats, f.format):
		return fmt.Errorf("invalid value %q for --format: it takes text, json, sarif or github", f.format)
	case f.rules && f.format != "text":
		return errors.New("--rules prints text: remove --format")
	case f.rules:
		return nil
	case len(args) == 0:
		return errors.New("lint needs files or directories to check, such as mirrors.d, or - for standard input")
	case f.dryRun && !f.fix && !f.diff:
		return errors.New("--dry-run goes with --fix; without --fix nothing is written")
	case (f.diff || f.dryRun) && f.format != "text":
		return fmt.Errorf("a diff is text: remove --diff and --dry-run, or --format %s", f.format)
	case f.fix && slices.Contains(args, "-") && len(args) > 1:
		return errors.New("--fix writes standard input to standard output: give - as the only PATH")
	case f.fix && slices.Contains(args, "-") && f.format != "text":
		return fmt.Errorf("--fix - and --format %s both write to standard output: remove one of them", f.format)
	case f.stdinName != "" && !slices.Contains(args, "-"):
		return errors.New("--stdin-name is the name of standard input, which the PATH - reads: add -")
	}
	return nil
}

func listRules(g *global) {
	var rows [][]string
	for _, r := range mirrorsd.Rules() {
		fixable, optional := "", ""
		if r.Fixable {
			fixable = "fix"
		}
		if r.Optional {
			optional = "optional"
		}
		rows = append(rows, []string{r.Name, r.Severities(), fixable, optional, r.Summary + ". " + r.Detail})
	}
	g.ui.Table(rows)
}

func runLint(ctx context.Context, g *global, f lintOptions, args []string) error {
	if err := f.check(args); err != nil {
		return err
	}
	if f.rules {
		listRules(g)
		return nil
	}
	current, err := f.service.facts(ctx, nil, verifyTimeout)
	if err != nil {
		return err
	}
	options := mirrorsd.Options{Enable: f.enable, Disable: f.disable, Service: current.Service.Service}
	linter, err := mirrorsd.NewLinter(options)
	if err != nil {
		return fmt.Errorf("%w; to list the rules: mirrorform lint --rules", err)
	}
	files, err := lintFiles(g, args, f.stdinName)
	if err != nil {
		return err
	}
	if f.fix || f.diff {
		if err := lintFix(g, linter, f, files, args); err != nil {
			return err
		}
	}
	findings := linter.Lint(files)
	if err := lintReport(g, f, args, files, findings); err != nil {
		return err
	}
	for _, found := range findings {
		if found.Severity == mirrorsd.Error || f.strict {
			return errReported
		}
	}
	return g.ui.Err()
}

// lintFix fixes files in place, and replaces the data in the list as well, unless flags say to
// write nothing.
func lintFix(g *global, linter *mirrorsd.Linter, f lintOptions, files []mirrorsd.Source, args []string) error {
	write := f.fix && !f.dryRun
	stdin := slices.Contains(args, "-")
	for i := range files {
		file := &files[i]
		if stdin && write && len(file.Data) > mirrorsd.MaxSize {
			return fmt.Errorf("standard input is longer than %s, so nothing was written", humanize.IBytes(mirrorsd.MaxSize))
		}
		fixed, done := linter.Fix(*file)
		toStdout := stdin && write // the fixed file, and not a diff
		if (f.diff || f.dryRun) && len(done) > 0 && !toStdout {
			g.ui.Diff(file.Name, string(file.Data), string(fixed))
		}
		if toStdout {
			if _, err := g.out.Write(fixed); err != nil {
				return fmt.Errorf("write standard output: %w", err)
			}
		} else if write && len(done) > 0 {
			if err := replaceFile(file.Name, fixed); err != nil {
				return err
			}
			if f.format == "text" {
				g.ui.Print(fmt.Sprintf("%s: %s", file.Name, numbered(len(done), "finding fixed", "findings fixed")))
			}
		}
		if write {
			file.Data = fixed
		}
	}
	return nil
}

func numbered(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// lintReport prints the findings.
func lintReport(g *global, f lintOptions, args []string, files []mirrorsd.Source, findings []mirrorsd.Finding) error {
	var text []byte
	var err error
	switch f.format {
	case "json":
		text, err = report.JSON(findings, len(files))
	case "sarif":
		text, err = report.SARIF(findings, version)
	case "github":
		g.print("%s", report.GitHub(findings))
		return nil
	default:
		lintText(g, f, slices.Contains(args, "-") && f.fix && !f.dryRun, files, findings)
		return nil
	}
	if err != nil {
		return err
	}
	g.print("%s\n", plain.VisibleJSON(text))
	return nil
}

// ruleOf is the extra value of a finding's diagnostic.
type ruleOf struct{ *mirrorsd.Fix }

// Suggestion describes what --fix would change.
func (r ruleOf) Suggestion() string {
	if r.Fix == nil {
		return ""
	}
	return "--fix: " + r.Description
}

// maxShown is how many findings of one file are printed as text. More are not read, and each one is
// printed with its line of the file.
const maxShown = 200

// lintText prints findings as diagnostics. They go to standard error if standard output has the
// fixed file.
func lintText(g *global, f lintOptions, toStderr bool, files []mirrorsd.Source, findings []mirrorsd.Finding) {
	sources := map[string]*hcl.File{}
	for _, file := range files {
		sources[file.Name] = &hcl.File{Bytes: file.Data}
	}
	var diags hcl.Diagnostics
	fixable := 0
	shown := map[string]int{}
	for _, found := range findings {
		if shown[found.File]++; shown[found.File] > maxShown {
			continue
		}
		severity := hcl.DiagError
		if found.Severity == mirrorsd.Warning {
			severity = hcl.DiagWarning
		}
		if found.Fix != nil {
			fixable++
		}
		diags = append(diags, &hcl.Diagnostic{
			Severity: severity,
			Summary:  found.Message,
			Detail:   fmt.Sprintf("Rule %s, column %d.", found.Rule, found.Start.Column),
			Subject:  &hcl.Range{Filename: found.File, Start: place(found.Start), End: place(found.End)},
			Extra:    ruleOf{found.Fix},
		})
	}
	for _, file := range files {
		if n := shown[file.Name] - maxShown; n > 0 {
			g.ui.Warning(fmt.Sprintf("%s has %s. To list all: mirrorform lint --format json %[1]s",
				file.Name, numbered(n, "more finding", "more findings")))
		}
	}
	if toStderr {
		g.ui.Diagnostics(diags, sources)
		return
	}
	g.ui.Report(diags, sources)
	if len(findings) == 0 {
		g.ui.Print(numbered(len(files), "file: nothing found.", "files: nothing found."))
	} else if fixable > 0 && !f.fix {
		g.ui.Print(fmt.Sprintf("--fix would correct %d of them.", fixable))
	}
}

func place(p mirrorsd.Position) hcl.Pos {
	return hcl.Pos{Line: p.Line, Column: p.Column, Byte: p.Byte}
}

// lintFiles reads the files of the arguments, each one once, in the order of the arguments.
func lintFiles(g *global, args []string, stdinName string) ([]mirrorsd.Source, error) {
	var files []mirrorsd.Source
	seen := map[string]bool{}
	add := func(name string, data []byte) {
		if !seen[name] {
			seen[name] = true
			files = append(files, mirrorsd.Source{Name: name, Data: data})
		}
	}
	for _, arg := range args {
		if arg == "-" {
			data, err := io.ReadAll(io.LimitReader(g.in, mirrorsd.MaxSize+1))
			if err != nil {
				return nil, fmt.Errorf("read standard input: %w", err)
			}
			file := mirrorsd.Source{Name: stdinName, Unnamed: stdinName == "", Data: data}
			if file.Unnamed {
				file.Name = "<standard input>"
			}
			files = append(files, file)
			continue
		}
		info, err := os.Lstat(arg)
		if err != nil {
			return nil, err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return nil, errLinked(arg)
		}
		if info.IsDir() {
			if err := lintDirectory(arg, add); err != nil {
				return nil, err
			}
			continue
		}
		data, err := readBounded(arg)
		if err != nil {
			return nil, err
		}
		add(filepath.Clean(arg), data)
	}
	return files, nil
}

// errLinked refuses a symbolic link. Findings show lines of the file, and a link in a pull request
// must not choose that file, even where CI passes the names of the changed files.
func errLinked(path string) error {
	return fmt.Errorf("%s is a symbolic link, which lint does not follow: give the file that it points to", path)
}

// lintDirectory reads a directory's *.yml files, and files that look like mirror files without that
// extension.
func lintDirectory(dir string, add func(name string, data []byte)) error {
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && d.Name()[0] == '.':
			return filepath.SkipDir
		case d.Type()&fs.ModeSymlink != 0 && filepath.Ext(path) == ".yml":
			return errLinked(path)
		case !d.Type().IsRegular() || d.Name()[0] == '.':
			return nil
		}
		data, err := readBounded(path)
		if err != nil {
			return err
		}
		if filepath.Ext(path) == ".yml" || mirrorsd.IsEntry(data) {
			found = true
			add(filepath.Clean(path), data)
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("no *.yml file found in %s", dir)
	}
	return err
}

// readBounded reads a file up to one byte above the size limit of mirrors.d files, so that the
// linter sees that a file is too large.
func readBounded(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(io.LimitReader(file, mirrorsd.MaxSize+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b.Bytes(), nil
}
