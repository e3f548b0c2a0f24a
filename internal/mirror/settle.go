package mirror

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// mirrorName is a name that can be part of any file name, also in /etc/cron.d.
var mirrorName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// webLocation is a URL path that needs no escapes, begins and ends with a slash, and has no hidden
// directories.
var webLocation = regexp.MustCompile(`^/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*$`)

// settling finds the values of a mirror, and the problems of its block.
type settling struct {
	*mirror
	*problems
}

// settle returns a mirror with all values. After an error, it uses values that help to find further
// errors. It is nil if its name is invalid.
func settle(name string, spec *Spec, host engine.Site, ps *problems) *mirror {
	if len(name) > 40 || !mirrorName.MatchString(name) {
		ps.errorf("", "use at most 40 letters, digits, - and _, beginning with a letter or digit: files are named after it",
			"invalid mirror name %q", name)
		return nil
	}
	x := &settling{&mirror{name: name, spec: spec, host: host, guide: guides[0], user: cmp.Or(spec.User, "mirror")}, ps}
	x.settleDistribution()
	if n := x.spec.Guide; n != "" {
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
	x.checkRsyncDaemon()
	return x.mirror
}

// settleDistribution checks the distribution. Another one than AlmaLinux has its own defaults, and
// none of the blocks that are only for AlmaLinux: they are reported, and ignored from then on.
func (x *settling) settleDistribution() {
	if d := x.spec.Distribution; d != "" && d != almaLinux && d != otherDistribution {
		x.choice("distribution", d, almaLinux, otherDistribution)
	}
	if x.spec.AlmaLinux() {
		return
	}
	only := func(attribute string, set bool) {
		if set {
			x.errorf(attribute, `remove it, or remove distribution = "other"`,
				"%s is only for AlmaLinux, and the distribution of mirror %s is other", attribute, x.name)
		}
	}
	only("guide", x.spec.Guide != "")
	only("kitten", x.spec.Kitten != nil)
	only("publish", x.spec.Publish != nil)
	own := *x.spec
	own.Guide, own.Kitten, own.Publish = "", nil, nil
	x.spec, x.guide = &own, otherGuide(x.name)
	if sync := settled(own.Sync); len(sync.Upstream)+len(sync.From) == 0 {
		x.errorf("sync.upstream", "set sync.upstream to the rsync:// URL of the distribution, with a slash at the end, such as "+
			"rsync://rsync.example.org/epel/, or sync.from to a host that serves it",
			"mirror %s has no upstream: other distributions have no default", x.name)
	}
}

// settleWeb sets the defaults of the web block, also if it is missing.
func (x *settling) settleWeb() {
	if x.spec.Web != nil {
		x.web = *x.spec.Web
	}
	w := &x.web
	if !x.spec.AlmaLinux() {
		x.settleOtherWeb()
	}
	w.Server = cmp.Or(w.Server, "nginx")
	w.Location = cmp.Or(w.Location, "/almalinux/")
	if w.Port == nil {
		port := 80
		w.Port = &port
	}
	if known := append(resources.WebServerNames(), noServer); !slices.Contains(known, w.Server) {
		x.choice("web.server", w.Server, known...)
		w.Server = noServer
	}
	if *w.Port < 1 || *w.Port > 65535 {
		x.errorf("web.port", "use 80, or another port from 1 to 65535", "invalid port %d", *w.Port)
	}
	if w.TLS != nil {
		x.checkTLS()
	}
	if w.Site != "" {
		x.checkJoin()
	}
	const detail = "use a URL path of letters, digits and . _ ~ -, with a slash at both ends, such as /almalinux/"
	if !webLocation.MatchString(w.Location) {
		x.errorf("web.location", detail, "invalid location %q", w.Location)
	}
	k := x.spec.Kitten
	if k == nil || k.Location == "" {
		return
	}
	if !webLocation.MatchString(k.Location) {
		x.errorf("kitten.location", detail, "invalid location %q", k.Location)
	} else if k.Location == w.Location {
		x.errorf("kitten.location", "use another one for Kitten, such as "+beside(w.Location),
			"%s is the location of the almalinux tree", k.Location)
	}
}

// checkTLS checks what goes into the units that watch the certificate, and the port.
func (x *settling) checkTLS() {
	t := x.web.TLS
	if t.Port != nil && (*t.Port < 1 || *t.Port > 65535) {
		x.errorf("web.tls.port", "use 443, or another port from 1 to 65535", "invalid port %d", *t.Port)
	}
	if t.ACME != nil {
		x.checkACME()
		return
	}
	if t.Certificate == "" && t.Key == "" {
		x.errorf("web.tls", "set certificate and key, or add an acme block", "the tls block has no certificate")
		return
	}
	for _, f := range []struct{ attribute, path string }{{"web.tls.certificate", t.Certificate}, {"web.tls.key", t.Key}} {
		if !safePath.MatchString(f.path) || !plain(f.path) {
			x.errorf(f.attribute, "use an absolute path of letters, digits and _ + @ . - between slashes", "invalid path %q", f.path)
		}
	}
}

// settleOtherWeb sets what a mirror of another distribution does not have in common with AlmaLinux:
// without a web block it is not served, and there is no default location.
func (x *settling) settleOtherWeb() {
	w := &x.web
	if x.spec.Web == nil {
		w.Server = noServer
	}
	if w.Location != "" {
		return
	}
	w.Location = "/" + x.name + "/"
	if w.Server != noServer {
		x.errorf("web.location", "set web.location to the URL path of the tree, such as "+w.Location,
			"mirror %s has no location: other distributions have no default", x.name)
	}
}

// checkJoin refuses attributes of a site that the operator keeps.
func (x *settling) checkJoin() {
	w := x.web
	if w.Site != "join" {
		x.choice("web.site", w.Site, "join")
		return
	}
	if w.Server == noServer {
		x.errorf("web.site", `remove site, or set server to that of your site`, "there is no site to join: web.server is %q", w.Server)
	}
	if w.ServerName == "" {
		x.errorf("web.server_name", "set web.server_name to a server_name of your site", "the site to join has no name")
	}
	for _, a := range []struct {
		name string
		set  bool
	}{
		{"server_aliases", len(w.ServerAliases) > 0}, {"default", w.Default != nil}, {"port", x.spec.Web.Port != nil}, {"ipv6", w.IPv6 != nil}, {"http", w.HTTP != ""},
		{"headers", len(w.Headers) > 0}, {"cache", w.Cache != nil}, {"compress", w.Compress != nil}, {"page", w.Page != nil}, {"header", w.Header != ""},
		{"footer", w.Footer != ""}, {"listing", w.Listing != ""}, {"robots", w.Robots != ""}, {"health", w.Health != ""}, {"redirects", len(w.Redirects) > 0}, {"extra", w.Extra != ""},
		{"tls", w.TLS != nil}, {"log", w.Log != nil}, {"limits", w.Limits != nil},
	} {
		if a.set {
			x.errorf("web."+a.name, "remove it, and set it in your site's configuration", `web.%s is an attribute of the site, which is yours with site = "join"`, a.name)
		}
	}
}

// checkACME checks what a CA needs to check a name: it is public, and port 80 answers for it.
func (x *settling) checkACME() {
	w, t := x.web, x.web.TLS
	if t.Certificate != "" || t.Key != "" {
		x.errorf("web.tls.certificate", "remove certificate and key, or the acme block", "the tls block has both a certificate and an acme block")
	}
	for i, name := range append([]string{w.ServerName}, w.ServerAliases...) {
		attribute := "web.server_name"
		if i > 0 {
			attribute = "web.server_aliases"
		}
		switch {
		case i == 0 && name == "":
			x.errorf(attribute, "set web.server_name to the mirror's name in DNS", "the acme block needs a name for the certificate")
		case isHostName(name) && strings.Contains(name, "."):
		case name != "":
			x.errorf(attribute, "use names in DNS, or a certificate of your own: web.tls.certificate",
				"a CA gives no certificate for %q over HTTP", name)
		}
	}
	if *w.Port != 80 {
		x.errorf("web.port", "remove web.port, or the acme block", "a CA asks at port 80, and the site has port %d", *w.Port)
	}
}

// checkStorage checks what the types of the parts do not.
func (x *settling) checkStorage() {
	st := x.spec.Storage
	if plain(st.Path) {
		x.ownDirectory("storage.path", st.Path)
	}
	if st.MountPoint != "" && plain(st.MountPoint) && plain(st.Path) && !engine.PathWithin(st.Path, st.MountPoint) {
		x.errorf("storage.mount_point", "mount the device on storage.path or on a directory above it",
			"the mount point %q does not contain storage.path, %q", st.MountPoint, st.Path)
	}
	if st.MountPoint != "" && !plain(st.MountPoint) || st.MountPoint == "/" {
		x.errorf("storage.mount_point", "use an absolute path below /, without . and .., doubled and trailing slashes",
			"invalid mount point %q", st.MountPoint)
	}
	if st.Device == "" && st.Filesystem != "" {
		x.errorf("storage.filesystem", "set storage.device, too", "storage.filesystem is set without storage.device")
	}
	if st.Device == "" && len(st.Options) > 0 {
		x.errorf("storage.options", "set storage.device, too", "storage.options is set without storage.device")
	}
	if st.Subvolume != "" && st.Filesystem != "btrfs" {
		x.errorf("storage.subvolume", `set storage.device and filesystem = "btrfs", too`,
			"storage.subvolume is set without a Btrfs file system")
	}
	k := x.spec.Kitten
	if k == nil || !plain(k.Path) {
		return
	}
	x.ownDirectory("kitten.path", k.Path)
	const apart = "each sync would delete the other tree: use a directory beside it, such as "
	switch beside := st.Path + "-kitten"; {
	case !plain(st.Path):
	case k.Path == st.Path:
		x.errorf("kitten.path", apart+beside, "%s is also storage.path", k.Path)
	case engine.PathWithin(k.Path, st.Path):
		x.errorf("kitten.path", apart+beside, "%s is in the almalinux tree, %s", k.Path, st.Path)
	case engine.PathWithin(st.Path, k.Path):
		x.errorf("kitten.path", apart+beside, "%s contains the almalinux tree, %s", k.Path, st.Path)
	}
}

// ownDirectory refuses a path that other programs use: a sync would delete their files.
func (x *settling) ownDirectory(attribute, p string) {
	own := "a sync deletes all files that upstream does not have: " +
		"use a dedicated directory, such as /srv/mirror/" + almaLinux
	if !x.spec.AlmaLinux() {
		own = strings.TrimSuffix(own, almaLinux) + x.name
	}
	if why := resources.NotOwn(p); why != "" {
		x.errorf(attribute, own, "%s %s", p, why)
	}
}
