package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// MirrorPlace is where a mirror is declared for a host.
type MirrorPlace struct {
	Name  string    // the block's label
	Block hcl.Range // the whole block, to its closing brace
	Hosts []string  // the names of all hosts that the block is for
	Parts []string  // the names of what it expands to for the host, such as "cron"; nil where that needs facts
	// Reference is the part of the hosts argument that means the host: host.fra1, host.edge["ams"], or a group or a local value that the host
	// comes with.
	Reference hcl.Range
	Exact     bool // Reference means this host and no other
}

// MirrorsOn returns the mirrors that are declared for a host, in the order of the source.
func (c *Config) MirrorsOn(host string) []MirrorPlace {
	h := c.inventory.byName[host]
	if h == nil {
		return nil
	}
	var list []MirrorPlace
	for _, b := range c.declared.blocks {
		if b.composite == nil {
			continue
		}
		for _, i := range b.instances {
			if !slices.Contains(i.hosts, h) {
				continue
			}
			p := MirrorPlace{Name: b.label, Block: hcl.RangeBetween(b.header, b.source.SrcRange)}
			for _, other := range i.hosts {
				p.Hosts = append(p.Hosts, other.Name)
			}
			for _, part := range i.parts[host] {
				p.Parts = append(p.Parts, part.Name)
			}
			p.Reference, p.Exact = b.referenceTo(h)
			list = append(list, p)
		}
	}
	return list
}

// referenceTo finds what means a host in the hosts argument, and tells whether it means this host alone; that is the whole argument where the host
// is not named in it.
func (b *block) referenceTo(h *Host) (place hcl.Range, exact bool) {
	place = b.hosts.Range()
	for _, t := range b.hosts.Variables() {
		root, name := lang.Reference(t)
		if root != "host" || name != h.Block {
			continue
		}
		key := ""
		if len(t) > 2 {
			key = lang.StepName(t[2])
		}
		if key == h.Key {
			return t.SourceRange(), true
		}
		if key == "" {
			place = t.SourceRange() // the group
		}
	}
	return place, false
}
