package resources

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Filesystem is a file system on a block device. It is only ever made on a device that holds nothing.
type Filesystem struct {
	Device string `hcl:"device" id:"true"`           // below /dev; a link, like those of /dev/disk/by-id, is best
	Type   string `hcl:"type" argv:"true"`           // xfs or ext4
	Label  string `hcl:"label,optional" argv:"true"` // the label of a new file system; that of one that is there stays

	// UUID is that of the file system that was found.
	UUID string `plan:"uuid"`

	problems []engine.Problem // found: why no file system may be made
}

// labelLimit is the length of labels in bytes (xfs(5), ext4(5)), by the types of file systems that are made.
var labelLimit = map[string]int{"xfs": 12, "ext4": 16}

type filesystemType struct{}

func init() { register("filesystem", filesystemType{}) }

func (filesystemType) Keys(_ engine.Target, want *Filesystem) (provides, needs []engine.Key) {
	program := "xfsprogs"
	if want.Type == "ext4" {
		program = "e2fsprogs"
	}
	return []engine.Key{engine.DeviceKey(want.Device)}, []engine.Key{engine.PackageKey(program)}
}

func (filesystemType) Validate(want *Filesystem) []engine.Problem {
	out := report("device", checkDevice(want.Device))
	limit, known := labelLimit[want.Type]
	switch {
	case !known:
		out = append(out, refusal("type", fmt.Sprintf("%q is no type of file system that is made", want.Type), `use "xfs" or "ext4"`))
	case len(want.Label) > limit:
		out = append(out, refusal("label", fmt.Sprintf("the label %q has %d bytes, %s takes %d", want.Label, len(want.Label), want.Type, limit), ""))
	case strings.HasPrefix(want.Label, "-") || strings.ContainsAny(want.Label, ` "'\`):
		out = append(out, refusal("label", fmt.Sprintf("the label %q begins with - or holds a space, a quote or a backslash", want.Label), ""))
	default:
		out = append(out, report("label", checkText(want.Label))...)
	}
	return out
}

func (filesystemType) query(s *Filesystem) wire.Query {
	return wire.Query{Verb: wire.AskBlock, Arg: s.Device}
}

func (ft filesystemType) Ask(_ engine.Target, want *Filesystem) []wire.Query {
	return []wire.Query{ft.query(want)}
}

// Read returns a state also for a device on which no file system may be made, so that Check can say why.
func (ft filesystemType) Read(t engine.Target, want *Filesystem, got engine.Answers) (*Filesystem, error) {
	b, err := got.Block(ft.query(want))
	if err != nil {
		return nil, err
	}
	if problem := obstacle(t.Name, want, b); problem != nil {
		return &Filesystem{Device: want.Device, Type: b.Signature, Label: b.Label, UUID: b.UUID, problems: []engine.Problem{*problem}}, nil
	}
	if b.Signature == "" {
		return nil, nil
	}
	have := &Filesystem{Device: want.Device, Type: b.Signature, Label: want.Label, UUID: b.UUID}
	if len(b.Mounts) == 0 {
		have.problems = append(have.problems, caution("device", fmt.Sprintf("%s: %s holds %s already, and it is used as it is", t.Name, want.Device, signature(b)),
			"check that it is the device that is meant"))
	}
	if want.Label != "" && b.Label != want.Label {
		have.problems = append(have.problems, caution("label", fmt.Sprintf("%s: the file system on %s has the label %q", t.Name, want.Device, b.Label),
			"the label of a file system that is there is not changed"))
	}
	return have, nil
}

// obstacle says what speaks against a file system on the device, or is nil where there is none or it is the wanted one.
func obstacle(host string, want *Filesystem, b wire.Block) *engine.Problem {
	found, advice := "", "mirrorform never overwrites: choose another device, or empty this one yourself"
	switch {
	case b.Path == "":
		p := noDevice(host, want.Device)
		return &p
	case b.Signature == want.Type:
		return nil
	case b.Signature != "":
		found = "holds " + signature(b)
	case len(b.Partitions) > 0:
		found = "is divided into " + strings.Join(b.Partitions, ", ")
	case len(b.Holders) > 0:
		found = "is part of " + strings.Join(b.Holders, ", ")
	case len(b.Mounts) > 0:
		found = "is mounted on " + strings.Join(b.Mounts, ", ")
	case b.Swap:
		found = "is used for swap"
	case b.ReadOnly:
		found = "is read-only"
	case b.Data != "":
		found = fmt.Sprintf("holds data of an unknown kind (%s of %s)", b.Data, FormatSize(b.Size))
		advice = "mirrorform never overwrites: choose another device. If nobody needs that data, fill this one with zeroes yourself, as by blkdiscard --zeroout " + want.Device
	default:
		return nil
	}
	p := refusal("device", fmt.Sprintf("%s: %s %s, and a new %s file system is wanted there", host, want.Device, found, want.Type), advice)
	return &p
}

// signature names what is on a device: `ext4 data (label "data", UUID 0a1b…)`.
func signature(b wire.Block) string {
	text := b.Signature + " data"
	var marks []string
	if b.Label != "" {
		marks = append(marks, fmt.Sprintf("label %q", b.Label))
	}
	if b.UUID != "" {
		marks = append(marks, "UUID "+b.UUID)
	}
	if b.Capacity > 0 {
		marks = append(marks, fmt.Sprintf("%s of %s used", FormatSize(b.Used), FormatSize(b.Capacity)))
	}
	if len(marks) > 0 {
		text += " (" + strings.Join(marks, ", ") + ")"
	}
	return text
}

func (filesystemType) Diff(_ engine.Target, want, have *Filesystem) []engine.Step {
	if want == nil || have != nil {
		return nil // one that is there is neither removed nor made anew
	}
	return []engine.Step{{
		Summary: "make a file system on " + want.Device,
		Do:      wire.Op{Mkfs: &wire.MkfsOp{Device: want.Device, Type: want.Type, Label: want.Label}},
		Final:   "mkfs cannot be undone",
	}}
}

func (filesystemType) Check(_ engine.Target, want, have *Filesystem) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	return have.problems
}

// Keep implements engine.Keeper.
func (filesystemType) Keep() string { return "its files would be lost" }
