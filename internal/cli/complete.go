package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
)

// completer completes arguments from the configuration, and explains misplaced ones. Errors in the
// configuration are not reported: a key press is not the time for it.
type completer struct {
	g     *global
	flags *configFlags
}

func (c completer) config() *config.Config {
	read, _ := c.flags.sources(c.g).Read()
	return read
}

func (c completer) hosts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, h := range c.config().Hosts() {
		names = append(names, h.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (c completer) addresses(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	read := c.config()
	var addresses []string
	for _, h := range read.Hosts() {
		list, _ := read.Resources(h.Name, nil)
		for _, r := range list {
			addresses = append(addresses, r.Address.String())
		}
	}
	return addresses, cobra.ShellCompDirectiveNoFileComp
}

// limit completes the term of --limit after the last comma.
func (c completer) limit(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	before := ""
	if i := strings.LastIndexByte(begun, ','); i >= 0 {
		before = begun[:i+1]
	}
	var terms []string
	if before == "" {
		terms = append(terms, run.FailedHosts)
	}
	for _, h := range c.config().Hosts() {
		terms = append(terms, h.Name)
		if h.Block != h.Name {
			terms = append(terms, h.Block)
		}
		for label, value := range h.Labels {
			terms = append(terms, label+"="+value)
		}
	}
	slices.Sort(terms)
	terms = slices.Compact(terms)
	for i := range terms {
		terms[i] = before + terms[i]
	}
	return terms, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// none is noArguments for commands that take hosts and addresses as flags.
func (c completer) none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		if err := c.explain(cmd, args[0]); err != nil {
			return err
		}
	}
	return noArguments(cmd, args)
}

// explain returns an error if arg is a host or an address, which the command takes as the value of
// a flag.
func (c completer) explain(cmd *cobra.Command, arg string) error {
	read := c.config()
	takes := func(flag string) bool { return cmd.Flags().Lookup(flag) != nil }
	isHost := func(h *config.DeclaredHost) bool { return h.Name == arg || h.Block == arg }
	if takes("limit") && slices.ContainsFunc(read.Hosts(), isHost) {
		return fmt.Errorf("%s is a host: use --limit %s", arg, quotedArgument(arg))
	}
	isWithin := func(address string) bool { return engine.Within(address, arg) }
	if takes("target") && slices.ContainsFunc(read.Addresses(), isWithin) {
		return fmt.Errorf("%s is an address: use --target %s", arg, quotedArgument(arg))
	}
	return nil
}

// quotedArgument is an argument as you type it in a shell.
func quotedArgument(arg string) string {
	if strings.ContainsAny(arg, `[]"'*?!$ \`) {
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return arg
}
