// Package resources holds the resource types: what a configuration can declare on a host.
//
// Each type is pure: it says what to ask a host, makes a state out of the answers, and returns the steps from the found
// state to the wanted one as data. Each has a file of its own, and its tests are text files in testdata/.
package resources

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine"
)

// types register all resource types. Each type's file adds its own.
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

// refusal is an error with advice. Detail says what to do about it.
func refusal(attribute, summary, detail string) engine.Problem {
	return engine.Problem{Severity: engine.Error, Attribute: attribute, Summary: summary, Detail: detail}
}

// caution is a warning with advice.
func caution(attribute, summary, detail string) engine.Problem {
	return engine.Problem{Severity: engine.Warning, Attribute: attribute, Summary: summary, Detail: detail}
}

// refused tells whether one of the problems is an error.
func refused(problems []engine.Problem) bool {
	return slices.ContainsFunc(problems, func(p engine.Problem) bool { return p.Severity == engine.Error })
}
