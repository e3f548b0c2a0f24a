package mirror

import (
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// Types returns a registry with the resource types of this program, and the composite type mirror.
func Types() *engine.Registry {
	r := resources.All()
	engine.RegisterComposite[Spec](r, "mirror", composite{})
	return r
}

// composite is the type of mirror blocks.
type composite struct{}

// Expand returns what a mirror block stands for on one host.
func (composite) Expand(r *engine.Registry, label string, spec *Spec, site engine.Site) ([]engine.Part, []engine.Problem) {
	return Expand(r, label, spec, site)
}

// OnLocal reports whether the block describes an entry of AlmaLinux's list, which is written on
// host local.
func (composite) OnLocal(spec *Spec) bool { return spec.Publish != nil }
