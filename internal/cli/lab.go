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
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
)

func newLabCommand(g *global) *cobra.Command {
	cmd := commandWithCommands(&cobra.Command{
		Use:   "lab COMMAND",
		Short: "Run disposable real hosts to try things on",
		Long: `A lab is a network of real hosts on this machine, with systemd, sshd, apt or
dnf, and a small AlmaLinux upstream with a real rsync daemon. Each host has an
IPv4 and an IPv6 address, and boots in about a second. A lab needs root on
Debian or a relative of it, and installs what it needs with apt-get.`,
		Example: `# Two hosts, and a configuration for them
mirrorform lab up --hcl hosts.hcl
mirrorform lab ssh fra1

# Remove it all
mirrorform lab down`,
	})
	var name string
	cmd.PersistentFlags().StringVar(&name, "name", "lab", "use the lab `NAME`")
	cmd.AddCommand(newLabUpCommand(g, &name), newLabDownCommand(&name), newLabListCommand(g), newLabSSHCommand(g, &name))
	return cmd
}

// labUpOptions are the options of lab up.
type labUpOptions struct {
	disks   []string
	os, hcl string
	vm      bool
}

func newLabUpCommand(g *global, name *string) *cobra.Command {
	var o labUpOptions
	cmd := &cobra.Command{
		Use:   "up [HOST...]",
		Short: "Boot lab hosts: fra1 and ams1, or the named ones",
		Long: `Boot lab hosts and the upstream, and leave them running until lab down. If the
lab is already running, the missing hosts are added.

--os makes hosts of other systems than this machine's, such as el9, which is
like AlmaLinux 9. The first host of each takes minutes. See docs/lab.md.

--hcl writes host blocks to a file, for a configuration in the same directory.`,
		Example: `mirrorform lab up --hcl hosts.hcl

# A host with two empty disks, and one that is like AlmaLinux 9
mirrorform lab up --disk 2GB --disk 2GB sin1
mirrorform lab up --os el9 el1

# A virtual machine on which SELinux enforces
mirrorform lab up --vm se1`,
		RunE: func(cmd *cobra.Command, hosts []string) error { return runLabUp(cmd.Context(), g, *name, o, hosts) },
	}
	cmd.Flags().StringArrayVar(&o.disks, "disk", nil, "give each new host a disk of `SIZE`, such as 2GB (can be repeated)")
	cmd.Flags().StringVar(&o.os, "os", "",
		"make new hosts of `SYSTEM`: "+strings.Join(osNames(), ", ")+"; default: this machine's release")
	_ = cmd.RegisterFlagCompletionFunc("os", cobra.FixedCompletions(osNames(), cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVar(&o.vm, "vm", false,
		"make new hosts virtual machines, on which SELinux enforces (amd64 only)")
	cmd.Flags().StringVar(&o.hcl, "hcl", "", "write host blocks to `FILE`")
	return cmd
}

// osNames returns the values of --os.
func osNames() []string {
	var names []string
	for _, o := range lab.OSes() {
		names = append(names, string(o))
	}
	return names
}

func runLabUp(ctx context.Context, g *global, name string, o labUpOptions, hosts []string) error {
	if len(hosts) == 0 {
		hosts = []string{"fra1", "ams1"}
	}
	sizes := make([]int64, len(o.disks))
	for i, d := range o.disks {
		n, err := humanize.ParseBytes(d)
		if err != nil {
			return fmt.Errorf("invalid value %q for --disk: it takes a size, such as 2GB", d)
		}
		sizes[i] = int64(n)
	}
	l, err := openLab(ctx, g, name)
	if err != nil {
		return err
	}
	spec := lab.HostSpec{Disks: sizes, OS: lab.OS(o.os), VM: o.vm}
	if err := bootLab(ctx, g, l, hosts, spec); err != nil {
		return err
	}
	if o.hcl != "" {
		return writeHosts(g, l, o.hcl)
	}
	return nil
}

// openLab attaches to a running lab, or creates it.
func openLab(ctx context.Context, g *global, name string) (*lab.Lab, error) {
	l, err := lab.Attach(ctx, name, g.err)
	if err == nil {
		return l, nil
	}
	return lab.Open(ctx, lab.Options{Name: name, Persistent: true, Log: g.err})
}

func bootLab(ctx context.Context, g *global, l *lab.Lab, names []string, spec lab.HostSpec) error {
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
		g.print("%s\n", strings.TrimSpace(h.Name+"\t"+h.Address+"\t"+h.Address6))
	}
	g.print("upstream\t%s\nssh key\t%s\n", upstream.URL("almalinux"), l.KeyPath())
	return nil
}

// writeHosts writes a host block for each host of the lab.
func writeHosts(g *global, l *lab.Lab, name string) error {
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
	if err := run.WriteAtomically(name, f.Bytes(), 0o644); err != nil {
		return err
	}
	g.print("wrote\t%s\n", name)
	return nil
}

func newLabDownCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove a lab: its hosts, disks and network",
		Example: `mirrorform lab down
mirrorform lab down --name other`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lab.Down(context.WithoutCancel(cmd.Context()), *name)
		},
	}
}

func newLabListCommand(g *global) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the labs and hosts on this machine",
		Example: "mirrorform lab list\nmirrorform lab list --json",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runLabList(cmd.Context(), g, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the labs as JSON")
	return cmd
}

// labJSON is a lab in the output of lab list --json.
type labJSON struct {
	Name     string        `json:"name"`
	Hosts    []labHostJSON `json:"hosts"`
	Upstream string        `json:"upstream,omitempty"` // its rsync URL
}

type labHostJSON struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	Address6 string `json:"address6,omitempty"`
	OS       string `json:"os,omitempty"`
	Running  bool   `json:"running"`
}

// labsJSON is the document of lab list --json.
func labsJSON(labs []lab.Info) any {
	list := []labJSON{}
	for _, l := range labs {
		j := labJSON{Name: l.Name, Hosts: []labHostJSON{}, Upstream: l.Upstream}
		for _, h := range l.Hosts {
			j.Hosts = append(j.Hosts, labHostJSON{h.Name, h.Address, h.Address6, string(h.OS), h.Running})
		}
		list = append(list, j)
	}
	return struct {
		FormatVersion string    `json:"format_version"`
		Labs          []labJSON `json:"labs"`
	}{"1.0", list}
}

func runLabList(ctx context.Context, g *global, asJSON bool) error {
	labs, err := lab.List(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return g.printJSON(labsJSON(labs))
	}
	if len(labs) == 0 {
		g.note("No lab is running. To start one: mirrorform lab up\n")
		return nil
	}
	w := tabwriter.NewWriter(g.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "LAB\tHOST\tADDRESS\tIPV6 ADDRESS\tOS\tSTATE")
	for _, l := range labs {
		for _, h := range l.Hosts {
			state := "stopped"
			if h.Running {
				state = "running"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, h.Name, h.Address, h.Address6, h.OS, state)
		}
		if l.Upstream != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t\t\t\n", l.Name, "(upstream)", l.Upstream)
		}
	}
	return w.Flush()
}

func newLabSSHCommand(g *global, name *string) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "ssh [flags] HOST [COMMAND...]",
		Short: "Log in to a lab host, or run a command on it",
		Long: `Log in to a lab host, or run a command on it. Flags come before HOST; what
follows is the command. A single word is a line for sh, as ssh would have it;
several words reach the host one by one, and no shell splits them again.`,
		Example: `mirrorform lab ssh fra1
mirrorform lab ssh fra1 systemctl status nginx
mirrorform lab ssh fra1 'journalctl --unit nginx | tail'
mirrorform lab ssh --user admin fra1 sudo sh -c 'cd /etc && ls'`,
		Args: someArguments("HOST"),
		RunE: func(cmd *cobra.Command, args []string) error { return runLabSSH(cmd.Context(), g, *name, user, args) },
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&user, "user", "root", "log in to `ACCOUNT`: root, "+strings.Join(lab.Users(), ", "))
	return cmd
}

// labCommand returns the words of a command for a lab host.
func labCommand(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 1 {
		return []string{"sh", "-c", args[0]}
	}
	return args
}

func runLabSSH(ctx context.Context, g *global, name, user string, args []string) error {
	l, err := lab.Attach(ctx, name, g.err)
	if err != nil {
		return err
	}
	h, err := l.Host(args[0])
	if err != nil {
		return err
	}
	argv := l.SSHCommand(h, user, labCommand(args[1:])...)
	ssh := exec.CommandContext(ctx, argv[0], argv[1:]...)
	ssh.Stdin, ssh.Stdout, ssh.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := ssh.Run(); errors.As(err, &exit) {
		return exitStatus(exit.ExitCode())
	} else if err != nil {
		return err
	}
	return nil
}
