package resources

import (
	"fmt"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Symlink is a symbolic link. Missing parent directories are created.
type Symlink struct {
	Path   string `hcl:"path" id:"true"` // absolute path
	Target string `hcl:"target"`         // absolute path, or path relative to the link's directory; it need not exist

	// Kind is what was found instead of a symbolic link: "file", "directory", …
	Kind string `plan:"kind,found"`

	found wire.File
}

type symlinkType struct{}

func init() { register("symlink", symlinkType{}) }

func (symlinkType) Keys(_ engine.Target, want *Symlink) (provides, needs []engine.Key) {
	return []engine.Key{engine.PathKey(want.Path)}, fileNeeds(want.Path, "", "")
}

func (symlinkType) Validate(want *Symlink) []engine.Problem {
	out := report("path", checkPath(want.Path))
	switch {
	case want.Target == "":
		out = append(out, refusal("target", "the target is empty", "set it to a path"))
	case len(want.Target) > maxPath:
		out = append(out, refusal("target",
			fmt.Sprintf("the target is too long: it has %d bytes, and Linux allows %d", len(want.Target), maxPath), ""))
	case want.Target == want.Path:
		out = append(out, refusal("target", fmt.Sprintf("the link %s would lead to itself", want.Path), ""))
	default:
		out = append(out, report("target", checkText(want.Target))...)
	}
	return out
}

func (symlinkType) query(s *Symlink) wire.Query { return wire.Query{Verb: wire.AskFile, Arg: s.Path} }

func (st symlinkType) Ask(_ engine.Target, want *Symlink) []wire.Query {
	return []wire.Query{st.query(want)}
}

func (st symlinkType) Read(_ engine.Target, want *Symlink, got engine.Answers) (*Symlink, error) {
	f, err := got.File(st.query(want))
	if err != nil || f.Kind == wire.Absent {
		return nil, err
	}
	return &Symlink{Path: want.Path, Target: f.Target, Kind: otherThan(wire.Symlink, f), found: f}, nil
}

func (symlinkType) Diff(_ engine.Target, want, have *Symlink) []engine.Step {
	summary := ""
	switch {
	case want == nil:
		if have.Kind != "" {
			return nil // no apply created it
		}
		return []engine.Step{removal(have.Path)}
	case have == nil:
		summary = "create link " + want.Path
	case have.Kind == want.Kind && have.Target == want.Target:
		return nil
	case have.found.Kind == wire.Directory || have.found.Kind == wire.Other:
		return nil // Check refuses it
	case have.Kind != "":
		summary = "replace " + want.Path + " with a link"
	default:
		summary = "change link " + want.Path
	}
	return []engine.Step{{
		Summary: summary,
		Do:      wire.Op{Symlink: &wire.SymlinkOp{Path: want.Path, Target: want.Target, Parents: true}},
		Undo:    restore(want.Path),
	}}
}

func (symlinkType) Check(_ engine.Target, want, have *Symlink) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	if have.found.Kind == wire.Directory || have.found.Kind == wire.Other {
		return []engine.Problem{inTheWay(want.Path, "a "+have.Kind, "a link")}
	}
	return nil
}
