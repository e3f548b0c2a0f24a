package mirror

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// modules adds what makes the server load the modules that a site needs, and returns the parts'
// names. nginx loads those of its packages itself, and Caddy has none.
func (x *expansion) modules(site *resources.Site) (names []string) {
	after := x.existing(x.web.Server)
	add := func(name, kind string, state any) {
		names = append(names, name)
		if !x.has(name) {
			x.add(engine.Part{Name: name, Type: kind, DependsOn: after, State: state}, nil)
		}
	}
	if x.web.Server == "nginx" && site.Listing != "" {
		add("nginx_xslt", "package", &resources.Package{Name: resources.NginxXSLT(x.host.Target.Facts.OS)})
	}
	if x.web.Server != "apache" {
		return names
	}
	for _, m := range resources.ApacheModules(x.host.Target.Facts.OS, site) {
		part := func(file string) string {
			return "apache_module_" + m.Name + strings.ReplaceAll(path.Ext(file), ".", "_")
		}
		if m.Package != "" {
			add(part(""), "package", &resources.Package{Name: m.Package})
		}
		for _, p := range slices.Sorted(maps.Keys(m.Links)) {
			add(part(p), "symlink", &resources.Symlink{Path: p, Target: m.Links[p]})
		}
		for _, p := range slices.Sorted(maps.Keys(m.Files)) {
			text := m.Files[p]
			add(part(p), "file", &resources.File{Path: p, Content: &text, Owner: "root", Group: "root", Mode: "0644"})
		}
	}
	return names
}
