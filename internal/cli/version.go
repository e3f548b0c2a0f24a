package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by make build: -ldflags "-X
// github.com/mirrorform/mirrorform/internal/cli.version=…".
var version string

// Version returns the version of the release, of the Go module if it was installed as one, or
// "dev".
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
		Long: `Print the version of mirrorform, of the Go that built it, and its platform.
mirrorform --version prints the same.`,
		Example: `mirrorform version
mirrorform version --json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runVersion(g, asJSON) },
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
