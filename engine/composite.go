package engine

import (
	"maps"
	"slices"
)

// CompositeType is a type of blocks that stand for several resources, such as mirror. S is the
// struct that such a block fills. Its methods read nothing but their arguments, which they leave as
// they are.
type CompositeType[S any] interface {
	// Expand returns the resources that a block with that label stands for on one host, or what is
	// wrong with the block. A problem's Attribute is the path of an attribute of the block, with
	// dots: "storage.path". Any problem that is an error leaves no parts. It works with zero facts,
	// too.
	Expand(r *Registry, label string, spec *S, site Site) ([]Part, []Problem)
	// OnLocal reports whether a block may have parts on host local.
	OnLocal(spec *S) bool
}

// Site is what an expansion has to know of a block's host.
type Site struct {
	Target  Target
	Address string // as configured
	Dir     string // absolute path of the configuration's directory
}

// Part is one resource that a block expands to.
type Part struct {
	Name      string   // the last part of its address: HOST/COMPOSITE.LABEL.NAME
	Local     bool     // it is on host local, at local/COMPOSITE.LABEL.NAME["HOST"]
	Type      string   // resource type
	State     any      // *S of that type
	DependsOn []string // names of other parts on the same host
	Keep      string   // why destroy leaves it alone unless named
	Data      any      // what commands read of it, where they need more than State: see Resource.Data
}

// Composite is a registered CompositeType with its block's Go type put aside. Every spec is a *S of
// its type.
type Composite struct {
	Name    string
	New     func() any // a new zero spec
	Expand  func(r *Registry, label string, spec any, site Site) ([]Part, []Problem)
	OnLocal func(spec any) bool
}

// RegisterComposite adds a composite type. Its name is that of its blocks. Registering a name twice
// is a bug.
func RegisterComposite[S any](r *Registry, name string, t CompositeType[S]) {
	if r.composites == nil {
		r.composites = map[string]*Composite{}
	}
	if r.composites[name] != nil {
		panic("engine: composite type registered twice: " + name)
	}
	r.composites[name] = &Composite{
		Name: name,
		New:  func() any { return new(S) },
		Expand: func(r *Registry, label string, spec any, site Site) ([]Part, []Problem) {
			return t.Expand(r, label, spec.(*S), site)
		},
		OnLocal: func(spec any) bool { return t.OnLocal(spec.(*S)) },
	}
}

// Composite returns the composite type of that name, or nil.
func (r *Registry) Composite(name string) *Composite { return r.composites[name] }

// CompositeNames returns the names of the composite types, sorted.
func (r *Registry) CompositeNames() []string { return slices.Sorted(maps.Keys(r.composites)) }
