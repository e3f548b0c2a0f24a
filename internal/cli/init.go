package cli

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

//go:embed starter.hcl
var starter []byte

func newInitCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIRECTORY]",
		Short: "Write a commented example configuration, fleet.hcl",
		Long: `Write a commented example configuration, fleet.hcl, to DIRECTORY, or to the
directory of the configuration. An existing file is never changed.`,
		Example: `mirrorform init
mirrorform init fleet`,
		Args: optionalArgument("DIRECTORY"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := g.chdir
			if len(args) == 1 {
				dir = args[0]
			}
			return runInit(g, dir)
		},
	}
}

func runInit(g *global, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := filepath.Join(dir, "fleet.hcl")
	err := writeNew(name, starter)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and was not changed. For another directory: mirrorform init DIRECTORY", name)
	}
	if err != nil {
		return err
	}
	g.print("Wrote %s.\nNext: add your hosts and your sponsor, then run mirrorform plan.\n", name)
	return nil
}
