package adopt

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// tool is a program that mirrors or serves by itself, and how it is known.
type tool struct {
	name  string
	is    string
	files []string       // its configuration
	runs  *regexp.Regexp // a command with it
}

// tools are what mirrors use besides rsync in a script, and besides nginx, Apache, Caddy and
// lighttpd.
var tools = []tool{
	{"tunasync", "TUNA's sync manager", []string{"/etc/tunasync/worker.conf", "/etc/tunasync/manager.conf"},
		regexp.MustCompile(`\btunasync\b`)},
	{"quick-fedora-mirror", "Fedora's sync by file lists", []string{"/etc/quick-fedora-mirror.conf"},
		regexp.MustCompile(`\bquick-fedora-(mirror|hardlink)\b`)},
	{"apt-mirror", "a mirror of apt repositories", []string{"/etc/apt/mirror.list"},
		regexp.MustCompile(`\bapt-mirror2?\b`)},
	{"ftpsync", "Debian's archvsync", []string{"/etc/ftpsync/ftpsync.conf", "/etc/ftpsync.conf"},
		regexp.MustCompile(`\b(ftpsync|archvsync|runmirrors)\b`)},
	{"debmirror", "a mirror of Debian repositories", []string{"/etc/debmirror.conf"},
		regexp.MustCompile(`\bdebmirror\b`)},
	{"syncrepo", "Arch Linux's script", nil, regexp.MustCompile(`\bsyncrepo\b`)},
	{"reposync", "a copy of dnf repositories", nil, regexp.MustCompile(`\breposync\b`)},
	{"bandersnatch", "a mirror of PyPI", []string{"/etc/bandersnatch.conf"}, regexp.MustCompile(`\bbandersnatch\b`)},
	{"aptly", "a manager of Debian repositories", []string{"/etc/aptly.conf"}, regexp.MustCompile(`\baptly\b`)},
	{"yuki", "USTC's sync manager", []string{"/etc/yuki/daemon.toml"}, regexp.MustCompile(`\byuki(d|ctl)\b`)},
	{"lug", "SJTUG's sync manager", nil, regexp.MustCompile(`/lug\b.*-c\b`)},
	{"lsyncd", "a sync by file events", []string{"/etc/lsyncd/lsyncd.conf.lua", "/etc/lsyncd.conf"},
		regexp.MustCompile(`\blsyncd\b`)},
	{"mirrormanager", "Fedora's report_mirror", []string{"/etc/mirrormanager-client/report_mirror.conf"},
		regexp.MustCompile(`\breport_mirror\b`)},
	{"rclone", "a copy by rclone", nil, regexp.MustCompile(`\brclone\s+(sync|copy|serve)\b`)},
	{"lftp mirror", "a copy by lftp", nil, regexp.MustCompile(`\blftp\b.*\bmirror\b`)},
	{"wget", "a copy by wget", nil, regexp.MustCompile(`\bwget\b.*(-m\b|--mirror\b|--recursive\b|\s-r\b)`)},
	{"zypper/unison", "a sync by unison", nil, regexp.MustCompile(`\bunison\b`)},
	{"docker", "a container", nil, regexp.MustCompile(`\bdocker\s+(run|exec|compose|start)\b|\bdocker-compose\b`)},
	{"podman", "a container", nil, regexp.MustCompile(`\bpodman\s+(run|exec|compose|start|kube)\b|\bpodman-compose\b`)},
	{"vsftpd", "an FTP server", []string{"/etc/vsftpd.conf", "/etc/vsftpd/vsftpd.conf"}, nil},
	{"proftpd", "an FTP server", []string{"/etc/proftpd/proftpd.conf", "/etc/proftpd.conf"}, nil},
	{"HAProxy", "a proxy, which may have the names and certificates of sites",
		[]string{"/etc/haproxy/haproxy.cfg"}, nil},
	{"Varnish", "a cache before the web server", []string{"/etc/varnish/default.vcl"}, nil},
	{"Traefik", "a proxy, which may have the names and certificates of sites",
		[]string{"/etc/traefik/traefik.yml", "/etc/traefik/traefik.yaml", "/etc/traefik/traefik.toml"}, nil},
	{"H2O", "a web server", []string{"/etc/h2o/h2o.conf"}, nil},
}

// composeNames are the names of compose files, in these directories and those below them.
var (
	composeNames = []string{"docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"}
	composeDirs  = []string{"/opt", "/srv", "/root", "/home", "/etc/docker", "/var/lib/docker-compose",
		"/docker", "/data"}
	quadletDir = "/etc/containers/systemd"
)

// maxSubs is how many directories of each are searched for a compose file.
const maxSubs = 24

// named adds remarks about tools that mirrorform does not replace, and the sites of containers.
func (f *webReader) named() {
	for _, t := range tools {
		for _, p := range t.files {
			f.wantStat(p)
			if f.files[p].Kind == wire.Regular {
				f.remark(Place{p, 0}, "%s (%s) is on the host; mirrorform does not manage it, and leaves it "+
					"unchanged", t.name, t.is)
			}
		}
	}
	for _, p := range sortedKeys(f.files) {
		if !startsJobs(p) {
			continue
		}
		text, realPath, ok := f.file(p)
		if !ok {
			continue
		}
		for n, line := range strings.Split(text, "\n") {
			f.namedIn(Place{realPath, n + 1}, strings.TrimSpace(line))
		}
	}
	f.compose()
	f.quadlets()
}

// startsJobs reports whether a file of the survey starts programs: crontabs, units and scripts.
func startsJobs(p string) bool {
	dirs := append(slices.Concat(cronSpools, unitDirs, sortedKeys(partsDirs)), cronDir)
	return slices.Contains(dirs, path.Dir(p)) || p == "/etc/crontab" || path.Ext(p) == ".sh" ||
		strings.Contains(p, "/bin/") || strings.Contains(p, "/sbin/")
}

func (f *webReader) namedIn(at Place, line string) {
	if line == "" || line[0] == '#' || line[0] == ';' || strings.Contains(at.File, "/systemd/") &&
		!strings.HasPrefix(line, "ExecStart") {
		return
	}
	for _, t := range tools {
		if t.runs == nil || !t.runs.MatchString(line) {
			continue
		}
		f.remark(at, "this runs %s (%s), which mirrorform does not replace: it stays unchanged", t.name, t.is)
		if m := runVolume.FindAllStringSubmatch(line, -1); m != nil && (t.name == "docker" || t.name == "podman") {
			var volumes []string
			for _, v := range m {
				volumes = append(volumes, v[1])
			}
			f.container(at, webImage.FindString(line), volumes)
		}
		if m := configOption.FindStringSubmatch(line); m != nil && t.name == "tunasync" {
			f.want(m[1])
			if _, _, missing, err := f.text(m[1]); err == nil && !missing {
				f.tunasync(m[1])
			}
		}
		return
	}
}

var (
	runVolume    = regexp.MustCompile(`(?:-v|--volume)[= ]\s*["']?([^\s"']+)`)
	configOption = regexp.MustCompile(`(?:-c|--config)[= ]\s*["']?(/[^\s"']+)`)
	webImage     = regexp.MustCompile(`\b(nginx|httpd|caddy|lighttpd|openresty|apache|rsyncd?|h5ai|` +
		`static-web-server)[\w./:-]*`)
	tunaMirror = regexp.MustCompile(`(?m)^\s*(name|upstream|mirror_dir)\s*=\s*"([^"]+)"|^\s*(\[\[mirrors\]\])`)
)

// tunasync adds remarks about the mirrors of a tunasync worker.
func (f *webReader) tunasync(p string) {
	text, realPath, ok := f.file(p)
	if !ok {
		return
	}
	dir, name, mirrors := "", "", false
	for _, m := range tunaMirror.FindAllStringSubmatchIndex(text, -1) {
		line := 1 + strings.Count(text[:m[0]], "\n")
		if m[6] >= 0 {
			mirrors = true
			continue
		}
		switch key, value := text[m[2]:m[3]], text[m[4]:m[5]]; {
		case key == "mirror_dir":
			dir = clean(value)
		case key == "name" && mirrors:
			name = value
		case key == "upstream" && name != "":
			f.remark(Place{realPath, line}, "tunasync syncs %s into %s; a mirror block would sync it a second "+
				"time", printable(name), printable(path.Join(dir, name)))
			if dir != "" {
				f.synced = append(f.synced, syncedTree{Place{realPath, line}, path.Join("/", dir, name), "tunasync"})
			}
		}
	}
}

// syncedTree is a directory that a tool fills.
type syncedTree struct {
	at   Place
	path string
	by   string
}

// composeFile is what matters of a compose file.
type composeFile struct {
	Services map[string]struct {
		Image   yaml.Node `yaml:"image"`
		Build   yaml.Node `yaml:"build"`
		Volumes []volume  `yaml:"volumes"`
		Ports   []any     `yaml:"ports"`
	} `yaml:"services"`
}

// volume is a directory of the host in a container, in its short or its long form.
type volume string

func (v *volume) UnmarshalYAML(n *yaml.Node) error {
	var short string
	if n.Decode(&short) == nil {
		*v = volume(short)
		return nil
	}
	var long struct{ Source, Target string }
	if err := n.Decode(&long); err != nil {
		return err
	}
	*v = volume(long.Source + ":" + long.Target)
	return nil
}

// composeFiles returns the compose files that the survey may read.
func (f *webReader) composeFiles() []string {
	var list []string
	for _, dir := range composeDirs {
		subs := 0
		for _, name := range f.files[dir].Entries {
			if slices.Contains(composeNames, name) {
				list = append(list, path.Join(dir, name))
				continue
			}
			if subs++; strings.HasPrefix(name, ".") || strings.Contains(name, "/") || subs > maxSubs {
				continue
			}
			sub := path.Join(dir, name)
			f.want(sub)
			for _, in := range f.files[sub].Entries {
				if slices.Contains(composeNames, in) {
					list = append(list, path.Join(sub, in))
				}
			}
		}
	}
	return list
}

// compose adds the web servers of compose files.
func (f *webReader) compose() {
	for _, p := range f.composeFiles() {
		f.want(p)
		text, realPath, missing, err := f.text(p)
		if missing || err != nil {
			continue
		}
		var c composeFile
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			f.remark(Place{realPath, 0}, "mirrorform cannot parse this compose file; its containers stay unchanged")
			continue
		}
		for _, name := range sortedKeys(c.Services) {
			s := c.Services[name]
			image := s.Image.Value
			if webImage.FindString(image) == "" {
				continue
			}
			var volumes []string
			for _, v := range s.Volumes {
				source, rest, _ := strings.Cut(string(v), ":")
				if strings.HasPrefix(source, ".") {
					source = path.Join(path.Dir(realPath), source)
				}
				volumes = append(volumes, source+":"+rest)
			}
			f.container(Place{realPath, s.Image.Line}, image, volumes)
		}
	}
}

// quadlets adds the web servers of Podman's units (podman-systemd.unit(5)).
func (f *webReader) quadlets() {
	for _, name := range f.files[quadletDir].Entries {
		p := path.Join(quadletDir, name)
		if !strings.HasSuffix(name, ".container") || strings.Contains(name, "/") {
			continue
		}
		f.want(p)
		text, realPath, missing, err := f.text(p)
		if missing || err != nil {
			continue
		}
		image, line, volumes := "", 0, []string{}
		settings, _ := readSettings(text)
		for _, s := range settings {
			switch s.key {
			case "image":
				image, line = s.value, s.line
			case "volume":
				volumes = append(volumes, s.value)
			}
		}
		f.container(Place{realPath, line}, image, volumes)
	}
}

// imageRoots are the document roots of the usual images.
var imageRoots = map[string]string{
	"nginx": "/usr/share/nginx/html", "openresty": "/usr/local/openresty/nginx/html",
	"httpd": "/usr/local/apache2/htdocs", "apache": "/var/www/html",
	"caddy": "/usr/share/caddy", "lighttpd": "/var/www/localhost/htdocs", "static-web-server": "/public",
}

// container adds what a container serves of the host's directories.
func (f *webReader) container(at Place, image string, volumes []string) {
	kind := webImage.FindStringSubmatch(image)
	if kind == nil {
		return
	}
	f.remark(at, "a container of the image %s is on the host; mirrorform does not manage containers, and leaves "+
		"it unchanged", printable(image))
	s := &site{at: at, server: "a container of " + printable(image), real: f.resolve, also: f.otherPaths}
	configured := false
	for _, v := range volumes {
		parts := strings.Split(v, ":")
		if len(parts) < 2 || clean(parts[0]) == "" {
			continue
		}
		source, target := clean(parts[0]), path.Clean(parts[1])
		root := imageRoots[kind[1]]
		switch {
		case strings.HasPrefix(target, "/etc/") || strings.HasPrefix(target, "/usr/local/apache2/conf"):
			configured = true
		case root != "" && target == root:
			s.rules = append(s.rules, rule{prefix: "/", dir: source})
		case root != "" && strings.HasPrefix(target, root+"/"):
			s.rules = append([]rule{{prefix: strings.TrimPrefix(target, root), dir: source}}, s.rules...)
		}
	}
	if configured {
		s.unclear = append(s.unclear, Remark{at, "this container has a configuration of its own, which " +
			"mirrorform does not read: what it serves is not judged"})
	}
	f.sites = append(f.sites, s)
}
