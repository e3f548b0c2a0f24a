package run

import (
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// RsyncModules returns what the host's rsync daemon does with the modules of a plan, by their
// directories (resources.RsyncModule.Serving). Modules that the plan removes are left out.
func RsyncModules(p *engine.HostPlan) map[string]string {
	serving := map[string]string{}
	for _, c := range p.Compared {
		if want, ok := c.Want.(*resources.RsyncModule); ok {
			have, _ := c.Have.(*resources.RsyncModule)
			serving[want.Path] = have.Serving()
		}
	}
	return serving
}
