package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by make build: -ldflags "-X github.com/mirrorform/mirrorform/internal/cli.version=…".
var version string

// Version returns the program's version: the one it was released as, or that of its module, or "dev".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func newVersionCommand(g *global) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runVersion(g, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func runVersion(g *global, asJSON bool) error {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if asJSON {
		return g.printJSON(map[string]string{"version": Version(), "go": runtime.Version(), "platform": platform})
	}
	g.print("mirrorform %s (%s, %s)\n", Version(), runtime.Version(), platform)
	return nil
}
