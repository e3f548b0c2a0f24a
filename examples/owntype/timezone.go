package main

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Timezone is the time zone of a host: the target of the link /etc/localtime (localtime(5)).
type Timezone struct {
	Zone string `hcl:"zone"` // path below /usr/share/zoneinfo, such as "Etc/UTC"
}

const (
	localtime = "/etc/localtime"
	zoneinfo  = "/usr/share/zoneinfo/"
)

type timezoneType struct{}

// Keys provides the path of the link, so that no other resource of the host can manage it.
func (timezoneType) Keys(engine.Target, *Timezone) (provides, needs []engine.Key) {
	return []engine.Key{engine.PathKey(localtime)}, nil
}

// Validate refuses paths outside of /usr/share/zoneinfo.
func (timezoneType) Validate(want *Timezone) []engine.Problem {
	if want.Zone == "" || strings.HasPrefix(want.Zone, "/") || strings.Contains(want.Zone, "..") {
		return []engine.Problem{{
			Severity: engine.Error, Attribute: "zone",
			Summary: fmt.Sprintf("%q is not a time zone", want.Zone), Detail: `use a name such as "Europe/Berlin"`,
		}}
	}
	return nil
}

// question asks for the link. mirrorform sends the questions of all resources of a host in one
// message.
var question = wire.Query{Verb: wire.AskFile, Arg: localtime}

// Ask returns the questions that Read needs.
func (timezoneType) Ask(engine.Target, *Timezone) []wire.Query { return []wire.Query{question} }

// Read returns the time zone, or nil if /etc/localtime is not a link to one.
func (timezoneType) Read(_ engine.Target, _ *Timezone, got engine.Answers) (*Timezone, error) {
	f, err := got.File(question)
	if err != nil {
		return nil, err
	}
	found, ok := strings.CutPrefix(strings.Replace(f.Target, "../usr/", "/usr/", 1), zoneinfo)
	if !ok {
		return nil, nil
	}
	return &Timezone{Zone: found}, nil
}

// Diff returns the steps from have to want: it creates or changes the link, or, if want is nil,
// removes it. A host without the link has UTC.
func (timezoneType) Diff(_ engine.Target, want, have *Timezone) []engine.Step {
	undo := &wire.Op{Restore: &wire.RestoreOp{Path: localtime}}
	switch {
	case want == nil:
		return []engine.Step{{Summary: "remove " + localtime, Do: wire.Op{Remove: &wire.RemoveOp{Path: localtime}}, Undo: undo}}
	case have != nil && have.Zone == want.Zone:
		return nil
	}
	set := wire.Op{Symlink: &wire.SymlinkOp{Path: localtime, Target: zoneinfo + want.Zone}}
	return []engine.Step{{Summary: "set the time zone to " + want.Zone, Do: set, Undo: undo}}
}
