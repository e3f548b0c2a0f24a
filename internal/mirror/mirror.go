package mirror

import (
	"cmp"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// mirror is a mirror block with all its values settled, for one host.
type mirror struct {
	name  string
	spec  *Spec
	host  engine.Site
	guide guide
	user  string // account that runs the sync
	web   Web    // with defaults
	jobs  []*job
}

// family returns the family of the host's operating system; without facts, Debian's.
func (m *mirror) family() string { return cmp.Or(m.host.Target.Facts.OS.Family, "debian") }

// owner returns owner and group of the files that a sync writes. If root syncs, rsync sets those
// of the upstream, so neither is managed.
func (m *mirror) owner() (owner, group string) {
	if m.user == "root" {
		return "", ""
	}
	return m.user, m.user
}

// sizes returns the minimum and the recommended size of the file system. Values of the block are
// not changed; those of the guide include Kitten if the mirror has it.
func (m *mirror) sizes() (minimum, recommended string) {
	st, g := m.spec.Storage, m.guide
	minimum, recommended = g.minimum, g.recommended
	if m.spec.Kitten != nil {
		minimum, recommended = g.kittenMinimum, g.kittenRecommended
	}
	minimum = cmp.Or(st.Minimum, minimum)
	recommended = cmp.Or(st.Recommended, recommended)
	if st.Recommended == "" {
		least, err := resources.ParseSize(minimum)
		enough, enoughErr := resources.ParseSize(recommended)
		if err == nil && enoughErr == nil && enough < least { // the part's type reports errors
			recommended = minimum
		}
	}
	return minimum, recommended
}

// sizeAdvice explains the warning about a recommended size that is not the block's.
func (m *mirror) sizeAdvice() string {
	if m.spec.Storage.Recommended != "" {
		return ""
	}
	return m.guide.advice
}

// serverNames returns the names of the site in the web block, without duplicates.
func (m *mirror) serverNames() []string {
	names := append([]string{m.web.ServerName}, m.web.ServerAliases...)
	var unique, seen []string
	for _, name := range names {
		key := cmp.Or(webAddress(name), name) // 2001:DB8::1 is [2001:db8::1]; names are case-insensitive
		if name != "" && !slices.Contains(seen, key) {
			unique, seen = append(unique, name), append(seen, key)
		}
	}
	return unique
}

// mayHoldLostFound reports whether a tree may be the root of an ext4 file system. Only root can
// read its lost+found; rsync could neither read nor delete it, and after an error it deletes
// nothing at all.
func (m *mirror) mayHoldLostFound(dir string) bool {
	st := m.spec.Storage
	return dir == st.mountPoint() && (st.Filesystem == "ext4" || st.Device == "")
}

// inTree reports whether p is in the job's tree or the mirror's.
func (m *mirror) inTree(j *job, p string) bool {
	return slices.ContainsFunc([]string{j.dir, m.spec.Storage.Path}, func(dir string) bool { return plain(dir) && engine.PathWithin(p, dir) })
}
