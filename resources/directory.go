package resources

import (
	"path"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Directory is a directory. Its content is not managed. Missing parent directories are created.
type Directory struct {
	Path  string `hcl:"path" id:"true"`             // absolute path
	Owner string `hcl:"owner,optional" argv:"true"` // user name or number
	Group string `hcl:"group,optional" argv:"true"` // group name or number
	Mode  string `hcl:"mode,optional"`              // 3 or 4 octal digits

	// Kind is what was found instead of a directory: "file", "symlink to TARGET", …
	Kind string `plan:"kind,found"`

	found    wire.File
	deletion *deletion // nil: only an empty directory is removed
}

type directoryType struct{}

func init() { register("directory", directoryType{}) }

func (directoryType) managed(s *Directory) *managedFile {
	return &managedFile{path: s.Path, owner: s.Owner, group: s.Group, mode: s.Mode, kind: s.Kind, found: s.found}
}

func (directoryType) Keys(_ engine.Target, want *Directory) (provides, needs []engine.Key) {
	return []engine.Key{engine.PathKey(want.Path)}, fileNeeds(want.Path, want.Owner, want.Group)
}

func (directoryType) Validate(want *Directory) []engine.Problem {
	return slices.Concat(report("path", checkPath(want.Path)), checkAttributes(want.Owner, want.Group, want.Mode))
}

func (dt directoryType) Ask(_ engine.Target, want *Directory) []wire.Query {
	list := []wire.Query{dt.managed(want).query()}
	if want.deletion != nil {
		du, filesystem, tree := want.deletion.queries(want.Path)
		list = append(list, du, filesystem, tree)
	}
	return list
}

func (dt directoryType) Read(_ engine.Target, want *Directory, got engine.Answers) (*Directory, error) {
	f, err := got.File(dt.managed(want).query())
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	have := &Directory{Path: want.Path, Kind: otherThan(wire.Directory, f), found: f}
	have.Owner, have.Group, have.Mode = foundAttributes(want.Owner, want.Group, want.Mode, f)
	if want.deletion != nil {
		have.deletion, err = want.deletion.read(want.Path, got)
	}
	return have, err
}

func (dt directoryType) Diff(_ engine.Target, want, have *Directory) []engine.Step {
	switch {
	case want == nil && have.deletion != nil && have.found.Kind == wire.Directory && !have.found.Empty:
		return []engine.Step{have.deletion.step(have.Path, have.found.MountAt)}
	case want == nil:
		// A directory that is not empty, or is a mount point, stays.
		if have.found.Kind != wire.Directory || !have.found.Empty || have.found.MountAt {
			return nil
		}
		return []engine.Step{removal(have.Path)}
	case have == nil:
		return []engine.Step{{
			Summary: "create directory " + want.Path,
			Do:      wire.Op{Mkdir: &wire.MkdirOp{Path: want.Path, Attributes: dt.managed(want).attributes(), Parents: true}},
			Undo:    restore(want.Path),
		}}
	case have.Kind != want.Kind:
		return nil // Check refuses it
	}
	return dt.managed(want).attributeSteps(dt.managed(have))
}

// Without returns the found directory as it will be once the entries that gone reports are removed:
// steps before the removal may empty it.
func (directoryType) Without(have *Directory, gone func(path string) bool) *Directory {
	left := *have
	left.found.Empty = have.found.Empty || len(have.found.Entries) > 0 && !slices.ContainsFunc(have.found.Entries, func(name string) bool {
		return !gone(path.Join(have.Path, name))
	})
	return &left
}

func (directoryType) Check(_ engine.Target, want, have *Directory) []engine.Problem {
	if want == nil || have == nil || have.Kind == "" {
		return nil
	}
	return []engine.Problem{inTheWay(want.Path, "a "+have.Kind, "a directory")}
}
