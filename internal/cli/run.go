package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/resources"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// addVarFlags adds what sets variables.
func (a *app) addVarFlags(flags *pflag.FlagSet) {
	flags.Var((*varFlag)(&a.vars), "var", "set a variable: `NAME=VALUE` (may be given again)")
	flags.Var((*varFileFlag)(&a.vars), "var-file", "read variables from `FILE` (may be given again)")
	flags.BoolVar(&a.passwords.strict, "confine", false, "for a configuration that others may change: read no file outside its directory, and take no host_key for known")
}

// varFlag and varFileFlag collect --var and --var-file in the order in which they were given: the last one wins.
type (
	varFlag     []config.VarSource
	varFileFlag []config.VarSource
)

func (v *varFlag) Set(s string) error {
	*v = append(*v, config.VarSource{Assign: s})
	return nil
}
func (v *varFlag) String() string { return "" }
func (v *varFlag) Type() string   { return "NAME=VALUE" }

func (v *varFileFlag) Set(s string) error {
	*v = append(*v, config.VarSource{File: s})
	return nil
}
func (v *varFileFlag) String() string { return "" }
func (v *varFileFlag) Type() string   { return "FILE" }

// addHostFlags adds what says which hosts and resources are meant, and how they are reached.
func (a *app) addHostFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	a.addVarFlags(flags)
	a.addSelectionFlags(cmd)
	flags.StringArrayVar(&a.target, "target", nil, "only the resources at or below `ADDRESS`, and what they need (may be given again)")
	flags.IntVar(&a.parallelism, "parallelism", 64, "`NUMBER` of hosts to work on at once")
	a.addReachFlags(flags)
	_ = cmd.RegisterFlagCompletionFunc("target", a.completeAddresses)
}

// addReachFlags adds what says how hosts are reached.
func (a *app) addReachFlags(flags *pflag.FlagSet) {
	a.addLogFlags(flags)
	flags.BoolVar(&a.acceptHostKeys, "accept-new-host-keys", false, "trust the keys of hosts that known_hosts has no entry for, and enter them")
	flags.StringArrayVar(&a.knownHosts, "known-hosts", nil, "read host keys from `FILE` in place of ~/.ssh/known_hosts and the system's (may be given again)")
	flags.StringVar(&a.sshConfig, "ssh-config", "", "read `FILE` in place of ~/.ssh/config and the system's, or none")
	flags.Var(&a.passwords.how, "ask-become-pass", "ask for the password that sudo wants: `HOW` is once, for all hosts whose key is known already, or each, for each host")
	flags.Lookup("ask-become-pass").NoOptDefVal = string(askOnce)
}

// addSelectionFlags adds what says which hosts are meant.
func (a *app) addSelectionFlags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&a.limit, "limit", nil, "only these `HOSTS`: names and globs, or labels as wave=canary,country!=DE, @FILE or @failed; see hosts --help (may be given again)")
	cmd.Flags().Var(&a.shard, "shard", "only `PART/PARTS` of the hosts, as 3/10: by a hash of their names, the same on every machine")
	_ = cmd.RegisterFlagCompletionFunc("limit", a.completeLimit)
	_ = cmd.RegisterFlagCompletionFunc("shard", cobra.NoFileCompletions)
}

// addReplaceFlag adds what has resources made anew.
func (a *app) addReplaceFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&a.replace, "replace", nil, "remove the resource at `ADDRESS` and make it anew, in one transaction; refused for what holds data (may be given again)")
	_ = cmd.RegisterFlagCompletionFunc("replace", a.completeAddresses)
}

// addLockFlag adds what says how long the locks of hosts are waited for.
func (a *app) addLockFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&a.lockTimeout, "lock-timeout", time.Minute, "wait that long, as `30s` or 5m, for a host on which somebody else is at work")
}

func (a *app) completeHosts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, _ := a.load()
	var names []string
	for _, h := range c.Hosts() {
		names = append(names, h.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeAddresses(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, _ := a.load()
	var addresses []string
	for _, h := range c.Hosts() {
		list, _ := c.Resources(h.Name, nil)
		for _, r := range list {
			addresses = append(addresses, r.Address)
		}
	}
	return addresses, cobra.ShellCompDirectiveNoFileComp
}

// load reads the configuration. It prints nothing.
func (a *app) load() (*config.Config, hcl.Diagnostics) {
	return config.Load(a.loadOptions())
}

func (a *app) loadOptions() config.Options {
	return config.Options{Dir: a.chdir, Confine: a.passwords.strict, Sources: a.vars, Environ: os.Environ(), Registry: resources.All()}
}

// mustLoad reads the configuration and prints what is wrong with it.
func (a *app) mustLoad() (*config.Config, error) { return a.mustLoadWith(a.loadOptions()) }

func (a *app) mustLoadWith(o config.Options) (*config.Config, error) {
	c, diags := config.Load(o)
	a.secrets = &engine.Secrets{Values: func() []string { return append(c.Secrets(), a.passwords.all()...) }}
	a.ui.Diagnostics(diags, c.Files())
	a.collected.diagnosed(diags)
	if diags.HasErrors() {
		return nil, errReported
	}
	return c, nil
}

// run is one run of a command against the configuration's hosts.
type run struct {
	*app
	config  *config.Config
	hosts   []engine.Host
	fleet   *engine.Fleet
	record  *record
	command string
	rollout *rollout // of an apply, or a plan for one; nil: all hosts at once
	// newFleet returns another Fleet like the first, without its sessions.
	newFleet func() *engine.Fleet
	// disconnect ends what sessions share.
	disconnect func()

	mu    sync.Mutex
	diags []config.HostDiagnostics
	// found are the --target that mean something; addresses are of what hosts have, where there is
	// a --target.
	found     map[string]bool
	addresses []string
}

// newRun prepares a run. Nothing is reached yet. The caller closes it. A command that changes hosts gives its name: it takes their locks.
func (a *app) newRun(command string) (*run, error) {
	c, err := a.mustLoad()
	if err != nil {
		return nil, err
	}
	r := &run{app: a, config: c, command: command, found: map[string]bool{}}
	declared := a.hosts(c)
	if r.hosts, err = a.selectHosts(declared); err != nil {
		return nil, err
	}
	if err := r.checkTargets(); err != nil {
		return nil, err
	}
	for _, address := range a.replace {
		if host := engine.HostOf(address); !slices.ContainsFunc(r.hosts, func(h engine.Host) bool { return h.Name == host }) {
			return nil, fmt.Errorf("--replace %s: host %q is not in the configuration, or is not selected", address, host)
		}
	}
	if r.record, err = readRecord(a.chdir); err != nil {
		return nil, err
	}
	a.tellStrangers(r.record, c)
	byName := hostsByName(declared)
	reached := a.newReach(byName)
	next := r.record.clone()
	var lock *engine.Lock
	if command != "" {
		next.identify()
		lock = &engine.Lock{Operator: operator(), Command: command, Timeout: a.lockTimeout}
	}
	a.collected.prepared(r)
	connect, disconnect, err := a.connector(reached)
	r.disconnect = disconnect
	if err != nil {
		return nil, err
	}
	r.newFleet = func() *engine.Fleet {
		return &engine.Fleet{
			Connect: connect, Lock: lock, Configuration: next.Configuration,
			Wanted: r.wanted, LeftOut: r.leftOut, Select: r.choose, Types: resources.All(), Moves: c.Moves(), Version: Version(), Parallelism: a.parallelism,
			Replace:        a.replace,
			Login:          reached.login,
			ConfirmTimeout: func(host string) time.Duration { return byName[host].ConfirmTimeout },
		}
	}
	r.fleet = r.newFleet()
	if command == "" || command == "apply" {
		r.rollout = newRollout(c.Rollout(), r.hosts, byName)
	}
	return r, nil
}

// operator says who runs this, for those who have to wait: alice@laptop.
func operator() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = "an unnamed machine"
	}
	return name + "@" + machine
}

// remember enters hosts in the record before anything is done on them.
func (r *run) remember(hosts []engine.Host) error {
	next := r.record.clone()
	next.Configuration = r.fleet.Configuration
	for _, declared := range r.config.Hosts() {
		if !declared.Local && slices.ContainsFunc(hosts, func(h engine.Host) bool { return h.Name == declared.Name }) {
			next.Hosts[declared.Name] = recordedHost{declared.Address}
		}
	}
	if err := next.write(r.chdir, r.record); err != nil {
		return fmt.Errorf("nothing was changed: the record of known hosts could not be written: %w", err)
	}
	if r.record.Configuration == "" {
		r.ui.Note(fmt.Sprintf("%s is new: keep it under version control with the configuration. By it hosts know what is this configuration's.", recordName))
	}
	r.record = next
	return nil
}

func (r *run) close() {
	r.fleet.Close()
	if r.disconnect != nil {
		r.disconnect()
	}
}

// wanted gives the engine a host's resources; what the configuration says against them is kept for printing.
func (r *run) wanted(host string, facts map[string]*wire.Facts) ([]*engine.Resource, error) {
	if host == "local" && !slices.ContainsFunc(r.config.Hosts(), func(h *config.Host) bool { return h.Local }) {
		return nil, nil // only its manifest tells of it
	}
	list, diags := r.config.Resources(host, facts)
	r.mu.Lock()
	r.diags = append(r.diags, config.HostDiagnostics{Host: host, Diagnostics: diags})
	r.mu.Unlock()
	if diags.HasErrors() {
		return nil, errors.New("its configuration has errors")
	}
	return list, nil
}

// leftOut tells what of host local is only not known now: a mirror's file there is made from its host's facts.
func (r *run) leftOut(host string, facts map[string]*wire.Facts) func(string) bool {
	if host != "local" {
		return func(string) bool { return false }
	}
	return r.config.LeftOut(facts)
}

// choose leaves the resources that --limit and --target mean.
func (r *run) choose(target engine.Target, list []*engine.Resource) []*engine.Resource {
	if target.Name == "local" {
		list = r.selectLocal(list)
	}
	r.met(list)
	return engine.Select(target, list, r.target)
}

// plan observes the hosts, and prints what the configuration and the hosts have against it. A
// --target that means nothing is an error.
func (r *run) plan(ctx context.Context) (*engine.Plan, error) {
	plan := r.observe(ctx)
	problems := r.problems(plan)
	r.ui.Diagnostics(problems, r.config.Files())
	r.collected.diagnosed(problems)
	r.collected.planned(plan)
	return plan, r.unmet(plan)
}

// observe is plan, and prints nothing but progress.
func (r *run) observe(ctx context.Context) *engine.Plan {
	r.events.Hosts(r.names())
	progress := r.progress()
	plan := r.fleet.Plan(ctx, r.hosts)
	progress.Close()
	r.events.Plan(plan.Counts())
	for _, h := range plan.Hosts {
		if errors.Is(h.Err, engine.ErrManifest) {
			h.Err = fmt.Errorf("%w. Nothing is planned for this host. %s", h.Err, manifestWayOut(h.Host))
		}
	}
	return plan
}

// names are the names of the run's hosts.
func (r *run) names() []string {
	names := make([]string, len(r.hosts))
	for i, h := range r.hosts {
		names[i] = h.Name
	}
	return names
}

func (r *run) progress() *ui.Progress { return r.progressOf(r.names()) }

// progressOf begins to show what happens on hosts.
func (r *run) progressOf(hosts []string) *ui.Progress {
	p := r.ui.Progress(hosts)
	r.fleet.Report = r.collected.timed(r.reporter(p))
	return p
}

// problems are all diagnostics of a plan: those of the configuration with this plan's facts, and those of resources on their hosts.
func (r *run) problems(plan *engine.Plan) hcl.Diagnostics {
	found := slices.Clone(r.diags)
	for _, h := range plan.Hosts {
		found = append(found, config.HostDiagnostics{Host: h.Host, Diagnostics: r.config.Problems(h.Problems)})
	}
	return r.config.Together(found)
}
