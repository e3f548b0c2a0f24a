package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Storage is a condition: the file system that holds a path is large enough. It changes nothing on a host; below the
// minimum, nothing else is changed there either.
type Storage struct {
	Path        string `hcl:"path" id:"true"`       // absolute; it need not exist yet
	Minimum     string `hcl:"minimum,optional"`     // a size, as 300GB or 1.5TB; below it the host's plan is refused
	Recommended string `hcl:"recommended,optional"` // a size, as 500GB or 2TB; below it the plan warns
	// Device is the block device that is to hold the path: until it is mounted there, its size counts.
	Device string `hcl:"device,optional" argv:"true"`

	// Size is what was found, as FormatSize writes it.
	Size string `plan:"size"`

	bytes    uint64           `fingerprint:"-"` // found; some file systems grow and shrink by single blocks, and Size is what counts
	where    string           // found: what was measured
	problems []engine.Problem // found
}

type storageType struct{}

func init() { register("storage", storageType{}) }

// Keys provides a key of its own kind, which only tells two storages of one path apart: everything else depends on this.
func (storageType) Keys(_ engine.Target, want *Storage) (provides, needs []engine.Key) {
	return []engine.Key{engine.Key("storage:" + want.Path)}, nil
}

func (storageType) Validate(want *Storage) []engine.Problem {
	out := report("path", checkPath(want.Path))
	if want.Device != "" {
		out = append(out, report("device", checkDevice(want.Device))...)
	}
	minimum, minimumErr := optionalSize(want.Minimum)
	recommended, recommendedErr := optionalSize(want.Recommended)
	out = slices.Concat(out, report("minimum", minimumErr), report("recommended", recommendedErr))
	if minimumErr == nil && recommendedErr == nil && recommended > 0 && recommended < minimum {
		out = append(out, refusal("recommended", fmt.Sprintf("%s is below the minimum of %s", want.Recommended, want.Minimum), ""))
	}
	return out
}

// optionalSize reads a size, which is 0 when it is not set.
func optionalSize(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	return ParseSize(s)
}

// checkDevice tells why p does not name a block device.
func checkDevice(p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if !strings.HasPrefix(p, "/dev/") {
		return fmt.Errorf("%q is no device: devices are below /dev, and /dev/disk/by-id/ has names that stay", p)
	}
	return nil
}

// noDevice says that a host does not have a device.
func noDevice(host, device string) engine.Problem {
	return refusal("device", fmt.Sprintf("%s has no block device %s", host, device),
		"lsblk lists those it has, and /dev/disk/by-id has their lasting names")
}

func (storageType) queries(s *Storage) (filesystem wire.Query, device *wire.Query) {
	filesystem = wire.Query{Verb: wire.AskFilesystem, Arg: s.Path}
	if s.Device != "" {
		device = &wire.Query{Verb: wire.AskBlock, Arg: s.Device}
	}
	return filesystem, device
}

func (st storageType) Ask(_ engine.Target, want *Storage) []wire.Query {
	filesystem, device := st.queries(want)
	if device == nil {
		return []wire.Query{filesystem}
	}
	return []wire.Query{filesystem, *device}
}

func (st storageType) Read(t engine.Target, want *Storage, got engine.Answers) (*Storage, error) {
	filesystem, device := st.queries(want)
	fs, err := got.Filesystem(filesystem)
	if err != nil {
		return nil, err
	}
	have := *want
	have.bytes, have.where = fs.Size, fmt.Sprintf("the file system on %s that holds it", fs.MountPoint)
	if device != nil {
		b, err := got.Block(*device)
		if err != nil {
			return nil, err
		}
		if b.Path == "" {
			have.problems = []engine.Problem{noDevice(t.Name, want.Device)}
		}
		have.measureDevice(fs, b)
	}
	have.Size = FormatSize(have.bytes)
	return &have, nil
}

// measureDevice lets the device's size count where the path is not, or is just, on it. A file system keeps up to a few
// per cent for itself (mke2fs(8): inode tables, journal): what was large enough for mkfs must not be too small afterwards. One
// that is smaller than that was not made for the whole device, and counts itself.
func (s *Storage) measureDevice(fs wire.Filesystem, device wire.Block) {
	mounted := slices.Contains(device.Mounts, fs.MountPoint)
	if device.Path == "" || mounted && fs.Size < device.Size/100*95 {
		return
	}
	s.bytes, s.where = device.Size, "the device "+s.Device
}

// Diff returns no steps: a storage is as large as it is.
func (storageType) Diff(engine.Target, *Storage, *Storage) []engine.Step { return nil }

func (storageType) Check(t engine.Target, want, have *Storage) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	if len(have.problems) > 0 {
		return have.problems
	}
	minimum, _ := optionalSize(want.Minimum) // Validate tells of errors
	recommended, _ := optionalSize(want.Recommended)
	found := fmt.Sprintf("%s: %s has %s (%s)", t.Name, want.Path, have.Size, have.where)
	switch {
	case have.bytes < minimum:
		return []engine.Problem{refusal("minimum", found+", and needs at least "+want.Minimum,
			"nothing is changed on this host until the storage is large enough")}
	case have.bytes < recommended:
		return []engine.Problem{caution("recommended", found+", and "+want.Recommended+" is recommended", "")}
	}
	return nil
}
