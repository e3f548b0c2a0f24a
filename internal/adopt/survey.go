package adopt

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Limits for what is read from a host.
const (
	maxRounds = 9         // rounds of questions
	maxFiles  = 512       // files to read
	maxStats  = 1024      // paths whose kind is asked for
	maxSize   = 256 << 10 // bytes of a file
	maxLinks  = 8         // links in the path to a file
)

var (
	// cronSpools have the crontabs of users, each named after its user, on Debian and on Red Hat
	// (crontab(1)).
	cronSpools = []string{"/var/spool/cron/crontabs", "/var/spool/cron"}
	// unitDirs have the units that were added on the host (systemd.unit(5)).
	unitDirs = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system"}
	// nginxDirs and apacheDirs have the virtual hosts.
	nginxDirs  = []string{"/etc/nginx/conf.d", "/etc/nginx/sites-enabled"}
	apacheDirs = []string{"/etc/httpd/conf.d", "/etc/apache2/sites-enabled", "/etc/apache2/conf-enabled", "/etc/apache2/vhosts.d", "/etc/httpd/vhosts.d"}

	// packageFiles belong to packages. A site in one of them is not managed.
	packageFiles = []string{"/etc/nginx/nginx.conf", "/etc/httpd/conf/httpd.conf", "/etc/apache2/apache2.conf"}
	fixedFiles   = slices.Concat([]string{"/etc/crontab", "/etc/anacrontab", "/etc/rc.local", "/etc/passwd", "/etc/fstab",
		"/etc/apache2/envvars", caddyfile, "/etc/caddy/caddy.json", lighttpdConf},
		nginxConfs, apacheMains(), rsyncdConfs, composeDirs, []string{quadletDir})
	units = []string{"nginx.service", "httpd.service", "apache2.service", "cron.service", "crond.service", "rsync.service", "rsyncd.service",
		"caddy.service", "lighttpd.service"}
	packages = []string{"rsync", "nginx", "httpd", "apache2", "cron", "cronie", "rsync-daemon", "caddy", "lighttpd"}
)

const cronDir = "/etc/cron.d"

// Survey collects the answers of a host about its mirror. All its questions only read.
type Survey struct {
	target engine.Target
	rounds int
	reads  int             // files that were asked for
	stats  int             // paths whose kind was asked for
	asked  map[string]bool // by Query.Key
	files  map[string]wire.File
	errors map[string]error // by path
	units  map[string]wire.Unit
	pkgs   map[string]wire.Package
	fs     map[string]wire.Filesystem
	mounts map[string]wire.Mount
	full   bool   // a limit was reached, so not everything was read
	named  string // the tree that the operator has named, or ""
}

// NewSurvey returns the survey of a host that was reached.
func NewSurvey(t engine.Target) *Survey {
	return &Survey{
		target: t, asked: map[string]bool{}, files: map[string]wire.File{}, errors: map[string]error{}, units: map[string]wire.Unit{},
		pkgs: map[string]wire.Package{}, fs: map[string]wire.Filesystem{}, mounts: map[string]wire.Mount{},
	}
}

// Tree names the directory with AlmaLinux's files, which nothing that is understood may show.
func (s *Survey) Tree(p string) {
	if p != "" {
		s.named = path.Clean(p)
	}
}

// Next returns the next questions. It returns none if the survey is complete, or after maxRounds
// rounds. Three rounds are usual: directories, then the files in them, then the files that these
// refer to.
func (s *Survey) Next() []wire.Query {
	var next []wire.Query
	ask := func(q wire.Query) {
		if !s.asked[q.Key()] {
			s.asked[q.Key()] = true
			next = append(next, q)
		}
	}
	file := func(p string) {
		q := wire.Query{Verb: wire.AskFile, Arg: p, Option: "content"}
		switch {
		case s.asked[q.Key()]:
		case s.reads >= maxFiles:
			s.full = true
		default:
			s.reads++
			ask(q)
		}
	}
	if s.rounds >= maxRounds {
		s.full = true
		return nil
	}
	s.rounds++
	for _, p := range slices.Concat(fixedFiles, cronSpools, unitDirs, []string{"/etc/systemd/user"}, quadletDirs, nginxDirs, apacheDirs, []string{cronDir}, sortedKeys(partsDirs)) {
		file(p)
	}
	for _, u := range units {
		ask(wire.Query{Verb: wire.AskUnit, Arg: u})
	}
	for _, p := range packages {
		ask(wire.Query{Verb: wire.AskPackage, Arg: p})
	}
	if s.rounds == 1 {
		return next
	}
	for _, p := range slices.Concat(s.userDirs(), s.unitParts(), s.listed()) {
		file(p)
	}
	for _, f := range sortedKeys(s.files) {
		if s.files[f].Kind == wire.Symlink && s.reached(f) {
			file(linkTarget(f, s.files[f].Target))
		}
	}
	s.follow(s.read(), file, ask)
	return next
}

// follow asks for what the files refer to, and about the trees and timers.
func (s *Survey) follow(found *found, file func(string), ask func(wire.Query)) {
	for _, p := range found.wants {
		file(p)
	}
	for _, q := range found.aboutTrees() {
		ask(q)
	}
	for _, dir := range found.unnamed() {
		ask(wire.Query{Verb: wire.AskFile, Arg: dir})
	}
	for _, j := range found.jobs {
		if j.timer.name != "" {
			ask(wire.Query{Verb: wire.AskUnit, Arg: j.timer.name})
		}
	}
}

// aboutTrees returns the questions about the trees, and about the paths of what serves them.
func (f *found) aboutTrees() []wire.Query {
	var list []wire.Query
	for _, p := range f.stats {
		if f.Survey.stats < maxStats {
			f.Survey.stats++
			list = append(list, wire.Query{Verb: wire.AskFile, Arg: p})
		}
	}
	for _, tree := range f.trees() {
		list = append(list, wire.Query{Verb: wire.AskFile, Arg: tree}, wire.Query{Verb: wire.AskFilesystem, Arg: tree})
		for dir := tree; dir != "/"; dir = path.Dir(dir) {
			list = append(list, wire.Query{Verb: wire.AskMount, Arg: dir})
		}
	}
	return list
}

// Add adds the answers to the questions of Next.
func (s *Survey) Add(queries []wire.Query, got engine.Answers) {
	for _, q := range queries {
		switch q.Verb {
		case wire.AskFile:
			f, err := got.File(q)
			if _, known := s.files[q.Arg]; known && q.Option == "" {
				continue
			}
			if err != nil {
				s.errors[q.Arg] = err
			} else {
				s.files[q.Arg] = f
			}
		case wire.AskUnit:
			if u, err := got.Unit(q); err == nil {
				s.units[q.Arg] = u
			}
		case wire.AskPackage:
			if p, err := got.Package(q); err == nil {
				s.pkgs[q.Arg] = p
			}
		case wire.AskFilesystem:
			if f, err := got.Filesystem(q); err == nil {
				s.fs[q.Arg] = f
			}
		case wire.AskMount:
			if m, err := got.Mount(q); err == nil {
				s.mounts[q.Arg] = m
			}
		}
	}
}

// listed returns those files in the directories of the first round that cron, systemd, nginx and
// Apache read.
func (s *Survey) listed() []string {
	var list []string
	add := func(dirs []string, read func(name string) bool) {
		for _, dir := range dirs {
			for _, name := range s.files[dir].Entries {
				if name != "" && name[0] != '.' && !strings.Contains(name, "/") && read(name) {
					list = append(list, path.Join(dir, name))
				}
			}
		}
	}
	all := func(string) bool { return true }
	add(cronSpools[:1], all)
	add(cronSpools[1:], func(name string) bool { return name != "crontabs" && name != "atjobs" && name != "atspool" })
	add([]string{cronDir}, s.cronReads)
	add(sortedKeys(partsDirs), s.cronReads)
	add(s.unitPlaces(), func(name string) bool {
		return strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".timer") || strings.HasSuffix(name, ".container")
	})
	add(nginxDirs[:1], func(name string) bool { return strings.HasSuffix(name, ".conf") })
	add(nginxDirs[1:], all)
	add(apacheDirs, func(name string) bool { return strings.HasSuffix(name, ".conf") })
	return list
}

// debianName matches the names of files that cron of Debian reads (cron(8), run-parts(8)).
var debianName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// cronReads reports whether cron reads a file of that name in /etc/cron.d, and run-parts runs it.
// cronie, and the run-parts of EL, leave out only copies (crond(8)).
func (s *Survey) cronReads(name string) bool {
	if s.target.Facts.OS.Family == "debian" {
		return debianName.MatchString(name)
	}
	return !slices.ContainsFunc([]string{"~", ".rpmsave", ".rpmorig", ".rpmnew", ".swp", ".cfsaved", ","}, func(end string) bool { return strings.HasSuffix(name, end) })
}

// unitParts returns the directories with drop-ins and with links that enable units.
func (s *Survey) unitParts() []string {
	var list []string
	for _, dir := range s.unitPlaces() {
		for _, name := range s.files[dir].Entries {
			if dropIns(name) && !strings.Contains(name, "/") {
				list = append(list, path.Join(dir, name))
			}
		}
	}
	return list
}

// reached reports whether a chain of links may be followed further: it is not too long, which also
// ends cycles.
func (s *Survey) reached(p string) bool {
	for range maxLinks {
		f, ok := s.files[p]
		if !ok || f.Kind != wire.Symlink {
			return true
		}
		p = linkTarget(p, f.Target)
	}
	return false
}

func linkTarget(link, target string) string {
	if path.IsAbs(target) {
		return path.Clean(target)
	}
	return path.Join(path.Dir(link), target)
}

// text returns a file's content and its path, with links resolved. missing reports that there is no
// such file; err is the reason why it cannot be read.
func (s *Survey) text(p string) (content, realPath string, missing bool, err error) {
	for range maxLinks {
		f, ok := s.files[p]
		switch {
		case s.errors[p] != nil:
			return "", p, false, s.errors[p]
		case !ok || f.Kind == wire.Absent:
			return "", p, true, nil
		case f.Kind == wire.Symlink:
			p = linkTarget(p, f.Target)
			continue
		case f.Kind != wire.Regular:
			return "", p, true, nil
		case f.Size > maxSize || len(f.Content) > maxSize:
			return "", p, false, fmt.Errorf("it was not read, because it has %d bytes; the limit is %d", f.Size, maxSize)
		case !f.HasContent:
			return "", p, false, fmt.Errorf("it was not read, because the answer of the host was already too large")
		}
		return string(f.Content), p, false, nil
	}
	return "", p, false, fmt.Errorf("its links form a cycle, or there are more than %d", maxLinks)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
