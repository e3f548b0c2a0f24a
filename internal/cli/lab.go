package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
)

func (a *app) labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run disposable real hosts to try things on",
		Long: `A lab is a network of real hosts (systemd, sshd, apt, cron) on this machine, each up in about a second, and a miniature AlmaLinux
upstream served by a real rsync daemon. It needs root on a Debian-like Linux, and installs what it needs with apt-get.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var name string
	cmd.PersistentFlags().StringVar(&name, "name", "lab", "`NAME` of the lab")
	cmd.AddCommand(a.labUp(&name), a.labDown(&name), a.labList(), a.labSSH(&name))
	return cmd
}

func (a *app) labUp(name *string) *cobra.Command {
	var disks []string
	var family, hclFile string
	cmd := &cobra.Command{
		Use:   "up [HOST…]",
		Short: "Boot lab hosts: fra1 and ams1, or those named",
		Long: `Boot lab hosts and the upstream, and leave them running until lab down. A lab that runs already gets the hosts that it lacks.

With --hcl a file of host blocks is written, ready to be used by a configuration beside it.`,
		RunE: func(cmd *cobra.Command, hosts []string) error {
			if len(hosts) == 0 {
				hosts = []string{"fra1", "ams1"}
			}
			sizes := make([]int64, len(disks))
			for i, d := range disks {
				n, err := humanize.ParseBytes(d)
				if err != nil {
					return fmt.Errorf("--disk %q is no size such as 2GB: %w", d, err)
				}
				sizes[i] = int64(n)
			}
			l, err := a.openLab(cmd.Context(), *name)
			if err != nil {
				return err
			}
			if err := a.bootLab(cmd.Context(), l, hosts, lab.HostSpec{Disks: sizes, Family: lab.Family(family)}); err != nil {
				return err
			}
			if hclFile != "" {
				return a.writeHosts(l, hclFile)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&disks, "disk", nil, "give each new host a disk of this `SIZE`, as 2GB (may be given again)")
	cmd.Flags().StringVar(&family, "family", string(lab.Debian), "`FAMILY` of the new hosts: debian, or el, with dnf and AlmaLinux's os-release on the same tree")
	cmd.Flags().StringVar(&hclFile, "hcl", "", "write host blocks to `FILE`")
	return cmd
}

// openLab attaches to a lab that runs, or makes it.
func (a *app) openLab(ctx context.Context, name string) (*lab.Lab, error) {
	l, err := lab.Attach(ctx, name, a.err)
	if err == nil {
		return l, nil
	}
	return lab.Open(ctx, lab.Options{Name: name, Persistent: true, Log: a.err})
}

func (a *app) bootLab(ctx context.Context, l *lab.Lab, names []string, spec lab.HostSpec) error {
	var specs []lab.HostSpec
	for _, n := range names {
		if _, err := l.Host(n); err == nil {
			continue
		}
		s := spec
		s.Name = n
		specs = append(specs, s)
	}
	if _, err := l.BootAll(ctx, specs...); err != nil {
		return err
	}
	upstream, err := l.Upstream(ctx)
	if err != nil {
		return err
	}
	for _, h := range l.Hosts() {
		a.print("%s\t%s\n", h.Name, h.Address)
	}
	a.print("upstream\t%s\nssh key\t%s\n", upstream.URL("almalinux"), l.KeyPath())
	return nil
}

// writeHosts writes a host block for each host of the lab.
func (a *app) writeHosts(l *lab.Lab, name string) error {
	f := hclwrite.NewEmptyFile()
	for _, h := range l.Hosts() {
		key, err := h.HostKey()
		if err != nil {
			return err
		}
		body := f.Body().AppendNewBlock("host", []string{h.Name}).Body()
		body.SetAttributeValue("address", cty.StringVal(h.Address))
		body.SetAttributeValue("user", cty.StringVal("admin"))
		body.SetAttributeValue("become", cty.StringVal("sudo"))
		body.SetAttributeValue("identities", cty.ListVal([]cty.Value{cty.StringVal(l.KeyPath())}))
		body.SetAttributeValue("host_key", cty.StringVal(key))
		f.Body().AppendNewline()
	}
	if err := writeAtomically(name, f.Bytes(), 0o644); err != nil {
		return err
	}
	a.print("wrote\t%s\n", name)
	return nil
}

func (a *app) labDown(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End a lab: its hosts, disks and network",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lab.Down(context.WithoutCancel(cmd.Context()), *name)
		},
	}
}

func (a *app) labList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the labs and hosts on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			labs, err := lab.List(cmd.Context())
			if err != nil {
				return err
			}
			if len(labs) == 0 {
				a.note("No lab is up. mirrorform lab up makes one.\n")
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "LAB\tHOST\tADDRESS\tFAMILY\tSTATE")
			for _, l := range labs {
				for _, h := range l.Hosts {
					state := "stopped"
					if h.Running {
						state = "running"
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Name, h.Name, h.Address, h.Family, state)
				}
				if l.Upstream != "" {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t\t\n", l.Name, "(upstream)", l.Upstream)
				}
			}
			return w.Flush()
		},
	}
}

func (a *app) labSSH(name *string) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "ssh HOST [-- COMMAND…]",
		Short: "Log in to a lab host, or run a command there",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Attach(cmd.Context(), *name, a.err)
			if err != nil {
				return err
			}
			h, err := l.Host(args[0])
			if err != nil {
				return err
			}
			argv := l.SSHCommand(h, user, args[1:]...)
			ssh := exec.CommandContext(cmd.Context(), argv[0], argv[1:]...)
			ssh.Stdin, ssh.Stdout, ssh.Stderr = os.Stdin, os.Stdout, os.Stderr
			var exit *exec.ExitError
			if err := ssh.Run(); errors.As(err, &exit) {
				return exitStatus(exit.ExitCode())
			} else if err != nil {
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "root", "`ACCOUNT` to log in to: root, "+strings.Join(lab.Users(), ", "))
	return cmd
}
