package mirror

import (
	"cmp"
	"regexp"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// mirrorName is what can be part of a file's name everywhere, cron.d included.
var mirrorName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// webLocation is a URL path that needs no escapes, begins and ends with a slash and leads to
// nothing hidden.
var webLocation = regexp.MustCompile(`^/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*$`)

// settling finds the values of a mirror, and what is wrong with those of its block.
type settling struct {
	*mirror
	*problems
}

// settle settles a mirror. Problems that are errors leave it with values that are good for finding
// more of them; it is nil where not even its name can be used.
func settle(name string, spec *Spec, host engine.Site, ps *problems) *mirror {
	if len(name) > 40 || !mirrorName.MatchString(name) {
		ps.errorf("", "files are named after the mirror: use at most 40 letters, digits, - and _, a letter or digit first",
			"%q cannot name a mirror", name)
		return nil
	}
	x := &settling{&mirror{name: name, spec: spec, host: host, guide: guides[0], user: cmp.Or(spec.User, "mirror")}, ps}
	if n := spec.Guide; n != "" {
		i := slices.IndexFunc(guides, func(g guide) bool { return g.name == n })
		if i < 0 {
			x.choice("guide", n, "classic", "current")
		} else {
			x.guide = guides[i]
		}
	}
	x.settleWeb()
	x.settleJobs()
	x.checkStorage()
	return x.mirror
}

// settleWeb fills in the web block, also where there is none.
func (x *settling) settleWeb() {
	if x.spec.Web != nil {
		x.web = *x.spec.Web
	}
	w := &x.web
	w.Server = cmp.Or(w.Server, "nginx")
	w.Location = cmp.Or(w.Location, "/almalinux/")
	if w.Port == nil {
		port := 80
		w.Port = &port
	}
	if w.IPv6 == nil {
		yes := true
		w.IPv6 = &yes
	}
	if w.Server != "nginx" && w.Server != "none" {
		x.choice("web.server", w.Server, "nginx", "none")
	}
	if *w.Port < 1 || *w.Port > 65535 {
		x.errorf("web.port", "use 80, or another from 1 to 65535", "%d is no port", *w.Port)
	}
	const detail = "write a URL path with a slash at both ends, such as /almalinux/, of letters, digits and . _ ~ -"
	if !webLocation.MatchString(w.Location) {
		x.errorf("web.location", detail, "%q is no location", w.Location)
	}
	k := x.spec.Kitten
	if k == nil || k.Location == "" {
		return
	}
	if !webLocation.MatchString(k.Location) {
		x.errorf("kitten.location", detail, "%q is no location", k.Location)
	} else if k.Location == w.Location {
		x.errorf("kitten.location", "give Kitten one of its own, such as "+beside(w.Location), "%s is the location of the almalinux tree", k.Location)
	}
}

// checkStorage checks what only a mirror asks of its storage.
func (x *settling) checkStorage() {
	st := x.spec.Storage
	if plain(st.Path) {
		x.ownDirectory("storage.path", st.Path)
	}
	if st.MountPoint != "" && plain(st.MountPoint) && plain(st.Path) && !Within(st.Path, st.MountPoint) {
		x.errorf("storage.mount_point", "mount the device on storage.path or on a directory above it",
			"%q does not hold storage.path, which is %q", st.MountPoint, st.Path)
	}
	if st.MountPoint != "" && !plain(st.MountPoint) || st.MountPoint == "/" {
		x.errorf("storage.mount_point", "write an absolute path without . and .., doubled and trailing slashes",
			"%q is no mount point for a mirror", st.MountPoint)
	}
	if st.Device == "" && st.Filesystem != "" {
		x.errorf("storage.filesystem", "set storage.device, too", "there is no device to make a file system on")
	}
	if st.Device == "" && len(st.Options) > 0 {
		x.errorf("storage.options", "set storage.device, too", "there is no device to mount with options")
	}
	k := x.spec.Kitten
	if k == nil || !plain(k.Path) {
		return
	}
	x.ownDirectory("kitten.path", k.Path)
	const apart = "each sync would delete the other tree: give Kitten a directory beside it, such as "
	switch beside := st.Path + "-kitten"; {
	case !plain(st.Path):
	case k.Path == st.Path:
		x.errorf("kitten.path", apart+beside, "%s is storage.path itself", k.Path)
	case Within(k.Path, st.Path):
		x.errorf("kitten.path", apart+beside, "%s lies inside the almalinux tree, %s", k.Path, st.Path)
	case Within(st.Path, k.Path):
		x.errorf("kitten.path", apart+beside, "%s holds the almalinux tree, %s", k.Path, st.Path)
	}
}

// ownDirectory reports a path that a sync must not fill, since it would delete what is there.
func (x *settling) ownDirectory(attribute, p string) {
	const own = "a sync deletes whatever upstream does not have: give the mirror a directory of its own, such as /srv/mirror/almalinux"
	if why := resources.NotOwn(p); why != "" {
		x.errorf(attribute, own, "%s %s", p, why)
	}
}
