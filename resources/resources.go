// Package resources has the resource types: what a configuration can declare on a host.
//
// Each type is pure: it returns the questions for a host, reads a state from the answers, and
// returns the steps from the found state to the wanted one as data. Each type has its own file;
// its tests are text files in testdata/.
package resources

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine"
)

// types register the resource types. The file of each type adds it.
var types []func(*engine.Registry)

// register adds a type to All.
func register[S any](name string, t engine.Type[S]) {
	types = append(types, func(r *engine.Registry) { engine.Register(r, name, t) })
}

// All returns a new registry with every resource type.
func All() *engine.Registry {
	r := new(engine.Registry)
	for _, add := range types {
		add(r)
	}
	return r
}

// refusal returns an error. Detail is what to do about it.
func refusal(attribute, summary, detail string) engine.Problem {
	return engine.Problem{Severity: engine.Error, Attribute: attribute, Summary: summary, Detail: detail}
}

// caution returns a warning. Detail is what to do about it.
func caution(attribute, summary, detail string) engine.Problem {
	return engine.Problem{Severity: engine.Warning, Attribute: attribute, Summary: summary, Detail: detail}
}

// refused reports whether one of the problems is an error.
func refused(problems []engine.Problem) bool {
	return slices.ContainsFunc(problems, func(p engine.Problem) bool { return p.Severity == engine.Error })
}
