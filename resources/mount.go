package resources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Mount is a file system that is mounted, now and after a boot: a new line of fstab(5) names it by
// UUID, with nofail. A line that is there stays, with its other options and fields. The mount point
// must exist and be empty: declare it as a directory, without owner and mode, which are those of
// the file system's root.
type Mount struct {
	Path       string   `hcl:"path" id:"true"`               // the mount point, absolute
	Device     string   `hcl:"device" argv:"true"`           // below /dev; a link, like those of /dev/disk/by-id, is best
	Filesystem string   `hcl:"filesystem" argv:"true"`       // its type, like xfs
	Options    []string `hcl:"options,optional" argv:"true"` // mount(8) options that it has to have; others that are there stay
	Owner      string   `hcl:"owner,optional" argv:"true"`   // of the file system's root: user name or number
	Group      string   `hcl:"group,optional" argv:"true"`   // of the file system's root: group name or number
	Mode       string   `hcl:"mode,optional"`                // of the file system's root: 3 or 4 octal digits

	// Mounted tells whether the device's file system is mounted there.
	Mounted *bool `plan:"mounted"`
	// Entered tells whether fstab has it mounted as wanted after a boot.
	Entered *bool `plan:"in_fstab"`
	// InForce tells whether what is mounted has the options that are wanted: somebody may have remounted it with others.
	InForce *bool `plan:"options_in_force"`
	// Fstab is the line of fstab: the one that is there, and what becomes of it.
	Fstab string `plan:"fstab"`

	known    bool             // wanted: the host's manifest has it, so that a line that names something else may go
	names    bool             // found: the line names the device
	uuid     string           // found, of the file system on the device
	live     []string         // found, the options that count now
	foreign  bool             // found: another file system is mounted there
	root     wire.File        // found, when it is mounted
	problems []engine.Problem // found: why it must not be mounted
}

type mountType struct{}

func init() { register("mount", mountType{}) }

// Complete returns want with what follows from it.
func (mountType) Complete(_ engine.Target, want *Mount) *Mount {
	full := *want
	if len(full.Options) == 0 {
		full.Options = nil // not managed
	}
	yes := true
	for _, field := range []**bool{&full.Mounted, &full.Entered, &full.InForce} {
		if *field == nil {
			*field = &yes
		}
	}
	return &full
}

// Settle makes the line that fstab is to have of the one that it has.
func (mt mountType) Settle(t engine.Target, want *Mount, prior *engine.Record, got engine.Answers) *Mount {
	full := *want
	full.known = prior != nil
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
	// systemTrees are never hidden by a file system, nor is anything in them (hier(7), file-hierarchy(7)).
	systemTrees = []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys", "/usr",
		"/var/lib/dpkg", "/var/lib/mirrorform", "/var/lib/rpm", "/var/lock", "/var/run",
	}
	// systemDirectories are not hidden themselves, while what is below them may be.
	systemDirectories = []string{"/home", "/opt", "/tmp", "/var", "/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp"}
	mountWord         = regexp.MustCompile(`^[A-Za-z0-9._+-]+$`)
	mountOption       = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._:/@%+-]*(=[A-Za-z0-9._:/@%+-]*)?$`)
)

func (mountType) Validate(want *Mount) []engine.Problem {
	out := slices.Concat(report("path", checkMountPoint(want.Path)), report("device", checkDevice(want.Device)),
		checkAttributes(want.Owner, want.Group, want.Mode))
	if !mountWord.MatchString(want.Filesystem) {
		out = append(out, refusal("filesystem", fmt.Sprintf("%q is no type of file system", want.Filesystem), "write xfs or ext4, or what else is on the device"))
	}
	for _, o := range want.Options {
		switch {
		case !mountOption.MatchString(o):
			out = append(out, refusal("options", fmt.Sprintf("%q is not one mount option", o), "write each option of mount(8) as one member of the list"))
		case o == "noauto":
			out = append(out, refusal("options", "noauto would leave it unmounted after a boot", "leave it out"))
		}
	}
	return out
}

// checkMountPoint tells why nothing should be mounted on p.
func checkMountPoint(p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if i := strings.IndexFunc(p, func(r rune) bool { return unicode.IsSpace(r) || r == '#' || r == '\\' }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(p[i:])
		return fmt.Errorf("%q holds %q, which programs that read fstab take differently", p, r)
	}
	if slices.Contains(systemDirectories, p) || slices.ContainsFunc(systemTrees, func(dir string) bool { return holdsPath(dir, p) }) {
		return fmt.Errorf("a file system on %s would hide the system's own files: mount it in a directory of its own, like /srv/mirror", p)
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

// Read returns a state also for what must not be mounted, so that Check can say why.
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
		uuid:  b.UUID, live: m.Options, problems: problems,
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
		have.Owner, have.Group, have.Mode = foundAttributes(want.Owner, want.Group, want.Mode, f)
	} else if m.Mounted {
		have.Device, have.foreign = m.Source, true
	}
	return have, nil
}

// found are the wanted options that there are: further ones are not managed.
func found(wanted, options []string) (out []string) {
	for _, o := range wanted {
		if slices.Contains(options, o) {
			out = append(out, o)
		}
	}
	return out
}

// mountProblems says what speaks against mounting the device.
func mountProblems(host string, want *Mount, m wire.Mount, b wire.Block, f wire.File, mounted bool) []engine.Problem {
	elsewhere := slices.DeleteFunc(slices.Clone(b.Mounts), func(p string) bool { return p == want.Path })
	switch {
	case b.Path == "":
		return []engine.Problem{noDevice(host, want.Device)}
	case b.Signature != "" && b.Signature != want.Filesystem:
		return []engine.Problem{refusal("filesystem", fmt.Sprintf("%s: %s holds %s, not %s", host, want.Device, signature(b), want.Filesystem), "")}
	case mounted:
		return nil
	case m.Real != "":
		return []engine.Problem{refusal("path", fmt.Sprintf("%s: %s is reached through a link, and really is %s", host, want.Path, m.Real),
			"write "+m.Real+", by which mount(8) and fstab know it")}
	case m.Mounted:
		return []engine.Problem{refusal("path", fmt.Sprintf("%s: %s is mounted on %s already", host, m.Source, want.Path), "unmount it yourself if it may go")}
	case len(elsewhere) > 0:
		return []engine.Problem{refusal("device", fmt.Sprintf("%s: %s is mounted on %s already", host, want.Device, strings.Join(elsewhere, ", ")), "unmount it there, or choose another device")}
	case f.Kind == wire.Directory && !f.Empty:
		return []engine.Problem{refusal("path", fmt.Sprintf("%s: %s is not empty, and a file system would hide what is in it", host, want.Path),
			"move the files away, and into the file system once it is mounted")}
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
		Summary: "mount " + want.Path,
		Do:      wire.Op{Mount: &wire.MountOp{Path: want.Path, Device: want.Device, Type: want.Filesystem, Options: want.Options}},
		Undo:    &wire.Op{Mount: &wire.MountOp{Path: want.Path, Line: &none}},
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
		s.Do.Mount = have.enter(want, line)
		return append([]engine.Step{s}, root.attributeSteps(&managedFile{})...)
	case lacks(want.Entered, have.Entered), lacks(want.InForce, have.InForce):
	default:
		return root.attributeSteps(mt.root(have))
	}
	s.Do.Mount = have.enter(want, line)
	s.Undo.Mount.Mounted = true
	remount := have.remount(want, line)
	switch {
	case have.Fstab == "":
		s.Summary = "enter " + want.Path + " in fstab"
	case line != have.Fstab:
		s.Summary = "change the line of " + want.Path + " in fstab"
	default:
		s.Summary = "remount " + want.Path + " as fstab has it"
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

// enter is the operation that gives fstab the line, and mounts what is not mounted. The host makes
// a line for a file system that is yet to be made.
func (s *Mount) enter(want *Mount, line string) *wire.MountOp {
	if line == "" {
		return &wire.MountOp{Path: want.Path, Device: want.Device, Type: want.Filesystem, Options: mergeOptions(parseFstab(s.Fstab).options, want.Options)}
	}
	return &wire.MountOp{Path: want.Path, Line: &line, Mounted: true}
}

// remount are the options that bring what is mounted to what the line and want say, and leave all
// else as it is: nil where nothing has to change.
func (s *Mount) remount(want *Mount, line string) []string {
	spoken := slices.Concat(parseFstab(line).options, want.Options)
	var further []string
	for _, o := range want.Options {
		if !slices.Contains(parseFstab(s.Fstab).options, o) && !slices.Contains(s.live, o) && !isFlag(o) && !inUserspace(o) {
			further = append(further, o)
		}
	}
	if len(further) == 0 && inForce(s.live, spoken) {
		return nil
	}
	return append(liveFlags(withFlags(s.live, spoken)), further...)
}

// mountFlags are the options of mount(8) that concern one mount and that mountinfo shows when they are on, with the words
// that turn each off.
var mountFlags = []struct {
	on  string
	off []string
}{
	{"ro", []string{"rw"}}, {"noatime", []string{"relatime", "strictatime", "atime"}}, {"nodev", []string{"dev"}}, {"nosuid", []string{"suid"}}, {"noexec", []string{"exec"}},
}

// inForce reports whether what options say of the flags, the last word on each counting, is so among those that are live.
// What they do not speak of is not managed, but for ro: what is wanted is writable unless they say otherwise.
func inForce(live, options []string) bool {
	for _, flag := range mountFlags {
		word := spokenFlag(flag.on, flag.off, options)
		if (word != "" || flag.on == "ro") && (word == flag.on) != slices.Contains(live, flag.on) {
			return false
		}
	}
	return true
}

// spokenFlag is what options say of a flag: the last of them counts. The word is empty where they
// say nothing.
func spokenFlag(on string, off, options []string) (word string) {
	for _, o := range options {
		switch {
		case o == on, slices.Contains(off, o):
			word = o
		case slices.Contains([]string{"user", "users", "owner", "group"}, o) && on != "ro":
			word = "" // it implies some of them
		}
	}
	return word
}

// withFlags are the live options with what is said of the flags.
func withFlags(live, options []string) []string {
	out := slices.Clone(live)
	for _, flag := range mountFlags {
		word := spokenFlag(flag.on, flag.off, options)
		if word == "" && flag.on != "ro" {
			continue
		}
		out = slices.DeleteFunc(out, func(o string) bool { return o == flag.on || flag.on == "noatime" && o == "relatime" })
		switch {
		case word == flag.on:
			out = append(out, flag.on)
		case flag.on == "noatime" && word != "strictatime":
			out = append(out, "relatime")
		}
	}
	return out
}

// isFlag reports whether an option is a word on one of the flags.
func isFlag(o string) bool {
	for _, flag := range mountFlags {
		if o == flag.on || slices.Contains(flag.off, o) {
			return true
		}
	}
	return false
}

// liveFlags are the options that bring the flags back to what is live.
func liveFlags(live []string) []string {
	var options []string
	for _, flag := range mountFlags {
		switch {
		case slices.Contains(live, flag.on):
			options = append(options, flag.on)
		case flag.on != "noatime":
			options = append(options, flag.off[0])
		case slices.Contains(live, "relatime"):
			options = append(options, "atime", "relatime") // atime takes back a noatime of fstab
		default:
			options = append(options, "atime", "strictatime") // mountinfo has no word for it
		}
	}
	return options
}

// root is the root of the file system.
func (mountType) root(s *Mount) *managedFile {
	return &managedFile{path: s.Path, owner: s.Owner, group: s.Group, mode: s.Mode, found: s.root}
}

// unmount takes the file system away; what is on it stays there.
func (mountType) unmount(have *Mount) []engine.Step {
	if have.foreign || !isTrue(have.Mounted) && have.Fstab == "" {
		return nil
	}
	return []engine.Step{{
		Summary: "unmount " + have.Path + " and take it out of fstab",
		Do:      wire.Op{Mount: &wire.MountOp{Path: have.Path, Remove: true}},
		Undo:    &wire.Op{Mount: &wire.MountOp{Path: have.Path, Device: have.Device, Type: have.Filesystem, Line: &have.Fstab, Mounted: isTrue(have.Mounted)}},
	}}
}

func (mountType) Check(t engine.Target, want, have *Mount) []engine.Problem {
	if want == nil || have == nil {
		return nil
	}
	if len(have.problems) == 0 && have.Fstab != "" && !have.names && !want.known {
		return []engine.Problem{refusal("path", fmt.Sprintf("%s: fstab mounts something else on %s: %s", t.Name, want.Path, have.Fstab),
			"take that line out of /etc/fstab if it may go, or choose another path")}
	}
	return have.problems
}

// Keep implements engine.Keeper.
func (mountType) Keep() string { return "the files on it would be out of reach" }
