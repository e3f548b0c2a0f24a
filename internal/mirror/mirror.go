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
	user  string // the account of the sync
	web   Web    // with its defaults
	jobs  []*job
}

// family is the host's kind of operating system; without facts that of Debian.
func (m *mirror) family() string { return cmp.Or(m.host.Target.Facts.OS.Family, "debian") }

// owner is who owns what a sync writes. Where root syncs, rsync sets owner and group as upstream
// has them, so that neither is managed.
func (m *mirror) owner() (owner, group string) {
	if m.user == "root" {
		return "", ""
	}
	return m.user, m.user
}

// sizes are the file system's least and recommended size. A value of the block holds as it is; the
// guide's adds what Kitten takes.
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
		if err == nil && enoughErr == nil && enough < least { // the part's type tells of errors
			recommended = minimum
		}
	}
	return minimum, recommended
}

// serverNames are the names that the site answers to: those of the web block. The host's address is
// a further one where the site has it.
func (m *mirror) serverNames() []string {
	names := append([]string{m.web.ServerName}, m.web.ServerAliases...)
	var unique, seen []string
	for _, name := range names {
		key := cmp.Or(webAddress(name), name) // 2001:DB8::1 is [2001:db8::1], names have no case
		if name != "" && !slices.Contains(seen, key) {
			unique, seen = append(unique, name), append(seen, key)
		}
	}
	return unique
}

// mayHoldLostFound tells whether a tree is the root of a file system that may be ext4, with a
// lost+found that only root may read: rsync could neither read nor delete it, and would then delete
// nothing at all.
func (m *mirror) mayHoldLostFound(dir string) bool {
	st := m.spec.Storage
	return dir == st.mountPoint() && (st.Filesystem == "ext4" || st.Device == "")
}

// inTree tells whether p lies in the job's tree or the mirror's.
func (m *mirror) inTree(j *job, p string) bool {
	return slices.ContainsFunc([]string{j.dir, m.spec.Storage.Path}, func(dir string) bool { return plain(dir) && Within(p, dir) })
}
