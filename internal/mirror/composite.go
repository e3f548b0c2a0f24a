package mirror

import (
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// Types returns a registry with all resource types and the composite type mirror.
func Types() *engine.Registry {
	r := resources.All()
	engine.RegisterComposite[Spec](r, "mirror", composite{})
	return r
}

// composite is the type of mirror blocks.
type composite struct{}

// Expand implements engine.CompositeType.
func (composite) Expand(r *engine.Registry, label string, spec *Spec, site engine.Site) ([]engine.Part, []engine.Problem) {
	return Expand(r, label, spec, site)
}

// OnLocal reports whether the block has an entry for AlmaLinux's mirrors.d, which is written on
// host local.
func (composite) OnLocal(spec *Spec) bool { return spec.Publish != nil && spec.AlmaLinux() }

// DependsOnHosts returns the hubs of a mirror.
func (composite) DependsOnHosts(spec *Spec) []string { return hubsOf(spec) }
