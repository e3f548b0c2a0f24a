package config

import (
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// part returns the resource for a part of a composite.
func (i *instance) part(reg *engine.Registry, h *DeclaredHost, p engine.Part) *engine.Resource {
	of := i.address(h.Name)
	if p.Local {
		of = i.address(localHost)
		of.Key = h.Name
	}
	address := func(name string) engine.Address {
		a := of
		a.Part = name
		return a
	}
	r := &engine.Resource{
		Address: address(p.Name), Kind: reg.Kind(p.Type), State: p.State, Source: sourceOf(i.block.header), Keep: p.Keep,
		PreventDestroy: i.block.life.preventDestroy, Alone: p.Alone, Data: p.Data,
		Sensitive: p.Sensitive,
	}
	for _, name := range p.DependsOn {
		r.DependsOn = append(r.DependsOn, address(name))
	}
	return r
}

// sourceOf returns a position for engine.Resource.Source: fleet.hcl:12, without the directory.
func sourceOf(r hcl.Range) string {
	r.Filename = filepath.Base(r.Filename)
	return lang.Place(r)
}
