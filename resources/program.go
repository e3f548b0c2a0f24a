package resources

import (
	"fmt"
	"strconv"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Program is a program of mirrorform on a host, which other resources run. Mirror blocks declare
// it. A plan replaces it if this mirrorform has a newer version, or if the file has been changed.
type Program struct {
	Path string `hcl:"path" id:"true"` // absolute path; root owns the file, with mode 0755
	// Name is the name of the program. The only one is mirrorform-sync, which runs the syncs of
	// mirrors.
	Name string `hcl:"name"`

	// Version changes only with the behaviour of the program, so that another build of it is not a
	// difference.
	Version string `plan:"version" remember:"version"`
	// SHA256 is the digest of the found file, in hex.
	SHA256 string `plan:"sha256,found" remember:"sha256"`

	// Owner, Group, Mode and Kind are as in File.
	Owner string `plan:"owner"`
	Group string `plan:"group"`
	Mode  string `plan:"mode"`
	Kind  string `plan:"kind,found"`

	found wire.File
}

// programVersions has the versions of the programs in this mirrorform. If you change what a program
// does on its host, add one to its version.
var programVersions = map[string]string{wire.SyncProgram: "4"}

type programType struct{}

func init() { register("program", programType{}) }

// Settle clears the digest: it is found, not wanted.
func (programType) Settle(_ engine.Target, want *Program, _ *engine.Record, _ engine.Answers) *Program {
	s := *want
	s.SHA256 = ""
	return &s
}

// Complete returns want with this mirrorform's version.
func (programType) Complete(_ engine.Target, want *Program) *Program {
	full := *want
	if full.Mode == "" { // a wanted state, not a found one
		full.Version = programVersions[want.Name]
		full.Owner, full.Group, full.Mode = "root", "root", "0755"
	}
	return &full
}

func (programType) managed(s *Program) *managedFile {
	return &managedFile{path: s.Path, owner: s.Owner, group: s.Group, mode: s.Mode, kind: s.Kind, parents: true, found: s.found}
}

func (programType) Keys(_ engine.Target, want *Program) (provides, needs []engine.Key) {
	return []engine.Key{engine.PathKey(want.Path)}, fileNeeds(want.Path, "", "")
}

func (programType) Validate(want *Program) []engine.Problem {
	out := report("path", checkPath(want.Path))
	if programVersions[want.Name] == "" {
		out = append(out, refusal("name", fmt.Sprintf("%q is not a program of mirrorform", want.Name),
			"use "+wire.SyncProgram+", the only one"))
	}
	return out
}

func (pt programType) Ask(_ engine.Target, want *Program) []wire.Query {
	return []wire.Query{pt.managed(want).query()}
}

// Read finds the version of a file by its digest: an apply recorded it, or it is that of this
// mirrorform. The version of any other file is not known.
func (pt programType) Read(t engine.Target, want *Program, got engine.Answers) (*Program, error) {
	full := pt.Complete(t, want)
	m, err := pt.managed(full).read(got)
	if err != nil || m == nil {
		return nil, err
	}
	have := &Program{
		Path: want.Path, Name: want.Name, SHA256: m.found.SHA256, Owner: m.owner, Group: m.group, Mode: m.mode, Kind: m.kind, found: m.found,
	}
	if have.SHA256 == "" {
		return have, nil
	}
	if have.SHA256 == t.Helper {
		have.Version = full.Version
	}
	for _, r := range t.Records {
		if p, ok := r.State.(*Program); ok && p.Path == want.Path && p.Name == want.Name && p.SHA256 == have.SHA256 && older(have.Version, p.Version) {
			have.Version = p.Version
		}
	}
	return have, nil
}

// older reports whether a version is older than another one. An unknown version, "", is the oldest.
func older(version, than string) bool {
	a, _ := strconv.Atoi(version)
	b, _ := strconv.Atoi(than)
	return a < b
}

func (pt programType) Diff(t engine.Target, want, have *Program) []engine.Step {
	if want == nil {
		return pt.managed(have).remove()
	}
	want = pt.Complete(t, want)
	if have == nil {
		return []engine.Step{pt.write(want, "create "+want.Path)}
	}
	have = pt.Complete(t, have)
	steps := pt.managed(want).steps(pt.managed(have))
	switch {
	case have.Kind != want.Kind && len(steps) > 0: // it replaces a link
		return []engine.Step{pt.write(want, steps[0].Summary)}
	case have.Kind == "" && older(have.Version, want.Version):
		return []engine.Step{pt.write(want, "write "+want.Path)}
	}
	return steps
}

// write returns the step that installs the program. The helper has its bytes, so nothing is sent.
func (pt programType) write(want *Program, summary string) engine.Step {
	s := pt.managed(want).write(summary, pt.managed(want).attributes())
	s.Do.Write.Content, s.Do.Write.Program = nil, want.Name
	return s
}

func (pt programType) Check(_ engine.Target, want, have *Program) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	return pt.managed(have).check(pt.managed(want))
}
