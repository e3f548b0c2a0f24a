package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// MirrorPlace is the position of a mirror block for a host in the source. retire edits it.
type MirrorPlace struct {
	Name  string    // the block's label
	Block hcl.Range // the whole block, with its closing brace
	Hosts []string  // the names of all hosts of the block
	Parts []string  // the names of its parts on the host, such as "cron"; nil if they need facts
	// Reference is the part of the hosts argument that includes the host: host.fra1,
	// host.edge["ams"], a group, or the whole argument.
	Reference hcl.Range
	Exact     bool // Reference includes only this host
	// Spec is what the block decodes into for the host, without values that need facts.
	Spec any
}

// MirrorsOn returns the mirrors that are declared for a host, in source order.
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
			if d := i.decoded[host]; d != nil {
				p.Spec = d.state
			}
			p.Reference, p.Exact = b.referenceTo(h)
			list = append(list, p)
		}
	}
	return list
}

// referenceTo returns the part of the hosts argument that includes a host, and reports whether it
// includes only this host. If no reference names the host, it is the whole argument.
func (b *block) referenceTo(h *DeclaredHost) (place hcl.Range, exact bool) {
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
