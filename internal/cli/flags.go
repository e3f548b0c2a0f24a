package cli

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// configFlags are the flags that say how the configuration is read.
type configFlags struct {
	vars    []lang.VarSource
	confine bool
}

func (f *configFlags) add(flags *pflag.FlagSet) {
	flags.Var((*varFlag)(&f.vars), "var", "set a variable: `NAME=VALUE` (can be repeated)")
	flags.Var((*varFileFlag)(&f.vars), "var-file", "read values of variables from `FILE` (can be repeated)")
	flags.BoolVar(&f.confine, "confine", false,
		"for a configuration that others can change: read no file outside its directory, and trust no host_key in it")
}

// sources says where the configuration is and how it is read.
func (f *configFlags) sources(g *global) run.Sources {
	return run.Sources{Dir: g.chdir, Vars: f.vars, Confine: f.confine, Version: Version(), Types: g.types}
}

// varFlag and varFileFlag collect --var and --var-file in one list, in the order in which they were
// given: the last one wins.
type (
	varFlag     []lang.VarSource
	varFileFlag []lang.VarSource
)

func (v *varFlag) Set(s string) error {
	*v = append(*v, lang.VarSource{Assign: s})
	return nil
}
func (v *varFlag) String() string { return "" }
func (v *varFlag) Type() string   { return "NAME=VALUE" }

func (v *varFileFlag) Set(s string) error {
	*v = append(*v, lang.VarSource{File: s})
	return nil
}
func (v *varFileFlag) String() string { return "" }
func (v *varFileFlag) Type() string   { return "FILE" }

// selectFlags are the flags that select hosts.
type selectFlags struct {
	limit []string
	shard run.Shard
}

func (f *selectFlags) add(cmd *cobra.Command, complete completer) {
	cmd.Flags().StringArrayVar(&f.limit, "limit", nil,
		"only these `HOSTS`: names, globs, labels such as country=DE, @FILE or @failed; "+
			"see mirrorform hosts --help (can be repeated)")
	cmd.Flags().Var((*shardFlag)(&f.shard), "shard",
		"only `PART/PARTS` of the hosts, such as 3/10, by a hash of their names")
	_ = cmd.RegisterFlagCompletionFunc("limit", complete.limit)
	_ = cmd.RegisterFlagCompletionFunc("shard", cobra.NoFileCompletions)
}

// limitHelp explains --limit and --shard, in the help of hosts.
const limitHelp = `--limit takes hosts or labels, separated by commas. It can be repeated: a host
is selected when any of the values selects it.

    fra1,edge,web-*          these hosts: names, for_each blocks, globs
    edge,!edge["ams"]        the first without the second
    !edge["ams"]             all without it; if --limit is repeated, what the
                             other values select without it
    wave=canary,country!=DE  hosts with all of these labels; values are globs,
                             and a missing label is empty
    @FILE                    one value of --limit on each line of FILE; lines
                             that begin with # are comments
    @failed                  hosts that failed, were unreachable, rolled back
                             or not started in the last apply from here

--shard 3/10 selects the third of ten parts of these hosts. A host is in part 1
+ H mod 10, where H is the first eight bytes of the SHA-256 of its name, as a
big-endian number. So a host stays in its part on every machine, in every
version and whatever other hosts there are.`

// shardFlag is the value of --shard.
type shardFlag run.Shard

const maxShards = 10000

// Set reads "3/10".
func (s *shardFlag) Set(text string) error {
	parsed, err := report.ParseShard(text)
	if err != nil || parsed.Count > maxShards {
		return fmt.Errorf("it takes PART/PARTS, such as 3/10; parts count from 1, and there are at most %d", maxShards)
	}
	*s = shardFlag{Part: parsed.Index, Parts: parsed.Count}
	return nil
}

func (s *shardFlag) String() string { return run.Shard(*s).String() }

// Type is the value's name in help.
func (s *shardFlag) Type() string { return "PART/PARTS" }

// reachFlags are the flags of connections to hosts.
type reachFlags struct {
	acceptHostKeys bool
	knownHosts     []string
	sshConfig      string
	askBecomePass  run.AskPass
}

func (f *reachFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.acceptHostKeys, "accept-new-host-keys", false,
		"trust hosts that known_hosts does not list, and add their keys to it")
	flags.StringArrayVar(&f.knownHosts, "known-hosts", nil,
		"read host keys from `FILE` instead of ~/.ssh/known_hosts and the system's file (can be repeated)")
	flags.StringVar(&f.sshConfig, "ssh-config", "",
		"read `FILE` instead of ~/.ssh/config and the system's file, or no file if FILE is none")
	// The empty name keeps help from printing HOW[=once], which would read as a second value.
	flags.Var((*askPassFlag)(&f.askBecomePass), "ask-become-pass",
		"``ask for sudo's password once, for all hosts whose key is known; --ask-become-pass=each asks for each host")
	flags.Lookup("ask-become-pass").NoOptDefVal = string(run.AskOnce)
}

// access says how hosts are reached, and where that is logged.
func (f *reachFlags) access(w *observer) run.Access {
	return run.Access{
		AcceptNewHostKeys: f.acceptHostKeys, KnownHosts: f.knownHosts, SSHConfig: f.sshConfig, AskBecomePass: f.askBecomePass,
		Ask: w.Password, Log: w.log,
	}
}

// askPassFlag is the value of --ask-become-pass.
type askPassFlag run.AskPass

func (p *askPassFlag) String() string { return string(*p) }
func (p *askPassFlag) Type() string   { return "HOW" }

// Set reads a value of the flag. true and false are from versions in which it was a switch.
func (p *askPassFlag) Set(text string) error {
	switch text {
	case "once", "true":
		*p = askPassFlag(run.AskOnce)
	case "each":
		*p = askPassFlag(run.AskEach)
	case "false":
		*p = askPassFlag(run.AskNever)
	default:
		return errors.New("it takes once or each")
	}
	return nil
}

// hostFlags are the flags of commands that connect to hosts.
type hostFlags struct {
	configFlags
	selectFlags
	reachFlags
	observerFlags
	target      []string
	parallelism int
}

func (f *hostFlags) add(g *global, cmd *cobra.Command) {
	flags, complete := cmd.Flags(), completer{g, &f.configFlags}
	f.configFlags.add(flags)
	f.selectFlags.add(cmd, complete)
	flags.StringArrayVar(&f.target, "target", nil,
		"only the resources at or below `ADDRESS`, and what they need (can be repeated)")
	flags.IntVar(&f.parallelism, "parallelism", 64, "work on `NUMBER` hosts at once")
	f.reachFlags.add(flags)
	f.log.add(flags)
	_ = cmd.RegisterFlagCompletionFunc("target", complete.addresses)
}

// options are the options of a run on the selected hosts: those of --limit and of names. command is
// "" for commands that change nothing; others give their name, which the lock of a host shows.
func (f *hostFlags) options(g *global, w *observer, command string, names ...string) run.Options {
	return run.Options{
		Sources:     f.sources(g),
		Selection:   run.Selection{Limit: slices.Concat(f.limit, names), Shard: f.shard, Target: f.target},
		Access:      f.access(w),
		Parallelism: f.parallelism,
		Command:     command,
	}
}

// addReplaceFlag adds --replace.
func addReplaceFlag(cmd *cobra.Command, replace *[]string, complete completer) {
	cmd.Flags().StringArrayVar(replace, "replace", nil,
		"remove the resource at `ADDRESS` and create it again, in one transaction; refused for data (can be repeated)")
	_ = cmd.RegisterFlagCompletionFunc("replace", complete.addresses)
}

// addLockFlag adds --lock-timeout.
func addLockFlag(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "lock-timeout", time.Minute,
		"wait up to `DURATION`, such as 30s or 5m, for a host that is locked by another run")
}
