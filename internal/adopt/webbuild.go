package adopt

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

// regular describes a file. Its content is copied only if that was asked for, HCL can represent it,
// and it has no secret; else the file is named with its digest. regular reports whether it exists.
func (b *builder) regular(p string) bool {
	f := b.files[p]
	if f.Kind != wire.Regular {
		return false
	}
	if slices.ContainsFunc(b.list, func(c *candidate) bool {
		s, ok := c.state.(*resources.File)
		return ok &&
			s.Path == p
	}) {
		return true
	}
	s := &resources.File{Path: p, Owner: f.Owner, Group: f.Group, Mode: fmt.Sprintf("%04o", f.Mode)}
	content, _, _, err := b.text(p)
	digest := "The content is not managed: " + b.digest(p)
	var notes []string
	switch secrets := b.secretsOf(p, content); {
	case err != nil:
		b.remark(Place{p, 0}, "its content is not managed: %s", printable(err.Error()))
		notes = []string{digest}
	case len(secrets) > 0 && b.copies:
		b.remark(Place{p, 0}, "lines %s look like secrets, so the content of the file is not managed; without "+
			"these lines it is a comment", lineRanges(secrets))
		notes = append([]string{digest}, commented(redact(content, secrets))...)
	case len(secrets) > 0:
		b.remark(Place{p, 0}, "the file has what looks like secrets (lines %s)", lineRanges(secrets))
		notes = []string{digest}
	case !b.copies:
		notes = []string{digest}
	case !representable(content):
		b.remark(Place{p, 0}, "its content is not managed: it is not UTF-8 text in Unicode normalisation form C")
		notes = []string{digest}
	default:
		s.Content = &content
	}
	b.add("file", path.Base(p), s, notes...)
	return true
}

// secretsOf returns the lines of a file that look like secrets, with those that its commands have.
func (f *found) secretsOf(p, content string) map[int]string {
	if known, ok := f.looked[p]; ok {
		return known
	}
	secrets := secretLines(p, content)
	if line := f.secrets[p]; line > 0 && secrets[line] == "" {
		secrets[line] = "a secret of a command"
	}
	f.looked[p] = secrets
	return secrets
}

// commented returns text as lines that are safe in a comment.
func commented(text string) []string {
	var list []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		list = append(list, "| "+printable(strings.ReplaceAll(line, "\t", "    ")))
	}
	return list
}

// serving returns the sites that serve at least one of the trees.
func (f *found) serving(trees []string) []*site {
	return slices.DeleteFunc(slices.Clone(f.sites), func(s *site) bool {
		return !slices.ContainsFunc(trees, func(tree string) bool { return s.serves(tree) != "" })
	})
}

// own reports whether mirrorform wrote a site: the file has the name of one.
func (s *site) own() bool { return strings.HasPrefix(path.Base(s.at.File), "mirrorform-") }

// is names what serves a site.
func (s *site) is() string {
	switch s.server {
	case "nginx":
		return "this site of nginx"
	case "apache":
		return "this site of Apache"
	case "caddy":
		return "this site of Caddy"
	case "lighttpd":
		return "this site of lighttpd, which mirrorform does not manage,"
	}
	return s.server
}

// servers are the packages and units of the web servers.
var servers = map[string][]string{"nginx": {"nginx"}, "apache": {"httpd", "apache2"}, "caddy": {"caddy"},
	"lighttpd": {"lighttpd"}}

// web describes the sites that serve the trees, and their web server.
func (b *builder) web(trees []string) {
	files := map[string][]string{}
	for _, s := range b.serving(trees) {
		for _, tree := range trees {
			if url := s.serves(tree); url != "" {
				at := s.servedAt(tree)
				b.remark(at, "%s serves %s at %s%s. It stays unchanged", s.is(), printable(tree),
					printable(url), over(s))
				files[s.server] = append(files[s.server], b.siteFile(at)...)
			}
		}
		b.remarks = append(b.remarks, s.unclear...)
	}
	if len(trees) > 0 && len(files) == 0 {
		b.unserved(trees)
	}
	for _, server := range sortedKeys(files) {
		b.packageOf(servers[server]...)
		slices.Sort(files[server])
		for _, name := range servers[server] {
			b.service(name+".service", slices.Compact(files[server])...)
		}
	}
}

// over says whether a site is reached over HTTPS.
func over(s *site) string {
	if s.tls {
		return " over HTTPS (TLS)"
	}
	return ""
}

// unserved adds remarks about why no site serves the trees.
func (b *builder) unserved(trees []string) {
	for _, s := range b.sites {
		b.remarks = append(b.remarks, s.unclear...)
		if isAlmaLinux(strings.Join(s.names, " ")) {
			b.remark(s.at, "this site has AlmaLinux in its name, but no root or alias of it that mirrorform can "+
				"parse serves a tree")
		}
	}
	if len(b.sites) == 0 {
		b.remark(Place{}, "no web server was found: neither nginx, Apache, Caddy, lighttpd nor a container of one")
		return
	}
	b.remark(Place{}, "no site of a web server serves %s, as far as mirrorform can parse them",
		printable(strings.Join(trees, " or ")))
}

// siteFile describes the file of a site and the links to it, and returns the file's path.
func (b *builder) siteFile(at Place) []string {
	p := at.File
	if slices.Contains(packageFiles, p) {
		b.remark(at, "the site is in a file that belongs to a package, which is not managed")
		return []string{p}
	}
	for range maxLinks {
		f := b.files[p]
		if f.Kind != wire.Symlink {
			break
		}
		if !slices.ContainsFunc(b.list, func(c *candidate) bool {
			l,
				ok := c.state.(*resources.Symlink)
			return ok && l.Path == p
		}) {
			b.add("symlink", path.Base(p), &resources.Symlink{Path: p, Target: f.Target})
		}
		p = linkTarget(p, f.Target)
	}
	b.regular(p)
	return []string{p}
}

// serving returns the modules of the rsync daemon that serve one of the trees, or a directory
// around one.
func (f *found) servingModules(trees []string) []*module {
	var list []*module
	for i, m := range f.modules {
		if m.path != "" && slices.ContainsFunc(trees,
			func(tree string) bool { return engine.PathWithin(f.resolve(tree), f.resolve(m.path)) }) {
			list = append(list, &f.modules[i])
		}
	}
	return list
}

// modules describes the rsync daemon if it serves one of the trees.
func (b *builder) modules(trees []string) {
	for _, m := range b.servingModules(trees) {
		b.regular(m.at.File)
		b.packageOf("rsync-daemon")
		for _, unit := range []string{"rsync.service", "rsyncd.service"} {
			if b.units[unit].ActiveState == "active" {
				b.service(unit)
			}
		}
		what := "the tree"
		if !slices.Contains(trees, m.path) {
			what = m.path + ", with the tree and what lies beside it"
		}
		b.remark(m.at, "the rsync module %q serves %s, and stays in this file", printable(m.name), printable(what))
		if m.settings["auth users"] != "" || m.settings["secrets file"] != "" {
			b.remark(m.at, "the module asks for a password, which a module of mirrorform never does; the file "+
				"with the passwords was not read")
		}
	}
}

// tree is a directory of the host besides AlmaLinux's that something syncs or serves.
type otherTree struct {
	path string
	by   []string
}

// otherTrees returns the directories that are not AlmaLinux's: other syncs, modules, aliases, and
// what lies beside a tree in the directory that a site serves.
func (f describer) otherTrees() []otherTree {
	trees := f.trees()
	var list []otherTree
	add := func(p, by string) {
		if p == "" || p == "/" || slices.Contains(trees, p) || slices.ContainsFunc(trees,
			func(t string) bool { return engine.PathWithin(t, p) || engine.PathWithin(p, t) }) {
			return
		}
		for i := range list {
			if list[i].path == p {
				if !slices.Contains(list[i].by, by) {
					list[i].by = append(list[i].by, by)
				}
				return
			}
		}
		list = append(list, otherTree{p, []string{by}})
	}
	for _, j := range f.jobs {
		add(j.sync.tree, "synced by "+j.sync.at.String())
	}
	for _, t := range f.synced {
		add(t.path, "synced by "+t.by+", "+t.at.String())
	}
	for _, m := range f.modules {
		add(m.path, "rsync module "+printable(m.name))
	}
	for _, s := range f.serving(trees) {
		for _, r := range s.rules {
			if r.re == nil {
				add(r.dir, "served by "+s.at.String())
			}
			for _, name := range f.beside(r.dir, trees) {
				add(path.Join(r.dir, name), "served by "+s.at.String())
			}
		}
	}
	slices.SortStableFunc(list, func(a, b otherTree) int { return strings.Compare(a.path, b.path) })
	return list
}

// maxBeside is how many directories beside a tree are listed.
const maxBeside = 64

// beside returns the directories in a site's directory that has a tree in it.
func (f describer) beside(dir string, trees []string) []string {
	if dir == "" || !slices.ContainsFunc(trees,
		func(t string) bool { return path.Dir(f.resolve(t)) == f.resolve(dir) }) {
		return nil
	}
	f.want(dir)
	var list []string
	for _, name := range f.files[f.resolve(dir)].Entries {
		p := path.Join(dir, name)
		if name == "" || name[0] == '.' || strings.Contains(name, "/") || len(list) >= maxBeside {
			continue
		}
		f.wantStat(p)
		if k := f.files[p].Kind; k == wire.Directory || k == wire.Symlink {
			list = append(list, name)
		}
	}
	return list
}
