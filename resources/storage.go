package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Storage is a check that the file system of a path is large enough. It changes nothing on a host.
// If the file system is smaller than the minimum, no other resource of the host is changed either.
type Storage struct {
	Path        string `hcl:"path" id:"true"`       // absolute path; it need not exist yet
	Minimum     string `hcl:"minimum,optional"`     // size such as 300GB or 1.5TB; a smaller file system is an error
	Recommended string `hcl:"recommended,optional"` // size such as 500GB or 2TB; a smaller file system is a warning
	Advice      string `hcl:"advice,optional"`      // explains the warning about the recommended size
	// Device is the block device that will be mounted at the path or above it. Until it is, its size
	// is checked.
	Device string `hcl:"device,optional" argv:"true"`

	// Size is the found size, as FormatSize writes it.
	Size string `plan:"size"`

	// bytes is not in the fingerprint, since some file systems grow and shrink by single blocks. Size
	// is.
	bytes    uint64           `fingerprint:"-"`
	where    string           // found: what was measured
	problems []engine.Problem // found
}

type storageType struct{}

func init() { register("storage", storageType{}) }

// Keys provides a key that only refuses two storages with one path. No other resource needs it.
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
		out = append(out, refusal("recommended",
			fmt.Sprintf("the recommended size, %s, is below the minimum, %s", want.Recommended, want.Minimum), ""))
	}
	return out
}

// optionalSize reads a size. It is 0 if not set.
func optionalSize(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	return ParseSize(s)
}

// checkDevice checks the path of a block device.
func checkDevice(p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if !strings.HasPrefix(p, "/dev/") {
		return fmt.Errorf("%q is not a device: use a path below /dev, best one in /dev/disk/by-id", p)
	}
	return nil
}

// noDevice reports that a host does not have a device.
func noDevice(host, device string) engine.Problem {
	return refusal("device", fmt.Sprintf("block device %s not found on %s", device, host),
		"to list its devices and their stable names, run on the host: lsblk; ls -l /dev/disk/by-id")
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
	have.bytes, have.where = fs.Size, "the file system mounted on "+fs.MountPoint
	if fs.Quota > 0 {
		have.where = "the quota of the Btrfs subvolume on " + fs.MountPoint
	}
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

// measureDevice takes the size of the device if it is not mounted yet, or if its file system fills
// it. A file system uses up to a few per cent itself (mke2fs(8): inode tables, journal): a device
// that was large enough before mkfs must be so afterwards. A file system that is even smaller does
// not fill the device, so its own size is checked.
func (s *Storage) measureDevice(fs wire.Filesystem, device wire.Block) {
	mounted := slices.Contains(device.Mounts, fs.MountPoint)
	if device.Path == "" || mounted && fs.Size < device.Size/100*95 {
		return
	}
	s.bytes, s.where = device.Size, "the device "+s.Device
}

// Diff returns no steps: no operation makes storage larger.
func (storageType) Diff(engine.Target, *Storage, *Storage) []engine.Step { return nil }

func (storageType) Check(t engine.Target, want, have *Storage) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	if len(have.problems) > 0 {
		return have.problems
	}
	minimum, _ := optionalSize(want.Minimum) // Validate reports errors
	recommended, _ := optionalSize(want.Recommended)
	found := fmt.Sprintf("%s: %s has %s (%s)", t.Name, want.Path, have.Size, have.where)
	switch {
	case have.bytes < minimum:
		return []engine.Problem{refusal("minimum", found+", but needs at least "+want.Minimum,
			"nothing is changed on this host until its storage is large enough")}
	case have.bytes < recommended:
		return []engine.Problem{caution("recommended", found+", but "+want.Recommended+" is recommended", want.Advice)}
	}
	return nil
}
