package adopt

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirror"
)

// rsyncdConfs are the files of the rsync daemon; the first one is that of its packages.
var rsyncdConfs = []string{"/etc/rsyncd.conf", "/etc/rsyncd/rsyncd.conf", "/etc/rsync/rsyncd.conf",
	"/usr/local/etc/rsyncd.conf"}

// module is a module of rsyncd.conf.
type module struct {
	at         Place
	name, path string
	settings   map[string]string // its own, and those for all modules
}

// rsyncd adds the modules of the rsync daemon.
func (f *found) rsyncd() {
	for _, p := range rsyncdConfs {
		if _, _, missing, err := f.text(p); missing && err == nil {
			continue
		}
		x := &rsyncdReader{found: f, global: map[string]string{}}
		x.read(p, 0)
	}
}

// rsyncdReader reads a configuration of the rsync daemon.
type rsyncdReader struct {
	*found
	global  map[string]string
	current *module
}

// read reads a file. The modules of an included file do not go on in the including one; with
// &merge, they do (rsyncd.conf(5)).
func (x *rsyncdReader) read(p string, depth int) {
	text, _, ok := x.file(p)
	if !ok || depth > maxLinks {
		return
	}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		number := i + 1
		line := strings.TrimSpace(lines[i])
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) && line[0] != '#' && line[0] != ';' {
			i++
			line = strings.TrimSpace(strings.TrimSuffix(line, `\`)) + " " + strings.TrimSpace(lines[i])
		}
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '&':
			x.include(line, depth)
		case line[0] == '[' && strings.IndexByte(line, ']') > 0:
			x.module(Place{p, number}, strings.TrimSpace(line[1:strings.IndexByte(line, ']')]))
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				x.remark(Place{p, number}, "mirrorform cannot parse this line")
				continue
			}
			x.set(Place{p, number}, strings.ToLower(strings.Join(strings.Fields(key), " ")), strings.TrimSpace(value))
		}
	}
}

// include reads what &include or &merge names: a file, or those of a directory.
func (x *rsyncdReader) include(line string, depth int) {
	word, p, _ := strings.Cut(line, " ")
	p = path.Clean(strings.TrimSpace(p))
	if !path.IsAbs(p) {
		return
	}
	pattern := map[string]string{"&include": "*.conf", "&merge": "*.inc"}[word]
	x.want(p)
	files := []string{p}
	if x.files[x.resolve(p)].Kind == "directory" {
		files = x.matching(path.Join(p, pattern))
	}
	current, global := x.current, x.global
	for _, file := range files {
		if word == "&include" {
			x.current, x.global = nil, copied(global)
		}
		x.read(file, depth+1)
	}
	if word == "&include" {
		x.current, x.global = current, global
	}
}

func copied(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// module begins a module. [global] is none (rsyncd.conf(5)).
func (x *rsyncdReader) module(at Place, name string) {
	if strings.EqualFold(name, "global") {
		x.current = nil
		return
	}
	x.modules = append(x.modules, module{at: at, name: name, settings: copied(x.global)})
	x.current = &x.modules[len(x.modules)-1]
}

func (x *rsyncdReader) set(at Place, key, value string) {
	if x.current == nil {
		x.global[key] = value
		return
	}
	if key == "path" {
		x.current.at.Line = at.Line
		x.current.path = clean(value)
		if x.current.path == "" {
			x.remark(at, "the path of module %q has a variable, whose value mirrorform does not know",
				printable(x.current.name))
		}
	}
	x.current.settings[key] = value
}

// daemonBlock returns the rsync_daemon block for a module: what the block can set of it.
func daemonBlock(m *module) *mirror.RsyncDaemon {
	d := &mirror.RsyncDaemon{Comment: m.settings["comment"]}
	if m.name != "almalinux" {
		d.Module = m.name
	}
	if n, err := strconv.Atoi(m.settings["max connections"]); err == nil && n > 0 {
		d.MaxConnections = &n
	}
	words := func(key string) []string {
		list := strings.FieldsFunc(m.settings[key], func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
		if len(list) == 0 {
			return nil // not set
		}
		return list
	}
	for _, p := range strings.Fields(m.settings["exclude"]) {
		if !strings.Contains(p, ".~tmp~") { // the block excludes it
			d.Exclude = append(d.Exclude, p)
		}
	}
	d.HostsAllow, d.HostsDeny, d.RefuseOptions = words("hosts allow"), words("hosts deny"), words("refuse options")
	if uid := m.settings["uid"]; uid != "nobody" {
		d.UID = uid
	}
	if gid := m.settings["gid"]; gid != "nogroup" && gid != "nobody" {
		d.GID = gid
	}
	if no := m.settings["use chroot"]; slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(no)) {
		d.Chroot = new(false)
	}
	if log := clean(m.settings["log file"]); log != "" {
		d.Log = &log
	}
	return d
}
