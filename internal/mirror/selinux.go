package mirror

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// treeType is the SELinux type that web servers, rsync and FTP daemons may read, on EL and Debian.
const treeType = "public_content_t"

// labelled reports whether SELinux is enabled on the host, and mirrorform takes care of it.
func (m *mirror) labelled() bool {
	return m.host.Target.Facts.SELinux != "" && (m.spec.SELinux == nil || *m.spec.SELinux)
}

// selinux labels the trees. Files that a sync creates get the labels of their directories.
func (x *expansion) selinux() {
	if !x.labelled() {
		return
	}
	x.add(engine.Part{
		Name: "selinux_package", Type: "package", Keep: "it changes other rules of the host's SELinux policy",
		State: &resources.Package{Name: "policycoreutils-python-utils"},
	}, nil)
	for _, j := range x.jobs {
		x.add(engine.Part{
			Name: j.part("selinux"), Type: "selinux_context",
			DependsOn: append([]string{"selinux_package"}, x.existing("mount", j.part("tree"), j.part("directory"))...),
			State:     &resources.SELinuxContext{Path: j.dir, Type: treeType, Readable: true},
		}, map[string]string{"path": j.dirAttribute})
		x.parts[len(x.parts)-1].advice = map[string]string{
			"path": "rename the directory, or set selinux = false and label it yourself",
		}
	}
	if x.web.Server != noServer && x.web.Site != "join" {
		x.list = append(x.list, labelWarnings(&x.web)...)
	}
}

// httpPorts are those that policies let web servers listen on (http_port_t and http_cache_port_t).
var httpPorts = []int{80, 81, 443, 488, 8008, 8009, 8080, 8118, 8123, 8443, 9000}

// Directories whose files web servers may write or read by policy.
var (
	httpLogs = []string{"/var/log/nginx", "/var/log/httpd", "/var/log/apache2", "/var/log/caddy"}
	httpTLS  = []string{"/etc/pki", "/etc/ssl", "/etc/letsencrypt", "/etc/nginx", "/etc/httpd", "/etc/apache2", "/etc/caddy"}
	httpHTML = []string{"/var/www", "/usr/share", "/etc/nginx", "/etc/httpd", "/etc/apache2", "/etc/caddy"}
)

// labelWarnings returns warnings of what the site needs and the policy does not have. It is the
// operator's: other sites of the host may need it as well.
func labelWarnings(w *Web) (out []engine.Problem) {
	warn := func(attribute, summary, detail string) {
		out = append(out, engine.Problem{Severity: engine.Warning, Attribute: attribute, Summary: summary, Detail: detail})
	}
	outside := func(file string, dirs []string) bool {
		return strings.HasPrefix(file, "/") && !slices.ContainsFunc(dirs, func(d string) bool { return engine.PathWithin(file, d) })
	}
	port := func(attribute string, n int) {
		if !slices.Contains(httpPorts, n) {
			warn(attribute, fmt.Sprintf("SELinux is enabled on the host, and its policy may not let a web server listen on port %d", n),
				fmt.Sprintf("allow it on the host: semanage port -a -t http_port_t -p tcp %d", n))
		}
	}
	port("web.port", *w.Port)
	if l := w.Log; l != nil && outside(l.Path, httpLogs) {
		warn("web.log.path", fmt.Sprintf("SELinux is enabled on the host, and its policy may not let a web server write to %s", l.Path),
			"use a file in the log directory of the web server, or label the directory httpd_log_t")
	}
	type file struct{ attribute, path, of string }
	files := func(dirs []string, list ...file) {
		for _, f := range list {
			if outside(f.path, dirs) {
				warn(f.attribute, fmt.Sprintf("SELinux is enabled on the host, and its policy may not let a web server read %s", f.path),
					fmt.Sprintf("use a file in %s, or label it %s", dirs[0], f.of))
			}
		}
	}
	files(httpHTML, file{"web.header", w.Header, "httpd_sys_content_t"}, file{"web.footer", w.Footer, "httpd_sys_content_t"})
	t := w.TLS
	if t == nil {
		return out
	}
	if t.Port != nil {
		port("web.tls.port", *t.Port)
	}
	files(httpTLS, file{"web.tls.certificate", t.Certificate, "cert_t"}, file{"web.tls.key", t.Key, "cert_t"})
	return out
}
