package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// ApacheModule is a module of Apache that its package does not enable, and what enables it: a
// package, links or files. Paths are absolute.
type ApacheModule struct {
	Name    string
	Package string            // of the module
	Links   map[string]string // path to target
	Files   map[string]string // path to content
}

// apacheEnabled are the modules that the packages of Debian and EL enable and sites need.
var apacheEnabled = map[bool][]string{ // by whether it is EL
	false: {"alias", "authz_core", "autoindex", "deflate", "dir", "filter", "mime", "setenvif"},
	true:  {"alias", "authz_core", "autoindex", "deflate", "dir", "filter", "mime", "setenvif", "headers", "rewrite", "socache_shmcb"},
}

// ApacheModules returns the modules that a site needs and the package of Apache does not enable.
func ApacheModules(os wire.OSFacts, s *Site) (modules []ApacheModule) {
	for _, name := range apacheModules(s) {
		if !slices.Contains(apacheEnabled[isEL(os)], name) {
			modules = append(modules, apacheModule(os, name))
		}
	}
	return modules
}

// apacheModules returns the names of all modules that a site needs, sorted.
func apacheModules(s *Site) []string {
	names := []string{"alias", "authz_core", "dir", "headers", "mime", "setenvif"}
	if !isFalse(s.Autoindex) {
		names = append(names, "autoindex")
	}
	if !isFalse(s.Compress) {
		names = append(names, "deflate", "filter")
	}
	if s.HTTP == httpRedirect && !s.servesHTTP() {
		names = append(names, "rewrite")
	}
	if s.Rate != "" {
		names = append(names, "ratelimit")
	}
	if s.Certificate != "" {
		names = append(names, "socache_shmcb", "ssl") // the packages' settings of ssl need that cache
		if !isFalse(s.HTTP2) {
			names = append(names, "http2")
		}
	}
	slices.Sort(names)
	return names
}

func apacheModule(os wire.OSFacts, name string) ApacheModule {
	m := ApacheModule{Name: name}
	switch {
	case !isEL(os):
		m.Links = map[string]string{"/etc/apache2/mods-enabled/" + name + ".load": "../mods-available/" + name + ".load"}
		if slices.Contains([]string{"autoindex", "deflate", "dir", "http2", "mime", "setenvif", "ssl", "alias"}, name) {
			m.Links["/etc/apache2/mods-enabled/"+name+".conf"] = "../mods-available/" + name + ".conf"
		}
	case name == "ssl", name == "http2":
		m.Package = "mod_" + name
	default:
		m.Files = map[string]string{"/etc/httpd/conf.modules.d/10-mirrorform-" + name + ".conf": "LoadModule " + name + "_module modules/mod_" + name + ".so\n"}
	}
	return m
}

// keys are what enables the module.
func (m ApacheModule) keys() (keys []engine.Key) {
	if m.Package != "" {
		keys = append(keys, engine.PackageKey(m.Package))
	}
	for _, paths := range []map[string]string{m.Links, m.Files} {
		for p := range paths {
			keys = append(keys, engine.PathKey(p))
		}
	}
	return keys
}

// advice says how to enable the module.
func (m ApacheModule) advice() string {
	switch {
	case m.Package != "":
		return "install its package with a resource of type package: " + m.Package
	case len(m.Links) > 0:
		path := "/etc/apache2/mods-enabled/" + m.Name + ".load"
		return fmt.Sprintf("add resources of type symlink for it (%s to %s), or enable it: a2enmod %s && systemctl restart apache2", path, m.Links[path], m.Name)
	}
	return "enable it: add its LoadModule line to a file in /etc/httpd/conf.modules.d, and restart httpd"
}

// missingModules returns a problem for each module that a site needs and that is neither loaded nor
// enabled by the same plan.
func missingModules(t engine.Target, s *Site, loaded func(name string) bool) (missing []engine.Problem) {
	for _, name := range apacheModules(s) {
		m := apacheModule(t.Facts.OS, name)
		if !loaded(name) && !enabledHere(t, m) {
			missing = append(missing, refusal(moduleAttribute(name), fmt.Sprintf("%s: Apache does not load the module %s, which the site needs", t.Name, name), m.advice()))
		}
	}
	return missing
}

// enabledHere reports whether the same plan has what enables a module.
func enabledHere(t engine.Target, m ApacheModule) bool {
	return slices.ContainsFunc(m.keys(), func(k engine.Key) bool { return t.Provided[k] })
}

// moduleAttribute returns the attribute that needs a module.
func moduleAttribute(module string) string {
	switch module {
	case "ssl", "socache_shmcb":
		return "certificate"
	case "http2":
		return "http2"
	case "rewrite":
		return "http"
	case "ratelimit":
		return "rate"
	case "deflate", "filter":
		return "compress"
	}
	return "name"
}

// loadedModules returns the modules that the output of -D DUMP_MODULES lists.
func loadedModules(output string) map[string]bool {
	loaded := map[string]bool{}
	for line := range strings.Lines(output) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(f[1], "(") {
			loaded[strings.TrimSuffix(f[0], "_module")] = true
		}
	}
	return loaded
}
