package resources

import (
	"slices"
	"strings"
)

// fstabLine is a line of fstab(5), with the places of its fields, so that a field can change and
// every other byte stays.
type fstabLine struct {
	text    string
	fields  [][2]int // from and to
	options []string
}

func parseFstab(text string) fstabLine {
	l := fstabLine{text: text}
	from := -1
	for i := range len(text) + 1 {
		blank := i == len(text) || text[i] == ' ' || text[i] == '\t' // nothing else parts fields (getmntent(3))
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

// field is a field, or "" where there are fewer.
func (l fstabLine) field(i int) string {
	if i >= len(l.fields) {
		return ""
	}
	return l.text[l.fields[i][0]:l.fields[i][1]]
}

// spec is what the line mounts, without the quotes that it may have.
func (l fstabLine) spec() string { return strings.ReplaceAll(l.field(0), `"`, "") }

// with is the line with another field; one behind the last is added.
func (l fstabLine) with(i int, value string) fstabLine {
	switch {
	case l.field(i) == value:
		return l
	case i < len(l.fields):
		return parseFstab(l.text[:l.fields[i][0]] + value + l.text[l.fields[i][1]:])
	}
	return parseFstab(strings.TrimRight(l.text, " \t") + " " + value)
}

// lineFor is the line of fstab by which what was found becomes what is wanted. It is "" while the
// device holds no file system that a line could name. Of a line that is there only what is wanted
// changes.
func (s *Mount) lineFor(want *Mount) string {
	l := parseFstab(s.Fstab)
	if len(l.fields) < 3 {
		if s.uuid == "" {
			return ""
		}
		pass := "2"
		if want.Filesystem == "xfs" {
			pass = "0" // fsck.xfs(8) does nothing
		}
		return strings.Join([]string{"UUID=" + s.uuid, want.Path, want.Filesystem, strings.Join(s.newOptions(want), ","), "0", pass}, " ")
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
	return l.with(3, strings.Join(mergeOptions(l.options, want.Options), ",")).text
}

// newOptions are those of a line where there is none: what is wanted, and the flags that are in
// force on what is mounted. A file system that became read-only may have done so because of an
// error, so that flag does not count.
func (s *Mount) newOptions(want *Mount) []string {
	var found []string
	for _, flag := range mountFlags {
		if isTrue(s.Mounted) && flag.on != "ro" && slices.Contains(s.live, flag.on) {
			found = append(found, flag.on)
		}
	}
	options := mergeOptions(found, want.Options)
	if len(options) == 1 {
		return append([]string{"defaults"}, options...) // as everybody writes it
	}
	return options
}

// mergeOptions adds what is wanted, and nofail, without which the host would not boot without the
// device. What contradicts it goes, and noauto, which would leave it unmounted.
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

// contradicts reports whether two options of mount(8) cannot both count.
func contradicts(a, b string) bool {
	if a == b || strings.HasPrefix(a, "x-") {
		return false // x-systemd.requires= may be there many times
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

// inUserspace reports whether an option is for mount(8) and systemd alone: the kernel does not see
// it.
func inUserspace(o string) bool {
	return strings.HasPrefix(o, "x-") || strings.HasPrefix(o, "comment=") ||
		slices.Contains([]string{"defaults", "nofail", "_netdev", "auto", "noauto", "user", "nouser", "users", "owner", "group"}, o)
}
