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

// initOptions are the options of init.
type initOptions struct {
	observerFlags
	reachFlags
	host, become, serverName string
}

func newInitCommand(g *global) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init [DIRECTORY]",
		Short: "Write a configuration to begin with, fleet.hcl",
		Long: `Write a commented example configuration, fleet.hcl, to DIRECTORY, or to the
directory of the configuration. An existing file is never changed.

With --host, connect to a host and write a configuration for it: the file system
with the most space gets the tree, and the web server that is there serves it.
init changes nothing on the host; like plan, it leaves its helper there. With a
USER that is not root, become = "sudo" is set.`,
		Example: `mirrorform init
mirrorform init fleet

# A configuration for a server
mirrorform init --host root@203.0.113.10
mirrorform init --host admin@203.0.113.10:2222 --server-name m.example.org`,
		Args: optionalArgument("DIRECTORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := g.chdir
			if len(args) == 1 {
				dir = args[0]
			}
			if o.host == "" {
				if o.become != "" || o.serverName != "" {
					return errors.New("--become and --server-name are for a configuration that is made with --host")
				}
				return runInit(g, dir)
			}
			return g.observed(cmd, &o.observerFlags, func(w *observer) error { return initHost(cmd.Context(), g, w, o, dir) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.host, "host", "", "connect to `LOGIN`, [USER@]ADDRESS[:PORT], and write what is found there")
	flags.StringVar(&o.become, "become", "", "with --host: become root by `PROGRAM`, sudo or doas")
	flags.StringVar(&o.serverName, "server-name", "", "with --host: the mirror's `NAME` in DNS; default: that of the host")
	o.add(flags)
	o.log.add(flags)
	return cmd
}

// errStarterExists is the error of an init whose file is there.
func errStarterExists(name string) error {
	return fmt.Errorf("%s exists and was not changed. For another directory: mirrorform init DIRECTORY", name)
}

func runInit(g *global, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := filepath.Join(dir, "fleet.hcl")
	err := writeNew(name, starter)
	if errors.Is(err, fs.ErrExist) {
		return errStarterExists(name)
	}
	if err != nil {
		return err
	}
	g.print("Wrote %s.\nNext: add your hosts and your sponsor, then run mirrorform doctor and mirrorform plan.\n", name)
	return nil
}
