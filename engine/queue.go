package engine

import (
	"fmt"
	"slices"
)

// DependencyError is in the error of a host that an apply skipped, because a host that it depends
// on is not as wanted.
type DependencyError struct {
	On      string // the host that it depends on
	Outcome Outcome
}

func (e *DependencyError) Error() string {
	outcome := string(e.Outcome)
	if e.Outcome != Failed {
		outcome = "was " + outcome
	}
	return fmt.Sprintf("host %s has to come first, and %s", e.On, outcome)
}

// queue returns the hosts of a plan in order: a host after those that it depends on, and hosts of
// the same group one at a time.
type queue struct {
	waiting []int // indexes
	group   func(i int) string
	busy    map[string]bool
	after   func(i int) []int
	ended   map[int]bool
}

// newQueue returns the queue of the hosts with these indexes.
func newQueue(plan *Plan, list []int, o ApplyOptions) *queue {
	q := &queue{
		waiting: list, busy: map[string]bool{}, ended: map[int]bool{},
		group: func(int) string { return "" }, after: func(int) []int { return nil },
	}
	if o.Group != nil {
		q.group = func(i int) string { return o.Group(plan.Hosts[i].Host) }
	}
	if o.After == nil {
		return q
	}
	index := map[string]int{}
	for _, i := range list {
		index[plan.Hosts[i].Host] = i
	}
	q.after = func(i int) (needs []int) {
		for _, on := range o.After(plan.Hosts[i].Host) {
			if n, here := index[on]; here {
				needs = append(needs, n)
			}
		}
		return needs
	}
	return q
}

// next returns the first host that may start, or -1.
func (q *queue) next() int {
	for n, i := range q.waiting {
		g := q.group(i)
		if g != "" && q.busy[g] || slices.ContainsFunc(q.after(i), func(need int) bool { return !q.ended[need] }) {
			continue
		}
		q.waiting = slices.Delete(q.waiting, n, n+1)
		if g != "" {
			q.busy[g] = true
		}
		return i
	}
	return -1
}

// done marks a host as ended, which frees its group and those that depend on it.
func (q *queue) done(i int) {
	q.ended[i] = true
	delete(q.busy, q.group(i))
}

// stuck reports whether hosts wait for each other, although none is running: then their order does
// not matter any more.
func (q *queue) stuck() bool {
	if len(q.waiting) == 0 {
		return false
	}
	q.after = func(int) []int { return nil }
	return true
}

// refuse returns why a host must not start, or nil.
func (o *ApplyOptions) refuse(hp *HostPlan, results []*HostResult) error {
	if hp.Failed() {
		return nil // it has its own error
	}
	if o.Admit != nil {
		if why := o.Admit(hp.Host); why != nil {
			return why
		}
	}
	return o.unmet(hp, results)
}

// unmet returns why a host with changes must not start, although all that it depends on have ended.
func (o *ApplyOptions) unmet(hp *HostPlan, results []*HostResult) error {
	if o.After == nil || len(hp.Changes) == 0 {
		return nil
	}
	for _, on := range o.After(hp.Host) {
		for _, list := range [][]*HostResult{results, o.Before} {
			i := slices.IndexFunc(list, func(r *HostResult) bool { return r != nil && r.Host == on })
			// What comes in a second transaction is not what other hosts depend on.
			if i >= 0 && list[i].Err != nil && list[i].State != PartlyDone {
				return &DependencyError{on, list[i].Outcome()}
			}
		}
	}
	return nil
}
