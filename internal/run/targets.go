package run

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/agext/levenshtein"
	"github.com/mirrorform/mirrorform/engine"
)

// targets are the values of --target, with what they match. Many goroutines select resources at
// once.
type targets struct {
	list []string

	mu sync.Mutex
	// found has the values that match a resource. addresses has all addresses of hosts, if there is
	// any --target.
	found     map[string]bool
	addresses []string
}

// met records which values match one of a host's resources, and the host's addresses for
// suggestions.
func (t *targets) met(list []*engine.Resource) {
	if len(t.list) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, res := range list {
		address := res.Address.String()
		t.addresses = append(t.addresses, address)
		for _, one := range t.list {
			t.found[one] = t.found[one] || engine.Within(address, one)
		}
	}
}

// mayMeet records values that may match resources that are not known without facts.
func (t *targets) mayMeet(pending []string) {
	for _, one := range t.list {
		t.found[one] = t.found[one] || slices.ContainsFunc(pending, func(a string) bool { return engine.Within(a, one) || engine.Within(one, a) })
	}
}

// meant returns the addresses that --target selects, or may select parts of.
func (t *targets) meant(addresses []string) []string {
	if len(t.list) == 0 {
		return addresses
	}
	return slices.DeleteFunc(slices.Clone(addresses), func(a string) bool {
		return !slices.ContainsFunc(t.list, func(one string) bool { return engine.Within(a, one) || engine.Within(one, a) })
	})
}

// unmet returns an error for the values that match nothing on the observed hosts.
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

// noAddress is the error of an address that matches no resource. It suggests a similar one.
func noAddress(target string, addresses []string) error {
	if near := nearest(target, addresses); near != "" {
		return fmt.Errorf("--target %q matches no resource. Did you mean %s?", target, near)
	}
	return fmt.Errorf("--target %q matches no resource. An address is HOST/TYPE.NAME. To list all: "+
		"mirrorform graph", target)
}

// nearest returns the address that a target most likely misspells, with as many parts as the target
// has; or one that ends with the target, if its host is missing.
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

// above returns the address of the mirror that an address is a part of, or "".
func above(address string) string {
	a, _ := engine.ParseAddress(address)
	if a.Part == "" {
		return ""
	}
	return a.Block().String()
}
