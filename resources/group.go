package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Group is a group of user accounts.
type Group struct {
	Name string `hcl:"name" id:"true"`           // a name that groupadd(8) accepts
	GID  *int   `hcl:"gid,optional" argv:"true"` // group number; default of a new group: the next free one
	// System is whether a new group gets a number of the system's range. It does not change an
	// existing group.
	System bool `hcl:"system,optional"`

	members []string // found
}

type groupType struct{}

func init() { register("group", groupType{}) }

func (groupType) Keys(_ engine.Target, want *Group) (provides, needs []engine.Key) {
	return []engine.Key{engine.GroupKey(want.Name)}, nil
}

func (groupType) Validate(want *Group) []engine.Problem {
	return slices.Concat(report("name", checkAccount(want.Name)), report("gid", checkID(want.GID)))
}

// checkID checks the number of a user or group. Nil is valid. 65535 is -1 to 16-bit system calls.
func checkID(n *int) error {
	switch {
	case n == nil || *n > 0 && *n <= maxID && *n != 65535:
		return nil
	case *n == 0:
		return fmt.Errorf("0 is the number of root")
	}
	return fmt.Errorf("invalid number %d: use one from 1 to %d, except 65535", *n, int64(maxID))
}

func (groupType) query(s *Group) wire.Query { return wire.Query{Verb: wire.AskGroup, Arg: s.Name} }

func (gt groupType) Ask(_ engine.Target, want *Group) []wire.Query {
	return []wire.Query{gt.query(want)}
}

func (gt groupType) Read(_ engine.Target, want *Group, got engine.Answers) (*Group, error) {
	g, err := got.Group(gt.query(want))
	if err != nil || g.GID < 0 {
		return nil, err
	}
	return &Group{Name: want.Name, GID: &g.GID, System: want.System, members: g.Members}, nil
}

// Irreplaceable keeps a group that has members.
func (groupType) Irreplaceable(_, have *Group) string {
	if len(have.members) > 0 {
		return "it would lose its members: " + strings.Join(have.members, ", ")
	}
	return ""
}

func (groupType) Diff(_ engine.Target, want, have *Group) []engine.Step {
	switch {
	case want == nil:
		s := engine.Step{
			Summary: "remove group " + have.Name,
			Do:      wire.Op{Group: &wire.GroupOp{Name: have.Name, Remove: true}},
		}
		if len(have.members) > 0 {
			s.Final = "its members cannot be restored: " + strings.Join(have.members, ", ")
		} else {
			s.Undo = &wire.Op{Group: &wire.GroupOp{Name: have.Name, Create: true, GID: have.GID, System: have.System}}
		}
		return []engine.Step{s}
	case have == nil:
		return []engine.Step{{
			Summary: "create group " + want.Name,
			Do:      wire.Op{Group: &wire.GroupOp{Name: want.Name, Create: true, GID: want.GID, System: want.System}},
			Undo:    &wire.Op{Group: &wire.GroupOp{Name: want.Name, Remove: true}},
		}}
	case sameNumber(want.GID, have.GID):
		return nil
	}
	return []engine.Step{{
		Summary: "change the number of group " + want.Name,
		Do:      wire.Op{Group: &wire.GroupOp{Name: want.Name, GID: want.GID}},
		Undo:    &wire.Op{Group: &wire.GroupOp{Name: want.Name, GID: have.GID}},
	}}
}

// sameNumber reports whether have is the wanted number, or none is wanted.
func sameNumber(want, have *int) bool {
	return want == nil || have != nil && *want == *have
}

func (groupType) Check(_ engine.Target, want, have *Group) []engine.Problem {
	if want == nil || have == nil || sameNumber(want.GID, have.GID) {
		return nil
	}
	return []engine.Problem{numberCaution("gid", "group", want.Name, *have.GID)}
}

// numberCaution warns that files keep the old number of an account.
func numberCaution(attribute, kind, name string, old int) engine.Problem {
	option := "-uid"
	change := "chown"
	if kind == "group" {
		option, change = "-gid", "chgrp"
	}
	return caution(attribute, fmt.Sprintf("the number of %s %s changes, and its files keep the old one, %d", kind, name,
		old),
		fmt.Sprintf("change them on the host after the apply: find / -xdev %s %d -exec %s -h %s {} +", option, old, change,
			name))
}
