package resources

import "slices"

// remount returns the options of a remount after which the options of the line and of want are in
// force. All other options stay. It is nil if nothing has to change.
func (s *Mount) remount(want *Mount, line string) []string {
	wanted := slices.Concat(parseFstab(line).options, want.Options)
	var further []string
	for _, o := range want.Options {
		if !slices.Contains(parseFstab(s.Fstab).options, o) && !slices.Contains(s.live, o) && !isFlag(o) && !inUserspace(o) {
			further = append(further, o)
		}
	}
	if len(further) == 0 && inForce(s.live, wanted) {
		return nil
	}
	return append(liveFlags(withFlags(s.live, wanted)), further...)
}

// mountFlags are the flags of one mount: options of mount(8) that mountinfo shows if they are on,
// with the options that turn them off.
var mountFlags = []struct {
	on  string
	off []string
}{
	{"ro", []string{"rw"}}, {"noatime", []string{"relatime", "strictatime", "atime"}}, {"nodev", []string{"dev"}}, {"nosuid", []string{"suid"}}, {"noexec", []string{"exec"}},
}

// inForce reports whether the live flags are those that options set. Flags that they do not set are
// not managed, except ro: without it, a wanted file system is writable.
func inForce(live, options []string) bool {
	for _, flag := range mountFlags {
		word := setFlag(flag.on, flag.off, options)
		if (word != "" || flag.on == "ro") && (word == flag.on) != slices.Contains(live, flag.on) {
			return false
		}
	}
	return true
}

// setFlag returns the option that sets a flag on or off: the last one counts. It is "" if none
// does.
func setFlag(on string, off, options []string) (word string) {
	for _, o := range options {
		switch {
		case o == on, slices.Contains(off, o):
			word = o
		case slices.Contains([]string{"user", "users", "owner", "group"}, o) && on != "ro":
			word = "" // it implies some of the flags (mount(8))
		}
	}
	return word
}

// withFlags returns the live options with the flags that options set.
func withFlags(live, options []string) []string {
	out := slices.Clone(live)
	for _, flag := range mountFlags {
		word := setFlag(flag.on, flag.off, options)
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

// isFlag reports whether an option sets one of the flags on or off.
func isFlag(o string) bool {
	for _, flag := range mountFlags {
		if o == flag.on || slices.Contains(flag.off, o) {
			return true
		}
	}
	return false
}

// liveFlags returns the options that restore the live flags.
func liveFlags(live []string) []string {
	var options []string
	for _, flag := range mountFlags {
		switch {
		case slices.Contains(live, flag.on):
			options = append(options, flag.on)
		case flag.on != "noatime":
			options = append(options, flag.off[0])
		case slices.Contains(live, "relatime"):
			options = append(options, "atime", "relatime") // atime overrides a noatime in fstab
		default:
			options = append(options, "atime", "strictatime") // mountinfo does not show strictatime
		}
	}
	return options
}
