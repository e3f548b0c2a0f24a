package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
)

// Declared returns what is wanted on a host as far as it is known without facts, in the order of the configuration, and the addresses of the resources and
// mirrors that are not, since their arguments need facts.
func (c *Config) Declared(host string) (resources []*engine.Resource, pending []string, diags hcl.Diagnostics) {
	if c.failed {
		return nil, nil, hcl.Diagnostics{errorNowhere("Configuration has errors", "Its resources are not known.")}
	}
	h := c.byHost[host]
	if h == nil {
		return nil, nil, hcl.Diagnostics{errorNowhere("Unknown host", "There is no host named %q.%s", host, didYouMean(host, sortedKeys(c.byHost)))}
	}
	w := &wanting{config: c, dry: true, made: map[*instance][]*engine.Resource{}}
	w.host(h)
	w.dropAbsent()
	slices.Sort(w.pending)
	return w.resources, slices.Compact(w.pending), nil
}
