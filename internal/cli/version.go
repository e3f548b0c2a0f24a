package cli

import (
	"encoding/json"
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

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if !asJSON {
				a.print("mirrorform %s (%s, %s)\n", Version(), runtime.Version(), platform)
				return nil
			}
			text, err := json.MarshalIndent(map[string]string{"version": Version(), "go": runtime.Version(), "platform": platform}, "", "  ")
			if err != nil {
				return err
			}
			a.print("%s\n", text)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}
