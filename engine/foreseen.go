package engine

import (
	"fmt"
	"slices"
)

// foreseen reports whether a change depends on what earlier ones do, see Step.Foreseen.
func (c *Change) foreseen() bool {
	return slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Foreseen })
}

// unmet is the error of a foreseen change if what it depends on has not come about: one of the
// changes before it is needed again, such as the start of a unit that has ended at once.
func (c *Change) unmet(before []Change) error {
	for i := range before {
		b := &before[i]
		if c.uses(b) {
			return notAsWanted(b)
		}
	}
	return notAsWanted(c)
}

// notAsWanted is the error of a change that is still needed after its steps.
func notAsWanted(c *Change) error {
	return fmt.Errorf("%s is not as wanted after its steps succeeded: it still needs %q", c.Address, c.Steps[0].Summary)
}
