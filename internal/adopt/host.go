package adopt

import (
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/adopt/shell"
)

// Limits for what commands and scripts make adopt ask for.
const (
	maxFinds = 64      // paths where programs may be
	maxWork  = 300_000 // units of work to evaluate all commands of a host once
)

// scriptHost answers what commands and scripts refer to, from the survey. What it lacks is asked
// for in the next round.
type scriptHost struct{ *found }

// Text returns the text of a script or a file that a script reads.
func (h scriptHost) Text(p string) (text, realPath string, ok bool) {
	if !path.IsAbs(p) || path.Clean(p) != p || !shell.Known(p) || systemProgram(p) || foreignFiles(p) {
		return "", "", false
	}
	h.want(p)
	return h.file(p)
}

// foreignFiles reports whether a path is not a script's, although scripts name it.
func foreignFiles(p string) bool {
	dirs := []string{"/dev", "/proc", "/sys", "/run", "/var/run", "/tmp"}
	return slices.ContainsFunc(dirs, func(dir string) bool { return engine.PathWithin(p, dir) }) ||
		slices.Contains([]string{"/etc/shadow", "/etc/gshadow", "/etc/passwd"}, p)
}

// Entries returns the names in a directory.
func (h scriptHost) Entries(p string) ([]string, bool) {
	if systemProgram(p) || foreignFiles(p) {
		return nil, false
	}
	h.want(p)
	f := h.files[p]
	return f.Entries, f.Kind == wire.Directory && (f.Empty || f.Entries != nil)
}

// Home returns the home directory of a user of /etc/passwd; of another one /home/NAME, if the host
// has it.
func (h scriptHost) Home(user string) string {
	if home := h.homes()[user]; home != "" {
		return home
	}
	if user == "root" {
		return "/root"
	}
	if user == "" || strings.ContainsAny(user, "/\x00") || !shell.Known(user) || user[0] == '.' {
		return ""
	}
	guess := path.Join("/home", user)
	h.want(guess)
	if h.files[guess].Kind == wire.Directory {
		return guess
	}
	return ""
}

// homes returns the home directories in /etc/passwd.
func (f *found) homes() map[string]string {
	if f.users != nil {
		return f.users
	}
	f.users = map[string]string{}
	text, _, _, err := f.text("/etc/passwd")
	if err != nil {
		return f.users
	}
	for line := range strings.SplitSeq(text, "\n") {
		if fields := strings.Split(line, ":"); len(fields) == 7 && path.IsAbs(fields[5]) {
			f.users[fields[0]] = path.Clean(fields[5])
		}
	}
	return f.users
}

// Find returns the paths where a program may be: those on PATH that packages do not fill.
func (h scriptHost) Find(name, searched string) []string {
	if name == "" || !shell.Known(name) || len(name) > 255 || strings.HasPrefix(name, ".") {
		return nil
	}
	var out []string
	for dir := range strings.SplitSeq(searched, ":") {
		if !path.IsAbs(dir) || systemProgram(path.Clean(dir)) || !shell.Known(dir) || len(out) > 8 {
			continue
		}
		p := path.Join(dir, name)
		if _, known := h.files[p]; !known && h.finds >= maxFinds {
			continue
		}
		h.finds++
		h.want(p)
		if k := h.files[p].Kind; k == wire.Regular || k == wire.Symlink {
			out = append(out, p)
		}
	}
	return out
}
