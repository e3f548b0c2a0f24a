package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Filesystem is a file system on a block device. It is created only on an empty device.
type Filesystem struct {
	// Device is the absolute path of the block device. Prefer a stable name, such as one in
	// /dev/disk/by-id.
	Device string `hcl:"device" id:"true"`
	Type   string `hcl:"type" argv:"true"`           // xfs, ext4 or btrfs
	Label  string `hcl:"label,optional" argv:"true"` // label of a new file system; an existing label is not changed

	// UUID is the UUID of the file system that was found.
	UUID string `plan:"uuid"`

	problems []engine.Problem // found: why no file system may be created
}

// labelLimit has the supported types, and how many bytes a label may have (xfs(5), ext4(5),
// mkfs.btrfs(8)).
var labelLimit = map[string]int{"xfs": 12, "ext4": 16, "btrfs": 255}

// FilesystemTools returns the package that provides mkfs and the repair tools of a supported file
// system, or "".
func FilesystemTools(filesystem string) string {
	return map[string]string{"xfs": "xfsprogs", "ext4": "e2fsprogs", "btrfs": "btrfs-progs"}[filesystem]
}

type filesystemType struct{}

func init() { register("filesystem", filesystemType{}) }

func (filesystemType) Keys(_ engine.Target, want *Filesystem) (provides, needs []engine.Key) {
	return []engine.Key{engine.DeviceKey(want.Device)}, []engine.Key{engine.PackageKey(FilesystemTools(want.Type))}
}

func (filesystemType) Validate(want *Filesystem) []engine.Problem {
	out := report("device", checkDevice(want.Device))
	limit, known := labelLimit[want.Type]
	switch {
	case !known:
		out = append(out, refusal("type", fmt.Sprintf("unsupported file system type %q", want.Type), `use "xfs", "ext4" or "btrfs"`))
	case len(want.Label) > limit:
		out = append(out, refusal("label",
			fmt.Sprintf("the label %q is too long: it has %d bytes, and the limit of %s is %d", want.Label, len(want.Label),
				want.Type, limit), ""))
	case strings.HasPrefix(want.Label, "-") || strings.ContainsAny(want.Label, ` "'\`):
		out = append(out, refusal("label",
			fmt.Sprintf("the label %q begins with - or contains a space, a quote or a backslash", want.Label), ""))
	default:
		out = append(out, report("label", checkText(want.Label))...)
	}
	return out
}

func (filesystemType) query(s *Filesystem) wire.Query {
	return wire.Query{Verb: wire.AskBlock, Arg: s.Device}
}

func (ft filesystemType) Ask(t engine.Target, want *Filesystem) []wire.Query {
	list := []wire.Query{ft.query(want)}
	if want.Type == "btrfs" {
		known, module := kernelBtrfs(t)
		list = append(list, known, module)
	}
	return list
}

// kernelBtrfs asks whether the kernel has Btrfs: in itself or loaded, or as a module.
func kernelBtrfs(t engine.Target) (known, module wire.Query) {
	return wire.Query{Verb: wire.AskFile, Arg: "/proc/filesystems", Option: "content"},
		wire.Query{Verb: wire.AskFile, Arg: "/lib/modules/" + t.Facts.Kernel + "/kernel/fs/btrfs"}
}

// noBtrfs returns why the host cannot have a Btrfs file system, or nil.
func noBtrfs(t engine.Target, got engine.Answers) (*engine.Problem, error) {
	knownQuery, moduleQuery := kernelBtrfs(t)
	known, err := got.File(knownQuery)
	if err != nil {
		return nil, err
	}
	module, err := got.File(moduleQuery)
	if err != nil {
		return nil, err
	}
	if module.Kind == wire.Directory || slices.Contains(strings.Fields(string(known.Content)), "btrfs") {
		return nil, nil
	}
	p := refusal("type", fmt.Sprintf("%s: the kernel %s has no Btrfs", t.Name, t.Facts.Kernel),
		`use "xfs" or "ext4". Of the kernels of Enterprise Linux, only AlmaLinux's since 10.1 have Btrfs`)
	return &p, nil
}

// Read also returns a state for a device that must not be overwritten, so that Check can report
// why.
func (ft filesystemType) Read(t engine.Target, want *Filesystem, got engine.Answers) (*Filesystem, error) {
	if want.Type == "btrfs" {
		problem, err := noBtrfs(t, got)
		if err != nil {
			return nil, err
		}
		if problem != nil {
			return &Filesystem{Device: want.Device, problems: []engine.Problem{*problem}}, nil
		}
	}
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
		have.problems = append(have.problems, caution("device",
			fmt.Sprintf("%s: %s already holds %s, which is used unchanged", t.Name, want.Device, signature(b)),
			"check that it is the right device"))
	}
	if want.Label != "" && b.Label != want.Label {
		have.problems = append(have.problems, caution("label", fmt.Sprintf("%s: the file system on %s has the label %q", t.Name, want.Device, b.Label),
			"the label of an existing file system is not changed"))
	}
	return have, nil
}

// obstacle returns why no file system may be created on the device, or nil if the device is empty
// or holds the wanted one.
func obstacle(host string, want *Filesystem, b wire.Block) *engine.Problem {
	found, advice := "", "mirrorform never overwrites data: choose another device, or erase this one yourself"
	switch {
	case b.Path == "":
		p := noDevice(host, want.Device)
		return &p
	case member(b) != "":
		found, advice = member(b), memberAdvice
	case b.Signature == want.Type:
		return nil
	case b.Signature != "":
		found = "holds " + signature(b)
	case len(b.Partitions) > 0:
		found = "has the partitions " + strings.Join(b.Partitions, ", ")
	case len(b.Mounts) > 0:
		found = "is mounted on " + strings.Join(b.Mounts, ", ")
	case b.Swap:
		found = "is used for swap"
	case b.ReadOnly:
		found = "is read-only"
	case b.Data != "":
		found = fmt.Sprintf("holds unknown data (%s of %s)", b.Data, FormatSize(b.Size))
		advice = "mirrorform never overwrites data: choose another device. If the data is not needed, erase it yourself: " +
			"blkdiscard --zeroout " + want.Device
	default:
		return nil
	}
	p := refusal("device", fmt.Sprintf("%s: %s %s, so no %s file system is created on it", host, want.Device, found,
		want.Type), advice)
	return &p
}

// signature describes what is on a device: `ext4 data (label "data", UUID 0a1b…)`.
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
		return nil // an existing file system is neither removed nor recreated
	}
	return []engine.Step{{
		Summary: "create a file system on " + want.Device,
		Do:      wire.Op{Mkfs: &wire.MkfsOp{Device: want.Device, Type: want.Type, Label: want.Label}},
		Final:   "mkfs overwrites the device",
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
