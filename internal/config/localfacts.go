package config

import "slices"

// LocalNeedsFacts returns the names of the hosts whose facts decide what mirrors put on host local, in the order of the configuration. Without
// these facts, Resources leaves that out.
func (c *Config) LocalNeedsFacts() []string {
	var names []string
	for _, b := range c.blocks {
		if !b.isMirror() || !b.localParts {
			continue
		}
		for _, i := range b.instances {
			for _, h := range i.hosts {
				if d := i.decoded[h.Name]; d != nil && len(d.unknown) > 0 && !slices.Contains(names, h.Name) {
					names = append(names, h.Name)
				}
			}
		}
	}
	return names
}
