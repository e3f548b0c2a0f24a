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

// configFlags say how the configuration is read.
type configFlags struct {
	vars    []lang.VarSource
	confine bool
}

func (f *configFlags) add(flags *pflag.FlagSet) {
	flags.Var((*varFlag)(&f.vars), "var", "set a variable: `NAME=VALUE` (may be given again)")
	flags.Var((*varFileFlag)(&f.vars), "var-file", "read variables from `FILE` (may be given again)")
	flags.BoolVar(&f.confine, "confine", false, "for a configuration that others may change: read no file outside its directory, and take no host_key for known")
}

// sources are the configuration that the flags mean.
func (f *configFlags) sources(g *global) run.Sources {
	return run.Sources{Dir: g.chdir, Vars: f.vars, Confine: f.confine, Version: Version(), Types: g.types}
}

// varFlag and varFileFlag collect --var and --var-file in the order in which they were given: the
// last one wins.
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

// selectFlags say which hosts are meant.
type selectFlags struct {
	limit []string
	shard run.Shard
}

func (f *selectFlags) add(cmd *cobra.Command, complete completer) {
	cmd.Flags().StringArrayVar(&f.limit, "limit", nil, "only these `HOSTS`: names and globs, or labels as wave=canary,country!=DE, @FILE or @failed; see hosts --help (may be given again)")
	cmd.Flags().Var((*shardFlag)(&f.shard), "shard", "only `PART/PARTS` of the hosts, as 3/10: by a hash of their names, the same on every machine")
	_ = cmd.RegisterFlagCompletionFunc("limit", complete.limit)
	_ = cmd.RegisterFlagCompletionFunc("shard", cobra.NoFileCompletions)
}

// limitHelp explains --limit, in the help of commands that select hosts.
const limitHelp = `--limit takes hosts or labels, with commas between them, and may be given again: what any of its values means is selected.
  fra1,edge,web-*            these hosts: names, for_each blocks, globs
  edge,!edge["ams"]          these without those after a !; with ! alone, all but these. In a value of its own ! takes away from the others
  wave=canary,country!=DE    the hosts for which all of these hold; values are globs, and a label that a host does not have is empty
  @FILE                      what the lines of FILE mean, each as a value of --limit; a line that begins with # is a comment
  @failed                    those that failed, were unreachable, rolled back or not started when they were last applied to from here

--shard 3/10 selects, of these, the third of ten parts: a host is in part 1 + H mod 10, where H is the first eight bytes of the SHA-256 of its name, as
a big-endian number. That is the same on every machine and in every version, and other hosts do not change it.`

// shardFlag is the value of --shard.
type shardFlag run.Shard

const maxShards = 10000

// Set reads "3/10".
func (s *shardFlag) Set(text string) error {
	parsed, err := report.ParseShard(text)
	if err != nil || parsed.Count > maxShards {
		return fmt.Errorf("it takes PART/PARTS such as 3/10, the first part being 1, of at most %d", maxShards)
	}
	*s = shardFlag{Part: parsed.Index, Parts: parsed.Count}
	return nil
}

func (s *shardFlag) String() string { return run.Shard(*s).String() }

// Type is what help prints for the value.
func (s *shardFlag) Type() string { return "PART/PARTS" }

// reachFlags say how hosts are reached.
type reachFlags struct {
	acceptHostKeys bool
	knownHosts     []string
	sshConfig      string
	askBecomePass  run.AskPass
}

func (f *reachFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.acceptHostKeys, "accept-new-host-keys", false, "trust the keys of hosts that known_hosts has no entry for, and enter them")
	flags.StringArrayVar(&f.knownHosts, "known-hosts", nil, "read host keys from `FILE` in place of ~/.ssh/known_hosts and the system's (may be given again)")
	flags.StringVar(&f.sshConfig, "ssh-config", "", "read `FILE` in place of ~/.ssh/config and the system's, or none")
	flags.Var((*askPassFlag)(&f.askBecomePass), "ask-become-pass", "ask for the password that sudo wants: `HOW` is once, for all hosts whose key is known already, or each, for each host")
	flags.Lookup("ask-become-pass").NoOptDefVal = string(run.AskOnce)
}

// access is how hosts are reached.
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

// Set takes in a value of the flag. It was a flag without one.
func (p *askPassFlag) Set(text string) error {
	switch text {
	case "once", "true":
		*p = askPassFlag(run.AskOnce)
	case "each":
		*p = askPassFlag(run.AskEach)
	case "false":
		*p = askPassFlag(run.AskNever)
	default:
		return errors.New("it is once or each")
	}
	return nil
}

// hostFlags are those of commands that work on hosts.
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
	flags.StringArrayVar(&f.target, "target", nil, "only the resources at or below `ADDRESS`, and what they need (may be given again)")
	flags.IntVar(&f.parallelism, "parallelism", 64, "`NUMBER` of hosts to work on at once")
	f.reachFlags.add(flags)
	f.log.add(flags)
	_ = cmd.RegisterFlagCompletionFunc("target", complete.addresses)
}

// options are those of a run on the hosts that the flags mean, and those that are named, if any
// are. What changes hosts gives the name of its command.
func (f *hostFlags) options(g *global, w *observer, command string, names ...string) run.Options {
	return run.Options{
		Sources:     f.sources(g),
		Selection:   run.Selection{Limit: slices.Concat(f.limit, names), Shard: f.shard, Target: f.target},
		Access:      f.access(w),
		Parallelism: f.parallelism,
		Command:     command,
	}
}

// addReplaceFlag adds what has resources made anew.
func addReplaceFlag(cmd *cobra.Command, replace *[]string, complete completer) {
	cmd.Flags().StringArrayVar(replace, "replace", nil, "remove the resource at `ADDRESS` and make it anew, in one transaction; refused for what holds data (may be given again)")
	_ = cmd.RegisterFlagCompletionFunc("replace", complete.addresses)
}

// addLockFlag adds what says how long the locks of hosts are waited for.
func addLockFlag(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "lock-timeout", time.Minute, "wait that long, as `30s` or 5m, for a host on which somebody else is at work")
}
