package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/spf13/cobra"
)

// checkTargets refuses a --target whose host is not selected, before any host is reached. Whether
// there is such a resource is known when its host was observed: it may be one that is only managed
// there.
func (r *run) checkTargets() error {
	for _, t := range r.target {
		host := engine.HostOf(t)
		if slices.ContainsFunc(r.hosts, func(h engine.Host) bool { return h.Name == host }) {
			continue
		}
		if r.declares(host) {
			return fmt.Errorf("--target %q: --limit or --shard leaves host %s out", t, host)
		}
		return noAddress(t, r.config.Addresses())
	}
	return nil
}

// met notes which --target mean any of a host's resources, and what the host has where one means
// none.
func (r *run) met(list []*engine.Resource) {
	if len(r.target) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range list {
		r.addresses = append(r.addresses, res.Address)
		for _, t := range r.target {
			r.found[t] = r.found[t] || engine.Within(res.Address, t)
		}
	}
}

// mayMeet notes the --target that may mean parts of what is not known without facts.
func (r *run) mayMeet(pending []string) {
	for _, t := range r.target {
		r.found[t] = r.found[t] || slices.ContainsFunc(pending, func(a string) bool { return engine.Within(a, t) || engine.Within(t, a) })
	}
}

// unmet is the error of the --target that mean nothing on hosts that were observed.
func (r *run) unmet(plan *engine.Plan) error {
	failed := map[string]bool{}
	for _, h := range plan.Hosts {
		failed[h.Host] = h.Err != nil
	}
	var errs []error
	for _, t := range r.target {
		if !r.found[t] && !failed[engine.HostOf(t)] {
			errs = append(errs, noAddress(t, r.addresses))
		}
	}
	return errors.Join(errs...)
}

// noAddress is the error of an address that means nothing, with the nearest of those that there
// are.
func noAddress(target string, addresses []string) error {
	if near := nearest(target, addresses); near != "" {
		return fmt.Errorf("--target %q means no resource. Did you mean %s?", target, near)
	}
	return fmt.Errorf("--target %q means no resource: an address is HOST/TYPE.NAME, as `mirrorform graph` shows them", target)
}

// nearest is the address that a target is most likely a misspelling of, cut to as many parts as the
// target has; or one that ends with it, where the host is missing.
func nearest(target string, addresses []string) string {
	best, limit := "", max(2, len(target)/2)
	for _, address := range addresses {
		if engine.Local(address) == target {
			return address
		}
		for _, a := range []string{address, above(address), engine.HostOf(address)} {
			if d := levenshtein.Distance(target, a, nil); a != "" && d < limit {
				best, limit = a, d
			}
		}
	}
	return best
}

// above is the address of the mirror that an address is a part of, or "".
func above(address string) string {
	a, _ := engine.ParseAddress(address)
	if a.Part == "" {
		return ""
	}
	return a.Block().String()
}

// noArguments is cobra.NoArgs for commands that take hosts and addresses as options.
func (a *app) noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		if err := a.checkArgument(cmd, args[0]); err != nil {
			return err
		}
	}
	return cobra.NoArgs(cmd, args)
}

// checkArgument explains an argument of a command that takes none: a host or an address that
// belongs to an option.
func (a *app) checkArgument(cmd *cobra.Command, arg string) error {
	c, _ := a.load()
	takes := func(flag string) bool { return cmd.Flags().Lookup(flag) != nil }
	if takes("limit") && slices.ContainsFunc(c.Hosts(), func(h *config.Host) bool { return h.Name == arg || h.Block == arg }) {
		return fmt.Errorf("%s is a host: use --limit %s", arg, quotedArgument(arg))
	}
	if takes("target") && slices.ContainsFunc(c.Addresses(), func(address string) bool { return engine.Within(address, arg) }) {
		return fmt.Errorf("%s is an address: use --target %s", arg, quotedArgument(arg))
	}
	return nil
}

// quotedArgument is an argument as it is typed in a shell.
func quotedArgument(arg string) string {
	if strings.ContainsAny(arg, `[]"'*?!$ \`) {
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return arg
}
