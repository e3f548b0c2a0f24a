package run

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/agext/levenshtein"
	"github.com/mirrorform/mirrorform/engine"
)

// targets are the values of --target, and what became of them. Hosts are selected on by many
// goroutines at once.
type targets struct {
	list []string

	mu sync.Mutex
	// found are those that mean something; addresses are of what hosts have, where there is any
	// --target.
	found     map[string]bool
	addresses []string
}

// met notes which --target mean any of a host's resources, and what the host has where one means
// none.
func (t *targets) met(list []*engine.Resource) {
	if len(t.list) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, res := range list {
		t.addresses = append(t.addresses, res.Address)
		for _, one := range t.list {
			t.found[one] = t.found[one] || engine.Within(res.Address, one)
		}
	}
}

// mayMeet notes the --target that may mean parts of what is not known without facts.
func (t *targets) mayMeet(pending []string) {
	for _, one := range t.list {
		t.found[one] = t.found[one] || slices.ContainsFunc(pending, func(a string) bool { return engine.Within(a, one) || engine.Within(one, a) })
	}
}

// meant returns those of the addresses that --target means, or may mean parts of.
func (t *targets) meant(addresses []string) []string {
	if len(t.list) == 0 {
		return addresses
	}
	return slices.DeleteFunc(slices.Clone(addresses), func(a string) bool {
		return !slices.ContainsFunc(t.list, func(one string) bool { return engine.Within(a, one) || engine.Within(one, a) })
	})
}

// unmet is the error of the --target that mean nothing on hosts that were observed.
func (t *targets) unmet(plan *engine.Plan) error {
	failed := map[string]bool{}
	for _, h := range plan.Hosts {
		failed[h.Host] = h.Err != nil
	}
	var errs []error
	for _, one := range t.list {
		if !t.found[one] && !failed[engine.HostOf(one)] {
			errs = append(errs, noAddress(one, t.addresses))
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
