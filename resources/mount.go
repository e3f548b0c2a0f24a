package resources

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Mount is a mounted file system: mounted now and, by a line in fstab(5), at each boot. A new line
// names the file system by its UUID and has the option nofail; an existing line keeps its other
// options and fields. The mount point must exist and be empty: declare it as a directory without
// owner and mode, since a mount shows those of the file system's root.
type Mount struct {
	Path string `hcl:"path" id:"true"` // absolute path of the mount point
	// Device is the absolute path of the block device. Prefer a stable name, such as one in
	// /dev/disk/by-id.
	Device     string   `hcl:"device" argv:"true"`
	Filesystem string   `hcl:"filesystem" argv:"true"`       // type of the file system, such as xfs
	Options    []string `hcl:"options,optional" argv:"true"` // required options of mount(8); other options in fstab stay
	// Subvolume is the name of a Btrfs subvolume in the root of the file system, which is mounted
	// instead of that. It is created if it is missing.
	Subvolume string `hcl:"subvolume,optional" argv:"true"`
	Owner     string `hcl:"owner,optional" argv:"true"` // owner of the file system's root: user name or number
	Group     string `hcl:"group,optional" argv:"true"` // group of the file system's root: group name or number
	Mode      string `hcl:"mode,optional"`              // mode of the file system's root: 3 or 4 octal digits

	// Mounted is whether the file system of the device is mounted at Path.
	Mounted *bool `plan:"mounted"`
	// Entered is whether fstab mounts it as wanted at each boot.
	Entered *bool `plan:"in_fstab"`
	// InForce is whether the mounted file system has the wanted options: another program may have
	// remounted it with other ones.
	InForce *bool `plan:"options_in_force"`
	// Fstab is the line in fstab, found or wanted.
	Fstab string `plan:"fstab"`

	real     string           // found, and wanted: the real path of the mount point, if a link leads to it
	known    bool             // wanted: it is in the host's manifest, so a line for another device may be replaced
	names    bool             // found: the line names the device
	uuid     string           // found: of the file system on the device
	live     []string         // found: the options in force
	foreign  bool             // found: another file system is mounted at Path
	root     wire.File        // found, if it is mounted
	problems []engine.Problem // found: why it must not be mounted
}

type mountType struct{}

func init() { register("mount", mountType{}) }

// Complete returns want with its implied attributes.
func (mountType) Complete(_ engine.Target, want *Mount) *Mount {
	full := *want
	if len(full.Options) == 0 {
		full.Options = nil // empty is not managed, like nil
	}
	yes := true
	for _, field := range []**bool{&full.Mounted, &full.Entered, &full.InForce} {
		if *field == nil {
			*field = &yes
		}
	}
	return &full
}

// Settle derives the wanted line of fstab from the found one.
func (mt mountType) Settle(t engine.Target, want *Mount, prior *engine.Record, got engine.Answers) *Mount {
	full := *want
	full.known = prior != nil
	mount, _, _ := mt.queries(want)
	if m, err := got.Mount(mount); err == nil {
		full.real = m.Real
	}
	if have, err := mt.Read(t, want, got); err == nil && have != nil && len(have.problems) == 0 {
		full.Fstab = have.lineFor(want)
	}
	return &full
}

func (mountType) Keys(_ engine.Target, want *Mount) (provides, needs []engine.Key) {
	needs = append([]engine.Key{engine.DeviceKey(want.Device), engine.PathKey(want.Path)}, fileNeeds(want.Path, want.Owner, want.Group)...)
	return []engine.Key{engine.MountKey(want.Path)}, needs
}

var (
	// systemTrees are never mount points, nor is any directory in them (hier(7), file-hierarchy(7)).
	systemTrees = []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys", "/usr",
		"/var/lib/dpkg", "/var/lib/mirrorform", "/var/lib/rpm", "/var/lock", "/var/run",
	}
	// systemDirectories are never mount points, but directories in them may be.
	systemDirectories = []string{"/home", "/opt", "/tmp", "/var", "/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp"}
	mountWord         = regexp.MustCompile(`^[A-Za-z0-9._+-]+$`)
	mountOption       = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._:/@%+-]*(=[A-Za-z0-9._:/@%+-]*)?$`)
)

func (mountType) Validate(want *Mount) []engine.Problem {
	out := slices.Concat(report("path", checkMountPoint(want.Path)), report("device", checkDevice(want.Device)),
		checkAttributes(want.Owner, want.Group, want.Mode), checkSubvolume(want))
	if !mountWord.MatchString(want.Filesystem) {
		out = append(out, refusal("filesystem", fmt.Sprintf("invalid file system type %q", want.Filesystem),
			"use the type of the file system on the device, such as xfs or ext4"))
	}
	for _, o := range want.Options {
		switch {
		case !mountOption.MatchString(o):
			out = append(out, refusal("options", fmt.Sprintf("invalid mount option %q", o),
				"write each option of mount(8) as one member of the list"))
		case o == "noauto":
			out = append(out, refusal("options", "the option noauto would leave the file system unmounted after a boot",
				"remove it"))
		}
	}
	return out
}

// checkMountPoint checks whether a file system may be mounted on p.
func checkMountPoint(p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if i := strings.IndexFunc(p, func(r rune) bool { return unicode.IsSpace(r) || r == '#' || r == '\\' }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(p[i:])
		return fmt.Errorf("%q contains %q, which is special in fstab: choose another mount point", p, r)
	}
	if slices.Contains(systemDirectories, p) || slices.ContainsFunc(systemTrees, func(dir string) bool { return engine.PathWithin(p, dir) }) {
		return fmt.Errorf("a file system on %s would hide files of the system: use a dedicated directory, such as /srv/mirror", p)
	}
	return nil
}

func (mountType) queries(s *Mount) (mount, device, file wire.Query) {
	return wire.Query{Verb: wire.AskMount, Arg: s.Path}, wire.Query{Verb: wire.AskBlock, Arg: s.Device}, wire.Query{Verb: wire.AskFile, Arg: s.Path}
}

func (mt mountType) Ask(_ engine.Target, want *Mount) []wire.Query {
	mount, device, file := mt.queries(want)
	return []wire.Query{mount, device, file}
}

// Read also returns a state for a device that must not be mounted, so that Check can report why.
func (mt mountType) Read(t engine.Target, want *Mount, got engine.Answers) (*Mount, error) {
	mountQuery, deviceQuery, fileQuery := mt.queries(want)
	m, err := got.Mount(mountQuery)
	if err != nil {
		return nil, err
	}
	b, err := got.Block(deviceQuery)
	if err != nil {
		return nil, err
	}
	f, err := got.File(fileQuery)
	if err != nil {
		return nil, err
	}
	mounted := m.Mounted && b.Path != "" && (m.Source == b.Path || m.UUID != "" && m.UUID == b.UUID)
	problems := mountProblems(t.Name, want, m, b, f, mounted)
	if !m.Mounted && m.Fstab == "" && len(problems) == 0 {
		return nil, nil
	}
	line := parseFstab(m.Fstab)
	have := &Mount{
		Path: want.Path, Device: want.Device, Filesystem: want.Filesystem, Options: found(want.Options, line.options), Mounted: &mounted, Fstab: m.Fstab,
		names: b.Path != "" && m.FstabDevice == b.Path || b.UUID != "" && line.spec() == "UUID="+b.UUID,
		uuid:  b.UUID, live: m.Options, problems: problems, real: m.Real,
	}
	if want.Subvolume != "" {
		have.Subvolume = subvolumeIn(line.options)
	}
	entered := m.Fstab != "" && have.lineFor(want) == m.Fstab
	have.Entered = &entered
	if entered {
		have.Options = want.Options
	}
	if m.Mounted {
		have.Filesystem = m.Type
	}
	if mounted {
		obeyed := inForce(m.Options, slices.Concat(line.options, want.Options))
		have.root, have.InForce = f, &obeyed
		if want.Subvolume != "" {
			have.Subvolume = subvolumeIn(m.Options)
		}
		have.Owner, have.Group, have.Mode = foundAttributes(want.Owner, want.Group, want.Mode, f)
	} else if m.Mounted {
		have.Device, have.foreign = m.Source, true
	}
	return have, nil
}

// found returns the wanted options that are set. Other options are not managed.
func found(wanted, options []string) (out []string) {
	for _, o := range wanted {
		if slices.Contains(options, o) {
			out = append(out, o)
		}
	}
	return out
}

// mountProblems returns why the device must not be mounted.
func mountProblems(host string, want *Mount, m wire.Mount, b wire.Block, f wire.File, mounted bool) []engine.Problem {
	elsewhere := slices.DeleteFunc(slices.Clone(b.Mounts), func(p string) bool { return p == want.Path || p == m.Real })
	switch {
	case b.Path == "":
		return []engine.Problem{noDevice(host, want.Device)}
	case m.Real != "" && m.Fstab != "" && parseFstab(m.Fstab).field(1) != m.Real:
		return []engine.Problem{refusal("path", fmt.Sprintf("%s: fstab mounts a file system on %s, which leads through a link to %s: "+
			"systemd does not mount such a path", host, want.Path, m.Real), "in /etc/fstab, write "+m.Real)}
	case b.Signature != "" && b.Signature != want.Filesystem:
		return []engine.Problem{refusal("filesystem", fmt.Sprintf("%s: %s holds %s, not %s", host, want.Device, signature(b), want.Filesystem), "")}
	case mounted && want.Subvolume != "" && subvolumeIn(m.Options) != want.Subvolume:
		return []engine.Problem{refusal("subvolume", fmt.Sprintf("%s: the subvolume %q is mounted on %s, not %q", host,
			subvolumeIn(m.Options), want.Path, want.Subvolume), "unmount it, or set its name")}
	case mounted:
		return nil
	case len(b.Holders) > 0:
		return []engine.Problem{refusal("device", fmt.Sprintf("%s: %s %s", host, want.Device, member(b)), memberAdvice)}
	case m.Real != "" && f.Kind == wire.Symlink:
		return []engine.Problem{refusal("path", fmt.Sprintf("%s: %s is a link to %s", host, want.Path, m.Real),
			fmt.Sprintf("set path = %q", m.Real))}
	case m.Mounted:
		return []engine.Problem{refusal("path", fmt.Sprintf("%s: %s is already mounted on %s", host, m.Source, want.Path),
			"if it is not needed, unmount it: umount "+want.Path)}
	case len(elsewhere) > 0 && want.Subvolume == "": // several subvolumes of one file system may be mounted
		return []engine.Problem{refusal("device",
			fmt.Sprintf("%s: %s is already mounted on %s", host, want.Device, strings.Join(elsewhere, ", ")),
			"unmount it there, or choose another device")}
	case f.Kind == wire.Directory && !f.Empty:
		return []engine.Problem{refusal("path",
			fmt.Sprintf("%s: %s is not empty, and a file system would hide its files", host, want.Path),
			"move the files away; after the apply, move them into the file system")}
	case f.Kind != wire.Absent && f.Kind != wire.Directory:
		return []engine.Problem{inTheWay(want.Path, "a "+otherThan(wire.Directory, f), "a directory")}
	}
	return nil
}

func (mt mountType) Diff(_ engine.Target, want, have *Mount) []engine.Step {
	if want == nil {
		return mt.unmount(have)
	}
	none := ""
	want = mt.Complete(engine.Target{}, want)
	root := mt.root(want)
	s := engine.Step{
		Summary: "mount " + want.shown(),
		Do: wire.Op{Mount: &wire.MountOp{Path: want.at(), Device: want.Device, Type: want.Filesystem,
			Options: want.lineOptions(nil), Subvolume: want.Subvolume}},
		Undo: &wire.Op{Mount: &wire.MountOp{Path: want.at(), Line: &none}},
	}
	if want.Subvolume != "" {
		s.Summary += " from a Btrfs subvolume, which is created if it is missing"
	}
	if have == nil {
		return append([]engine.Step{s}, root.attributeSteps(&managedFile{})...)
	}
	have = mt.Complete(engine.Target{}, have)
	lacks := func(want, have *bool) bool { return isTrue(want) && !isTrue(have) }
	s.Undo.Mount.Line = &have.Fstab
	line := have.lineFor(want)
	switch {
	case len(have.problems) > 0:
		return nil // Check refuses it
	case lacks(want.Mounted, have.Mounted):
		s.Do.Mount = have.addLine(want, line)
		return append([]engine.Step{s}, root.attributeSteps(&managedFile{})...)
	case lacks(want.Entered, have.Entered), lacks(want.InForce, have.InForce):
	default:
		return root.attributeSteps(mt.root(have))
	}
	s.Do.Mount = have.addLine(want, line)
	s.Undo.Mount.Mounted = true
	remount := have.remount(want, line)
	switch {
	case have.Fstab == "":
		s.Summary = "add " + want.shown() + " to fstab"
	case line != have.Fstab:
		s.Summary = "change the line of " + want.shown() + " in fstab"
	default:
		s.Summary = "remount " + want.Path + " with the options in fstab"
	}
	if remount == nil {
		s.Do.Mount.FstabOnly, s.Undo.Mount.FstabOnly = true, true
	} else {
		if line != have.Fstab {
			s.Summary += " and remount it"
		}
		s.Undo.Mount.Options = liveFlags(have.live)
		if s.Do.Mount.Line != nil {
			s.Do.Mount.Options = remount
		}
	}
	return append([]engine.Step{s}, root.attributeSteps(mt.root(have))...)
}

// addLine returns the operation that writes the line to fstab, and mounts the file system if it is
// not mounted. An empty line is for a file system that an earlier step creates: only the host will
// know its UUID, and makes the line.
func (s *Mount) addLine(want *Mount, line string) *wire.MountOp {
	op := &wire.MountOp{Path: want.at(), Subvolume: want.Subvolume}
	if isTrue(s.Mounted) {
		op.Subvolume = ""
	}
	if line == "" || op.Subvolume != "" {
		op.Device, op.Type = want.Device, want.Filesystem
	}
	if line == "" {
		found := parseFstab(s.Fstab).options
		op.Options = mergeOptions(found, want.lineOptions(found))
		return op
	}
	op.Line, op.Mounted = &line, true
	return op
}

// at returns the path of the mount point without links, as mount(8) has it in mountinfo. systemd
// refuses mount units of other paths.
func (s *Mount) at() string { return cmp.Or(s.real, s.Path) }

// shown returns the path for the plan.
func (s *Mount) shown() string {
	if s.real != "" {
		return s.Path + " (really " + s.real + ")"
	}
	return s.Path
}

// lineOptions returns the options that a line in fstab with the found ones must have.
func (s *Mount) lineOptions(found []string) []string {
	if s.Subvolume == "" {
		return s.Options
	}
	option := "subvol=/" + s.Subvolume
	if slices.Contains(found, "subvol="+s.Subvolume) {
		option = "subvol=" + s.Subvolume // means the same
	}
	return append(slices.Clone(s.Options), option)
}

// subvolumeIn returns the subvolume that options mount, or "".
func subvolumeIn(options []string) string {
	for _, o := range options {
		if name, ok := strings.CutPrefix(o, "subvol="); ok {
			return strings.TrimPrefix(name, "/")
		}
	}
	return ""
}

var subvolumeName = regexp.MustCompile(`^[A-Za-z0-9@_][A-Za-z0-9@._-]{0,254}$`)

func checkSubvolume(want *Mount) []engine.Problem {
	switch {
	case want.Subvolume == "":
		return nil
	case want.Filesystem != "btrfs":
		return []engine.Problem{refusal("subvolume", want.Filesystem+" has no subvolumes", `set filesystem = "btrfs", or remove it`)}
	case !subvolumeName.MatchString(want.Subvolume):
		return []engine.Problem{refusal("subvolume", fmt.Sprintf("invalid subvolume %q", want.Subvolume),
			"use one name of letters, digits, @ . _ and -, such as almalinux")}
	case slices.ContainsFunc(want.Options, func(o string) bool { return strings.HasPrefix(o, "subvol") }):
		return []engine.Problem{refusal("options", "subvolume sets the option subvol", "remove it from the options")}
	}
	return nil
}

// root returns the root directory of the file system.
func (mountType) root(s *Mount) *managedFile {
	return &managedFile{path: s.at(), owner: s.Owner, group: s.Group, mode: s.Mode, found: s.root}
}

// unmount unmounts the file system and removes its line. Its files stay.
func (mountType) unmount(have *Mount) []engine.Step {
	if have.foreign || !isTrue(have.Mounted) && have.Fstab == "" {
		return nil
	}
	return []engine.Step{{
		Summary: "unmount " + have.shown() + " and remove it from fstab",
		Do:      wire.Op{Mount: &wire.MountOp{Path: have.at(), Remove: true}},
		Undo:    &wire.Op{Mount: &wire.MountOp{Path: have.at(), Device: have.Device, Type: have.Filesystem, Line: &have.Fstab, Mounted: isTrue(have.Mounted)}},
	}}
}

func (mountType) Check(t engine.Target, want, have *Mount) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	if len(have.problems) == 0 && have.Fstab != "" && !have.names && !want.known {
		return []engine.Problem{refusal("path",
			fmt.Sprintf("%s: fstab mounts another file system on %s: %s", t.Name, want.Path, have.Fstab),
			"if it is not needed, remove that line from /etc/fstab; otherwise choose another path")}
	}
	return have.problems
}

// Keep implements engine.Keeper.
func (mountType) Keep() string { return "the files on it would be out of reach" }
