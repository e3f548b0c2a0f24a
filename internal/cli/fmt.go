package cli

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/aymanbagabas/go-udiff"
	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/spf13/cobra"
)

// fmtOptions are the options of fmt.
type fmtOptions struct {
	check, diff, recursive bool
}

func newFmtCommand(g *global) *cobra.Command {
	var o fmtOptions
	cmd := &cobra.Command{
		Use:   "fmt [PATH...]",
		Short: "Format configuration files",
		Long: `Format *.hcl and *.hclvars files in place, and print the names of those that
changed. Comments are kept.

PATH is a file or a directory; the default is the directory of the
configuration. A PATH of - formats standard input to standard output.

Exit status: 0, or 1 on an error; with --check 1 if a file is not formatted.`,
		Example: `mirrorform fmt
mirrorform fmt --check --diff --recursive .
mirrorform fmt - <fleet.hcl`,
		RunE: func(_ *cobra.Command, args []string) error { return runFmt(g, o, args) },
	}
	cmd.Flags().BoolVar(&o.check, "check", false, "write nothing, and exit with 1 if a file is not formatted")
	cmd.Flags().BoolVar(&o.diff, "diff", false, "also print the changes")
	cmd.Flags().BoolVar(&o.recursive, "recursive", false, "also format files in directories below")
	return cmd
}

func runFmt(g *global, o fmtOptions, args []string) error {
	if slices.Equal(args, []string{"-"}) {
		return formatInput(g, o.check)
	}
	if len(args) == 0 {
		args = []string{g.chdir}
	}
	files, err := formatFiles(args, o.recursive)
	if err != nil {
		return err
	}
	return format(g, files, o.check, o.diff)
}

// formatFiles lists the files that the arguments select.
func formatFiles(args []string, recursive bool) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		err = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && path != arg && (!recursive || d.Name()[0] == '.'):
				return filepath.SkipDir
			case !d.IsDir() && (filepath.Ext(path) == ".hcl" || filepath.Ext(path) == ".hclvars"):
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func format(g *global, files []string, check, diff bool) error {
	unformatted, failed := false, false
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		formatted, diags := lang.Format(src, name)
		if diags.HasErrors() {
			g.ui.Diagnostics(diags, map[string]*hcl.File{name: {Bytes: src}})
			failed = true
			continue
		}
		if bytes.Equal(src, formatted) {
			continue
		}
		unformatted = true
		g.print("%s\n", name)
		if diff {
			g.print("%s", udiff.Unified("old/"+name, "new/"+name, string(src), string(formatted)))
		}
		if !check {
			if err := replaceFile(name, formatted); err != nil {
				return err
			}
		}
	}
	if failed || check && unformatted {
		return errReported
	}
	return nil
}

func formatInput(g *global, check bool) error {
	src, err := io.ReadAll(g.in)
	if err != nil {
		return err
	}
	formatted, diags := lang.Format(src, "<standard input>")
	if diags.HasErrors() {
		g.ui.Diagnostics(diags, map[string]*hcl.File{"<standard input>": {Bytes: src}})
		return errReported
	}
	if check {
		if !bytes.Equal(src, formatted) {
			return errReported
		}
		return nil
	}
	_, err = g.out.Write(formatted)
	return err
}
