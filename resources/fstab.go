package resources

import (
	"slices"
	"strings"
)

// fstabLine is a line of fstab(5) with the offsets of its fields, so that one field can change and
// all other bytes stay.
type fstabLine struct {
	text    string
	fields  [][2]int // start and end
	options []string
}

func parseFstab(text string) fstabLine {
	l := fstabLine{text: text}
	from := -1
	for i := range len(text) + 1 {
		blank := i == len(text) || text[i] == ' ' || text[i] == '\t' // the only separators (getmntent(3))
		switch {
		case !blank && from < 0:
			from = i
		case blank && from >= 0:
			l.fields, from = append(l.fields, [2]int{from, i}), -1
		}
	}
	if o := l.field(3); o != "" {
		l.options = strings.Split(o, ",")
	}
	return l
}

// field returns field i, or "" if the line is shorter.
func (l fstabLine) field(i int) string {
	if i >= len(l.fields) {
		return ""
	}
	return l.text[l.fields[i][0]:l.fields[i][1]]
}

// spec returns what the line mounts, without quotes.
func (l fstabLine) spec() string { return strings.ReplaceAll(l.field(0), `"`, "") }

// with returns the line with a new value of field i. A field after the last one is appended.
func (l fstabLine) with(i int, value string) fstabLine {
	switch {
	case l.field(i) == value:
		return l
	case i < len(l.fields):
		return parseFstab(l.text[:l.fields[i][0]] + value + l.text[l.fields[i][1]:])
	}
	return parseFstab(strings.TrimRight(l.text, " \t") + " " + value)
}

// lineFor returns the line that fstab must have. In an existing line, only what the configuration
// sets changes. It is "" as long as the device has no file system, since a new line needs its UUID.
func (s *Mount) lineFor(want *Mount) string {
	l := parseFstab(s.Fstab)
	if len(l.fields) < 3 {
		if s.uuid == "" {
			return ""
		}
		pass := "2"
		if want.Filesystem == "xfs" || want.Filesystem == "btrfs" {
			pass = "0" // fsck.xfs(8) and fsck.btrfs(8) do nothing
		}
		return strings.Join([]string{"UUID=" + s.uuid, want.at(), want.Filesystem, strings.Join(s.newOptions(want), ","), "0", pass}, " ")
	}
	if !s.names {
		if s.uuid == "" {
			return ""
		}
		l = l.with(0, "UUID="+s.uuid)
	}
	if kind := l.field(2); kind != "auto" && !slices.Contains(strings.Split(kind, ","), want.Filesystem) {
		l = l.with(2, want.Filesystem)
	}
	return l.with(3, strings.Join(mergeOptions(l.options, want.lineOptions(l.options)), ",")).text
}

// newOptions returns the options of a new line: the wanted ones, and the flags of the mounted file
// system, except ro: the kernel may have set that after an error.
func (s *Mount) newOptions(want *Mount) []string {
	var found []string
	for _, flag := range mountFlags {
		if isTrue(s.Mounted) && flag.on != "ro" && slices.Contains(s.live, flag.on) {
			found = append(found, flag.on)
		}
	}
	options := mergeOptions(found, want.lineOptions(nil))
	if len(options) == 1 {
		return append([]string{"defaults"}, options...) // the usual spelling
	}
	return options
}

// mergeOptions adds the wanted options, and nofail: without it, the host does not boot if the
// device is missing. It drops what contradicts them, and noauto, which would leave the file system
// unmounted after a boot.
func mergeOptions(found, wanted []string) []string {
	var out []string
	for _, o := range found {
		if o != "noauto" && !slices.ContainsFunc(wanted, func(w string) bool { return contradicts(w, o) }) {
			out = append(out, o)
		}
	}
	for _, w := range append(slices.Clip(wanted), "nofail") {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// contradicts reports whether two options of mount(8) exclude each other.
func contradicts(a, b string) bool {
	if a == b || strings.HasPrefix(a, "x-") {
		return false // x-systemd.requires= may be repeated
	}
	for _, flag := range mountFlags {
		words := append(slices.Clip(flag.off), flag.on)
		if slices.Contains(words, a) && slices.Contains(words, b) {
			return true
		}
	}
	nameA, _, valueA := strings.Cut(a, "=")
	nameB, _, valueB := strings.Cut(b, "=")
	return valueA && valueB && nameA == nameB || a == "no"+b || b == "no"+a
}

// inUserspace reports whether only mount(8) or systemd reads an option, so that mountinfo never
// shows it.
func inUserspace(o string) bool {
	return strings.HasPrefix(o, "x-") || strings.HasPrefix(o, "comment=") ||
		slices.Contains([]string{"defaults", "nofail", "_netdev", "auto", "noauto", "user", "nouser", "users", "owner", "group"}, o)
}
