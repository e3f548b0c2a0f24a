package engine

import (
	"maps"
	"slices"
)

// CompositeType is the type of blocks that expand to several resources, such as mirror. S is the
// struct that such a block decodes into. Its methods are pure and must not change their arguments.
type CompositeType[S any] interface {
	// Expand returns the resources of a block with this label on one host, or the problems of the
	// block. A problem's Attribute is the dotted path of the block's attribute: "storage.path". If any
	// problem is an error, no parts are used. Expand must accept zero facts (validate has no others).
	Expand(r *Registry, label string, spec *S, site Site) ([]Part, []Problem)
	// OnLocal reports whether a block may have parts on host local.
	OnLocal(spec *S) bool
}

// HostDependent is a CompositeType whose blocks can depend on blocks of the type on other hosts. An
// apply changes those hosts first.
type HostDependent[S any] interface {
	// DependsOnHosts returns the names of the hosts that a block depends on.
	DependsOnHosts(spec *S) []string
}

// Site describes the host of a block.
type Site struct {
	Target  Target
	Address string // the host's address, as configured
	Dir     string // absolute path of the configuration's directory
	// DependsOn has the hosts that the block depends on, and Dependents those with blocks that depend
	// on this host, each with its blocks of the type; see HostDependent.
	DependsOn, Dependents []Neighbour
}

// Neighbour is another host of the configuration.
type Neighbour struct {
	Host    string
	Address string // as configured
	Here    bool   // it is this machine, and reached without a network
	Source  string // where it is declared: fleet.hcl:3
	Blocks  []NeighbourBlock
	// Unknown reports that Address and Blocks are not known, because of an error or a variable without
	// a value. Nothing follows from what they lack.
	Unknown bool
}

// NeighbourBlock is a block of the same composite type on another host.
type NeighbourBlock struct {
	Label  string
	Spec   any // *S: what is known without the host's facts. It must not be changed
	Source string
	// Unknown has the paths of the attributes of Spec that need facts of that host.
	Unknown map[string]bool
}

// Part is one resource of an expanded block.
type Part struct {
	Name      string   // the last part of the address: HOST/COMPOSITE.LABEL.NAME
	Local     bool     // on host local instead, as local/COMPOSITE.LABEL.NAME["HOST"]
	Type      string   // resource type
	State     any      // *S of Type
	DependsOn []string // names of other parts on the same host
	Alone     string   // see Resource.Alone
	Keep      string   // why destroy keeps it unless it is named
	Data      any      // what commands need beyond State: see Resource.Data
	// Sensitive has the attributes of State whose values are secret.
	Sensitive map[string]bool
}

// Composite is a registered CompositeType without its type parameter. Every spec is a *S of the
// type.
type Composite struct {
	Name    string
	New     func() any // returns a zero spec
	Expand  func(r *Registry, label string, spec any, site Site) ([]Part, []Problem)
	OnLocal func(spec any) bool
	// DependsOnHosts is nil, unless the type is a HostDependent.
	DependsOnHosts func(spec any) []string
}

// RegisterComposite adds a composite type. name is the type of its blocks. Registering a name twice
// is a bug and panics.
func RegisterComposite[S any](r *Registry, name string, t CompositeType[S]) {
	if r.composites == nil {
		r.composites = map[string]*Composite{}
	}
	if r.composites[name] != nil {
		panic("engine: composite type registered twice: " + name)
	}
	c := &Composite{
		Name: name,
		New:  func() any { return new(S) },
		Expand: func(r *Registry, label string, spec any, site Site) ([]Part, []Problem) {
			return t.Expand(r, label, spec.(*S), site)
		},
		OnLocal: func(spec any) bool { return t.OnLocal(spec.(*S)) },
	}
	if d, ok := t.(HostDependent[S]); ok {
		c.DependsOnHosts = func(spec any) []string { return d.DependsOnHosts(spec.(*S)) }
	}
	r.composites[name] = c
}

// Composite returns the composite type with this name, or nil.
func (r *Registry) Composite(name string) *Composite { return r.composites[name] }

// CompositeNames returns the names of the composite types, sorted.
func (r *Registry) CompositeNames() []string { return slices.Sorted(maps.Keys(r.composites)) }
