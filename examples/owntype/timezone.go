package main

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Timezone is a host's time zone: the target of /etc/localtime (localtime(5)). A host has one.
type Timezone struct {
	Zone string `hcl:"zone"` // as below /usr/share/zoneinfo: "Etc/UTC"
}

const (
	localtime = "/etc/localtime"
	zoneinfo  = "/usr/share/zoneinfo/"
)

type timezoneType struct{}

// Keys keeps two resources of a host from managing the same link.
func (timezoneType) Keys(engine.Target, *Timezone) (provides, needs []engine.Key) {
	return []engine.Key{engine.PathKey(localtime)}, nil
}

// Validate refuses a zone that leads out of zoneinfo.
func (timezoneType) Validate(want *Timezone) []engine.Problem {
	if want.Zone == "" || strings.HasPrefix(want.Zone, "/") || strings.Contains(want.Zone, "..") {
		return []engine.Problem{{
			Severity: engine.Error, Attribute: "zone", Summary: fmt.Sprintf("%q is not a time zone", want.Zone), Detail: `write one as "Europe/Berlin"`,
		}}
	}
	return nil
}

// question is the type's only question. All questions to a host go in one message.
var question = wire.Query{Verb: wire.AskFile, Arg: localtime}

// Ask asks for the link.
func (timezoneType) Ask(engine.Target, *Timezone) []wire.Query { return []wire.Query{question} }

// Read decodes a link to a zone. Anything else counts as not set.
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

// Diff makes the link, or removes the link that was made: a host without it has UTC.
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
