// Package resources holds the resource types: what a configuration can declare on a host.
//
// Each type is pure: it says what to ask a host, makes a state out of the answers, and returns the steps from the found
// state to the wanted one as data. Each has a file of its own, and its tests are text files in testdata/.
package resources

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine"
)

// All returns a new registry with every resource type.
func All() *engine.Registry {
	r := new(engine.Registry)
	engine.Register(r, "cron", cronType{})
	engine.Register(r, "directory", directoryType{})
	engine.Register(r, "file", fileType{})
	engine.Register(r, "filesystem", filesystemType{})
	engine.Register(r, "group", groupType{})
	engine.Register(r, "logrotate", logrotateType{})
	engine.Register(r, "mount", mountType{})
	engine.Register(r, "nginx_site", nginxSiteType{})
	engine.Register(r, "package", packageType{})
	engine.Register(r, "program", programType{})
	engine.Register(r, "service", serviceType{})
	engine.Register(r, "storage", storageType{})
	engine.Register(r, "symlink", symlinkType{})
	engine.Register(r, "tree", treeType{})
	engine.Register(r, "user", userType{})
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
