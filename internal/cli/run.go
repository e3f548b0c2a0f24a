package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/wire"
	"github.com/mirrorform/mirrorform/resources"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// addVarFlags adds what sets variables.
func (a *app) addVarFlags(flags *pflag.FlagSet) {
	flags.Var((*varFlag)(&a.vars), "var", "set a variable: `NAME=VALUE` (may be given again)")
	flags.Var((*varFileFlag)(&a.vars), "var-file", "read variables from `FILE` (may be given again)")
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
	flags.StringSliceVar(&a.limit, "limit", nil, "only these `HOSTS`: names, for_each blocks or globs, with commas between them")
	flags.StringArrayVar(&a.target, "target", nil, "only the resources at or below `ADDRESS`, and what they need (may be given again)")
	flags.IntVar(&a.parallelism, "parallelism", 64, "`NUMBER` of hosts to work on at once")
	flags.BoolVar(&a.acceptHostKeys, "accept-new-host-keys", false, "trust the keys of hosts that known_hosts has no entry for, and enter them")
	flags.StringArrayVar(&a.knownHosts, "known-hosts", nil, "read host keys from `FILE` in place of ~/.ssh/known_hosts and the system's (may be given again)")
	flags.BoolVar(&a.askBecomePass, "ask-become-pass", false, "ask for the password that sudo wants")
	_ = cmd.RegisterFlagCompletionFunc("limit", a.completeHosts)
	_ = cmd.RegisterFlagCompletionFunc("target", a.completeAddresses)
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
	return config.Load(config.Options{Dir: a.chdir, Sources: a.vars, Environ: os.Environ(), Registry: resources.All()})
}

// mustLoad reads the configuration and prints what is wrong with it.
func (a *app) mustLoad() (*config.Config, error) {
	c, diags := a.load()
	a.ui.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return nil, errReported
	}
	return c, nil
}

// run is one run of a command against the configuration's hosts.
type run struct {
	*app
	config *config.Config
	hosts  []engine.Host
	fleet  *engine.Fleet
	// adjust changes what is wanted on a host, where a command wants something else than the configuration says.
	adjust func([]*engine.Resource) []*engine.Resource

	mu    sync.Mutex
	diags hcl.Diagnostics
}

// newRun prepares a run. Nothing is reached yet. The caller closes it.
func (a *app) newRun() (*run, error) {
	c, err := a.mustLoad()
	if err != nil {
		return nil, err
	}
	r := &run{app: a, config: c}
	if r.hosts, err = a.selectHosts(c); err != nil {
		return nil, err
	}
	r.fleet = &engine.Fleet{Wanted: r.wanted, Parallelism: a.parallelism}
	r.fleet.Connect, err = a.connector(c)
	return r, err
}

func (r *run) close() { r.fleet.Close() }

// selectHosts returns the hosts that --limit means, all by default. Host local goes along, since it holds what mirrors publish.
func (a *app) selectHosts(c *config.Config) ([]engine.Host, error) {
	var hosts []engine.Host
	matched := make([]bool, len(a.limit))
	for _, h := range c.Hosts() {
		selected := len(a.limit) == 0 || h.Local
		for i, l := range a.limit {
			ok, err := path.Match(l, h.Name)
			if err != nil {
				return nil, fmt.Errorf("--limit %q is no host name or glob: %w", l, err)
			}
			if ok || l == h.Name || l == h.Block {
				matched[i], selected = true, true
			}
		}
		if selected {
			hosts = append(hosts, engine.Host{Name: h.Name, Last: h.Local})
		}
	}
	if i := slices.Index(matched, false); i >= 0 {
		return nil, &noHostError{a.limit[i]}
	}
	return hosts, nil
}

// noHostError is the error of a --limit that means no host.
type noHostError struct{ limit string }

func (e *noHostError) Error() string {
	return fmt.Sprintf("--limit %q means no host of this configuration", e.limit)
}

// wanted gives the engine a host's resources; what the configuration says against them is kept for printing.
func (r *run) wanted(host string, facts map[string]*wire.Facts) ([]*engine.Resource, error) {
	list, diags := r.config.Resources(host, facts)
	r.mu.Lock()
	r.diags = append(r.diags, diags...)
	r.mu.Unlock()
	if diags.HasErrors() {
		return nil, errors.New("its configuration has errors")
	}
	if len(r.limit) > 0 {
		list = slices.DeleteFunc(list, func(res *engine.Resource) bool { return !r.limited(res) })
	}
	var target engine.Target
	if f := facts[host]; f != nil {
		target = engine.Target{Name: host, Facts: *f}
	}
	list = engine.Select(target, list, r.target)
	if r.adjust != nil {
		list = r.adjust(list)
	}
	return list, nil
}

// limited tells whether a resource is on a host that --limit means, or belongs to one: mirrors.d files are on host local.
func (r *run) limited(res *engine.Resource) bool {
	if engine.HostOf(res.Address) != "local" {
		return true
	}
	return slices.ContainsFunc(r.hosts, func(h engine.Host) bool { return strings.HasSuffix(res.Address, fmt.Sprintf("[%q]", h.Name)) })
}

// plan observes the hosts, and prints what the configuration and the hosts have against it.
func (r *run) plan(ctx context.Context) *engine.Plan {
	progress := r.progress()
	plan := r.fleet.Plan(ctx, r.hosts)
	progress.Close()
	r.ui.Diagnostics(r.problems(plan), r.config.Files())
	return plan
}

func (r *run) progress() *ui.Progress {
	names := make([]string, len(r.hosts))
	for i, h := range r.hosts {
		names[i] = h.Name
	}
	p := r.ui.Progress(names)
	r.fleet.Report = p.Report
	return p
}

// problems are all diagnostics of a plan: those of the configuration with this plan's facts, and those of resources on their hosts.
func (r *run) problems(plan *engine.Plan) hcl.Diagnostics {
	diags := slices.Clone(r.diags)
	for _, h := range plan.Hosts {
		for _, p := range h.Problems {
			if p.Resource != nil {
				diags = append(diags, r.config.Problem(p.Resource, p.Problem))
			}
		}
	}
	return diags
}
