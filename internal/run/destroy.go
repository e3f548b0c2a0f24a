package run

import (
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
)

// Removal marks resources for removal; destroy uses it as Aim.Adjust. Resources that cannot be
// restored stay, unless --target names them.
func (s *Scope) Removal(list []*engine.Resource) []*engine.Resource {
	targets := s.selection.Target
	var removed []*engine.Resource
	for _, res := range list {
		if len(targets) > 0 && !slices.ContainsFunc(targets, res.Address.Within) {
			continue // selected only because something else needs it
		}
		if keep := res.Kept(); keep != "" && !slices.Contains(targets, res.Address.String()) {
			s.observer.Note(fmt.Sprintf("Kept: %s (%s). To remove it, name it: --target '%s'", res.Address, keep, res.Address))
			continue
		}
		res.Remove = true
		removed = append(removed, res)
	}
	return removed
}
