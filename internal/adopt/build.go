package adopt

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/adopt/shell"
	"github.com/mirrorform/mirrorform/resources"
)

// candidate is a resource for the configuration, in the state that was found.
type candidate struct {
	kind  string
	name  string
	state any
	notes []string // comments in its block
}

// builder makes candidates from what was found.
type builder struct {
	*found
	list   []*candidate
	copies bool // the content of files is copied
}

func (b *builder) add(kind, name string, state any, notes ...string) {
	name = label(name)
	for n, base := 2, name; slices.ContainsFunc(b.list, func(c *candidate) bool { return c.kind == kind && c.name == name }); n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	b.list = append(b.list, &candidate{kind, name, state, notes})
}

var noLabel = regexp.MustCompile(`[^a-z0-9]+`)

// label makes a block label from any text.
func label(s string) string {
	s = strings.Trim(noLabel.ReplaceAllString(strings.ToLower(s), "_"), "_")
	if len(s) > 40 {
		s = s[:40]
	}
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = "r_" + s
	}
	return s
}

// candidates returns the resources that describe the mirror in its current state.
func (f *found) candidates(copies bool) []*candidate {
	b := &builder{found: f, copies: copies}
	trees := f.trees()
	for _, tree := range trees {
		b.tree(tree)
	}
	b.packageOf("rsync")
	for _, j := range f.jobs {
		if j.almalinux() && j.role == "" {
			b.job(j)
		}
	}
	b.web(trees)
	b.modules(trees)
	return b.list
}

func (b *builder) packageOf(names ...string) {
	for _, name := range names {
		added := slices.ContainsFunc(b.list, func(c *candidate) bool {
			return c.kind == "package" && c.state.(*resources.Package).Name == name
		})
		if b.pkgs[name].Installed != "" && !added {
			b.add("package", name, &resources.Package{Name: name})
		}
	}
}

// tree describes a directory with AlmaLinux's files, and its file system if it has its own.
func (b *builder) tree(tree string) {
	f := b.files[tree]
	if f.Kind != wire.Directory {
		b.remark(Place{tree, 0}, "not managed, because it is not a directory on the host (it is a link, or missing)")
		return
	}
	fs := b.fs[tree]
	if m := b.mounts[fs.MountPoint]; fs.MountPoint != "" && fs.MountPoint != "/" && engine.PathWithin(tree, fs.MountPoint) && m.Mounted {
		if m.Fstab == "" {
			b.remark(Place{fs.MountPoint, 0}, "the file system of the tree is mounted here, but it is not in /etc/fstab: after a reboot it is not mounted")
		}
		b.remark(Place{fs.MountPoint, 0}, "the tree has its own file system (%s on %s, %d GB of %d GB free); its mount is not managed",
			printable(fs.Type), printable(fs.Source), fs.Available/1e9, fs.Size/1e9)
	}
	d := &resources.Directory{Path: tree}
	if j := b.main(); j != nil && j.user != "root" {
		d.Owner, d.Group = f.Owner, f.Group // a sync as root copies owner and group from upstream
	}
	b.add("directory", path.Base(tree), d)
}

// job describes the crontab, scripts or unit that start a sync.
func (b *builder) job(j *job) {
	const takeOver = "remove the job before a mirror block takes over, or both would run"
	switch j.kind {
	case byCrontab:
		b.remark(j.at, "the crontab of %s runs this sync. mirrorform does not manage crontabs of users: %s", printable(path.Base(j.at.File)), takeOver)
	case bySystem, byAnacron, byBoot:
		b.remark(j.at, "%s runs this sync. mirrorform does not manage this file, which belongs to the system: %s", j.at.File, takeOver)
	case byCronD, byParts:
		b.regular(j.file)
		if n := b.others(j); n > 0 {
			b.remark(Place{j.file, n}, "the file has other jobs than the syncs of AlmaLinux, which stay: take only AlmaLinux's "+
				"out of it")
		}
	case byUnit:
		b.unitOf(j)
	}
	if j.kind == byCrontab || j.kind == bySystem || j.kind == byCronD || j.kind == byParts {
		b.packageOf("cron", "cronie")
		for _, unit := range []string{"cron.service", "crond.service"} {
			b.service(unit)
		}
	}
	for _, script := range j.scripts {
		b.regular(script)
	}
	b.locks(j)
}

// unitOf describes the unit and the timer that start a sync.
func (b *builder) unitOf(j *job) {
	if dir := path.Dir(j.at.File); strings.HasSuffix(dir, userUnits) || dir == "/etc/systemd/user" {
		b.remark(j.at, "a user's instance of systemd runs this sync. mirrorform does not manage units of users: remove the job before a mirror block takes over, or both would run")
		if strings.HasSuffix(dir, userUnits) && !b.lingers(j.user) {
			b.remark(j.at, "no file in /var/lib/systemd/linger shows that %s lingers: if so, this runs only while that user is logged in", printable(j.user))
		}
		return
	}
	b.regular(j.file)
	if j.called.File != "" {
		b.remark(j.called, "this line starts %s: remove it before a mirror block takes over, or both would run", printable(path.Base(j.at.File)))
		return
	}
	if j.timer.name == "" {
		b.remark(j.at, "no timer in %s starts this service", strings.Join(unitDirs, " or "))
		return
	}
	if j.schedule == "" {
		b.remark(j.at, "%s starts this sync. Its calendar is not translated: for another interval than 3h, set sync.every or sync.schedule in the mirror block",
			printable(j.timer.name))
	}
	b.regular(j.timer.at)
	b.service(j.timer.name)
}

// locks reports how a sync is kept from running twice, if not as in a mirror block.
func (b *builder) locks(j *job) {
	if j.sync.lock() != "" {
		return
	}
	if len(j.sync.locks) == 0 {
		b.remark(j.sync.at, "this sync runs without flock(1): two of them can run at the same time")
		return
	}
	l := j.sync.locks[0]
	at := "a file whose name only the host knows"
	if shell.Known(l.Path) && l.Path != "" {
		at = printable(l.Path)
	}
	b.remark(j.sync.at, "this sync has a lock (%s), %s. A mirror block has one by flock(1), which does not wait for it: remove the job before the block takes over",
		l.Kind, at)
}

// others returns the first line of a file in /etc/cron.d that has another job than a sync of
// AlmaLinux, or 0.
func (b *builder) others(j *job) int {
	if j.kind != byCronD {
		return 0
	}
	text, _, _, _ := b.text(j.file)
	lines := readCrontab(text, "", true).jobs
	for _, l := range lines {
		if !slices.ContainsFunc(b.jobs, func(o *job) bool { return o.file == j.file && o.cronLine == l.line && o.almalinux() }) {
			return l.line
		}
	}
	return 0
}

// service describes a unit that is enabled or running.
func (b *builder) service(unit string, files ...string) {
	u, asked := b.units[unit]
	name := strings.TrimSuffix(unit, ".service")
	if !asked || u.LoadState != "loaded" || slices.ContainsFunc(b.list, func(c *candidate) bool { return c.kind == "service" && c.state.(*resources.Service).Name == name }) {
		return
	}
	yes := true
	s := &resources.Service{Name: name}
	if u.UnitFileState == "enabled" {
		s.Enabled = &yes
	} else {
		b.remark(Place{}, "%s is not enabled (%s): it does not start at boot", unit, printable(u.UnitFileState))
	}
	if u.ActiveState == "active" || u.ActiveState == "reloading" {
		s.Running = &yes
	} else {
		b.remark(Place{}, "%s is not running (%s)", unit, printable(u.ActiveState))
	}
	var notes []string
	if len(files) > 0 {
		notes = []string{"To reload it when these files change, add this (the first apply reloads it once):", "reload_on = " + expression(files)}
	}
	if s.Enabled != nil || s.Running != nil {
		b.add("service", name, s, notes...)
	}
}
