package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sync/errgroup"
)

// Action is what a plan does to a resource.
type Action string

// The actions of a Change.
const (
	Create  Action = "create"
	Update  Action = "update"
	Delete  Action = "delete"
	Replace Action = "replace"
)

// Change is what a plan does to one resource.
type Change struct {
	Resource *Resource
	Address  string
	Also     []string // addresses of other resources that want the same thing: see Resource.Owners
	Type     string
	Action   Action
	// Before and After are the attributes that are managed or differ, in the order in which the type
	// declares them. Before is nil for Create, After for Delete.
	Before, After []Attribute
	Steps         []Step
	risk          string // of a Risky type: what may be cut off
	loads         []Key  // units whose last steps load what the first ones write
	provides      []Key
	needs         []Key
	interim       *interim
	// secrets is the address of the resource whose secrets may appear in the output of the steps'
	// programs, or "".
	secrets string
}

// HostPlan is the plan of one host.
type HostPlan struct {
	Host      string
	MachineID string      // see machine-id(5); empty for hosts with Last set
	Facts     *wire.Facts // nil if the host was not reached
	Changes   []Change
	Unchanged int                // resources that are as wanted
	Compared  []Compared         // all resources that apply (Conditional), in order
	Problems  []*ResourceProblem // warnings, and errors that stop this host
	Notes     []string           // other information: who has the lock, what is released
	Err       error              // why the host could not be reached or read

	last     bool     // as Host.Last
	visit    *visit   // for an apply; nil without one
	unread   bool     // the answers do not show all resources
	released []string // addresses that would be removed, but existed before mirrorform managed them
}

// Compared is the comparison of one resource.
type Compared struct {
	Resource *Resource
	Want     any // *S, completed; nil if the resource is to be removed
	Have     any // *S as found; nil if absent

	declared any // Want without remembered values and values that the host's answers decided
}

// Failed reports whether the host's plan cannot be applied.
func (p *HostPlan) Failed() bool {
	return p.Err != nil || slices.ContainsFunc(p.Problems, func(q *ResourceProblem) bool { return q.Severity == Error })
}

// failure returns why the host's plan cannot be applied, or nil.
func (p *HostPlan) failure() error {
	err := p.Err
	for _, q := range p.Problems {
		switch {
		case q.Severity != Error:
		case q.Resource == nil:
			err = errors.Join(err, errors.New(q.Shown().String()))
		default:
			err = errors.Join(err, fmt.Errorf("%s: %s", q.Resource.Address, q.Shown()))
		}
	}
	return err
}

// Plan is the plan of all hosts, in declaration order.
type Plan struct {
	Hosts []*HostPlan

	fleet Fleet  // whose hosts they are
	hosts []Host // of each HostPlan
}

// Close closes the connections of the plan, which frees the locks of its hosts.
func (p *Plan) Close() {
	var closing errgroup.Group
	for _, h := range p.Hosts {
		closing.Go(func() error {
			h.visit.close()
			return nil
		})
	}
	_ = closing.Wait() // always nil
}

// Counts are the totals of a plan.
type Counts struct {
	Create, Update, Delete, Replace, Unchanged int
}

// Changes returns how many resources the plan changes.
func (c Counts) Changes() int { return c.Create + c.Update + c.Delete + c.Replace }

// Counts returns the totals of all hosts.
func (p *Plan) Counts() Counts {
	var c Counts
	for _, h := range p.Hosts {
		c.Unchanged += h.Unchanged
		for _, ch := range h.Changes {
			switch ch.Action {
			case Create:
				c.Create++
			case Update:
				c.Update++
			case Delete:
				c.Delete++
			case Replace:
				c.Replace++
			}
		}
	}
	return c
}

// Failed reports whether the plan of any host cannot be applied.
func (p *Plan) Failed() bool {
	return slices.ContainsFunc(p.Hosts, (*HostPlan).Failed)
}

// Questions returns the questions about resources, each one once.
func Questions(t Target, resources []*Resource) []wire.Query {
	var all []wire.Query
	seen := map[string]bool{}
	for _, r := range resources {
		for _, q := range r.Kind.ask(t, r.completed(t)) {
			if k := q.Key(); !seen[k] {
				seen[k] = true
				all = append(all, q)
			}
		}
	}
	return all
}

func newChange(r *Resource, want, have any, steps []Step) Change {
	c := Change{Resource: r, Address: r.Address.String(), Also: r.also(), Type: r.Kind.Name, Action: Update, Steps: steps}
	switch {
	case want == nil:
		c.Action = Delete
	case have == nil:
		c.Action = Create
	case r.Replace:
		c.Action = Replace
	}
	if r.Kind.risk != nil {
		c.risk = r.Kind.risk(want, have)
	}
	c.Before, c.After = compareAttributes(want, have, r.Sensitive)
	return c
}

// ForHost finds a host's plan, or nil.
func (p *Plan) ForHost(name string) *HostPlan {
	for _, h := range p.Hosts {
		if h.Host == name {
			return h
		}
	}
	return nil
}

func (c *Change) String() string { return fmt.Sprintf("%s %s", c.Action, c.Address) }
