package adopt

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/adopt/shell"
	"github.com/mirrorform/mirrorform/internal/mirror"
)

// What starts a job.
const (
	byCrontab = "crontab" // of a user
	bySystem  = "system"  // /etc/crontab
	byAnacron = "anacron" // /etc/anacrontab
	byCronD   = "cron.d"
	byParts   = "run-parts"
	byUnit    = "unit"
	byBoot    = "boot" // /etc/rc.local
)

// starter is what starts a command. Paths are those of the files themselves, with links resolved.
type starter struct {
	at       Place
	kind     string
	user     string
	schedule string // crontab(5); "" if it is not known, as for a timer
	file     string // path of the job's own file, for byCronD, byParts and byUnit
	timer    timer  // of the unit
	cronLine int    // line in the crontab or in anacrontab
	idle     string // why it does not start the command at present, or ""
	unit     unitLimits
	called   Place // of the systemctl that starts the unit, if no timer does
}

// job is a sync and what starts it.
type job struct {
	starter
	sync    syncCommand
	scripts []string // paths of the scripts that the starter runs
	role    string   // what it is, unless it is the sync of its tree
}

// script returns the script with the rsync, or "".
func (j *job) script() string {
	if j.sync.at.File == j.at.File {
		return ""
	}
	return j.sync.at.File
}

// startedWith reports whether the same thing starts another job: not another instance of a template
// unit, nor another line of a crontab.
func (s starter) startedWith(o *job) bool {
	return s.timer.name == o.timer.name && s.at.File == o.at.File && s.cronLine == o.cronLine
}

// alma matches the name of AlmaLinux in the path of a URL or of a directory.
var alma = regexp.MustCompile(`(?i)almalinux|(^|[^a-z0-9])alma([^a-z0-9]|[0-9]|$)`)

func (j *job) kitten() bool {
	return strings.Contains(strings.ToLower(j.sync.upstream+" "+j.sync.tree), "kitten")
}

func (j *job) almalinux() bool {
	_, module, _ := strings.Cut(strings.TrimPrefix(j.sync.upstream, "rsync://"), "/")
	return j.sync.alma || alma.MatchString(module) || alma.MatchString(path.Base(j.sync.tree)) ||
		strings.Contains(strings.ToLower(j.sync.upstream), "almalinux")
}

// holdsAlmaLinux reports whether a directory has the files in the root of AlmaLinux's tree.
func (f *found) holdsAlmaLinux(tree string) bool {
	entries := f.files[tree].Entries
	return slices.Contains(entries, "TIME") && slices.ContainsFunc(entries,
		func(e string) bool { return strings.HasPrefix(e, "RPM-GPG-KEY-AlmaLinux") })
}

// evaluator evaluates what starters start.
type evaluator struct{ *found }

// evaluated adds the jobs that a starter's evaluation has shown.
func (f evaluator) evaluated(t shell.Trace, s starter) {
	place := func(p shell.Place) Place { return Place{p.File, p.Line} }
	for _, n := range t.Notes {
		f.remark(place(n.At), "%s", n.Text)
	}
	var scripts []string
	reached := map[shell.Place]bool{}
	for _, c := range t.Commands {
		reached[c.At] = true
	}
	for _, one := range t.Scripts {
		if !slices.Contains(scripts, one.Real) {
			scripts = append(scripts, one.Real)
		}
		f.scriptSecrets(one.Path, one.Real)
		if one.Other != "" {
			f.foreign(one, s)
		}
	}
	first := len(f.jobs)
	for i := range t.Commands {
		f.recorded(t.Commands[i], s, scripts, i)
	}
	f.roles(f.jobs[first:], t.Commands)
	for _, one := range t.Scripts {
		if one.Other == "" {
			f.unreached(one, reached)
		}
	}
	for _, u := range t.Units {
		if _, known := f.unitStarts[u.Unit]; !known {
			f.unitStarts[u.Unit] = s
		}
	}
	if jobs := f.jobs[first:]; len(jobs) > 0 {
		f.besides(t, jobs)
		return
	}
	for _, o := range t.Others {
		if text := strings.ToLower(strings.Join(o.Argv, " ")); strings.Contains(text, "alma") ||
			strings.Contains(text, "mirror") || strings.Contains(text, "rsync") {
			f.remark(place(o.At), "mirrorform does not know what %s does here: if it fills AlmaLinux's tree, name the "+
				"directory with --tree", shell.Name(o.Argv[0]))
		}
	}
}

// evaluate evaluates what a starter starts. If an rsync lacks its arguments then, the script is
// evaluated with arguments that are not known, too.
func (f evaluator) evaluate(s starter, start shell.Start, evaluate func(shell.Start) shell.Trace) {
	t := evaluate(start)
	f.evaluated(t, s)
	lacking := slices.ContainsFunc(t.Commands, func(c shell.Command) bool {
		_, rest := mirror.SplitOptions(c.Argv[1:])
		return path.Base(c.Argv[0]) == "rsync" && len(rest) == 0 && !slices.ContainsFunc(c.Argv,
			func(w string) bool { return !shell.Known(w) })
	})
	if !lacking {
		return
	}
	n := len(f.jobs)
	start.Any = true
	f.evaluated(evaluate(start), s)
	for _, j := range f.jobs[n:] {
		f.remark(j.sync.at, "this rsync has these arguments only if the script is started with others than those at "+
			"%s: check it", s.at)
	}
}

// start returns where the commands of a starter start.
func (f evaluator) start(s starter, vars map[string]string) shell.Start {
	home := scriptHost(f).Home(s.user)
	if home == "" {
		home = shell.Unknown
	}
	env := map[string]string{"HOME": home, "LOGNAME": s.user, "USER": s.user, "SHELL": "/bin/sh", "PATH": cronPath}
	maps.Copy(env, vars)
	none := ""
	return shell.Start{At: shell.Place{File: s.at.File, Line: s.at.Line}, User: s.user, Dir: env["HOME"],
		Vars: env, Input: &none}
}

// commands adds the syncs of a command line, and of the scripts that it runs.
func (f evaluator) commands(command string, s starter, vars map[string]string, input *string) {
	f.leaveOut(readCommands(command), s.file, max(s.at.Line, 1), s.at)
	start := f.start(s, vars)
	if input != nil {
		start.Input = input
	}
	f.evaluate(s, start, func(start shell.Start) shell.Trace {
		return shell.Text(scriptHost(f), f.budget, command, start)
	})
}

// scriptSecrets looks for secrets in a script that a job runs.
func (f evaluator) scriptSecrets(p, realPath string) {
	text, _, missing, err := f.text(p)
	if missing || err != nil {
		return
	}
	c := readCommands(text)
	f.leaveOut(c, realPath, c.secret, Place{p, 0})
}

// leaveOut records the secret of commands, which are in a line of a file, and reports a password.
func (f evaluator) leaveOut(c commands, file string, line int, at Place) {
	if c.secret > 0 {
		f.secret(file, line)
	}
	if c.passwd {
		f.remark(at, "a password for rsync is set here, which is left out")
	}
}

// recorded adds a job for a command that fills a directory; index is that of the command in its
// evaluation, or -1.
func (f evaluator) recorded(c shell.Command, s starter, scripts []string, index int) {
	at := Place{c.At.File, c.At.Line}
	sync, why := readSync(c)
	if sync.secret {
		f.remark(at, "this rsync logs in with a user name or password, which is left out: AlmaLinux's upstream is public")
	}
	if why != "" {
		f.remark(at, "%s", why)
	}
	if sync.tree == "" {
		return
	}
	sync.alma = sync.alma || f.holdsAlmaLinux(sync.tree) || sync.tree == f.named
	j := &job{starter: s, sync: sync, scripts: scripts}
	j.sync.at, j.sync.index = at, index
	j.sync.starts = s.at
	if c.User != "" {
		j.user = c.User
	}
	f.jobs = append(f.jobs, j)
}

// besides reports what a job with a sync does, too, and a mirror block does not.
func (f evaluator) besides(t shell.Trace, jobs []*job) {
	if len(t.Waits) > 0 {
		f.remark(Place{t.Waits[0].File, t.Waits[0].Line}, "the job waits for a time that only the host knows. "+
			"A mirror block does not: with sync.every, its minute is derived from the names of host and mirror")
	}
	for _, w := range t.Writes {
		if slices.ContainsFunc(jobs, func(j *job) bool {
			return path.Dir(j.sync.tree) != "/" && engine.PathWithin(w.Path, path.Dir(j.sync.tree))
		}) {
			f.remark(Place{w.At.File, w.At.Line}, "the job also writes %s, which a mirror block does not", printable(w.Path))
		}
	}
	var names []string
	at := Place{}
	for _, o := range t.Others {
		name := shell.Name(o.Argv[0])
		if !slices.Contains(names, name) && !strings.HasPrefix(name, "mirrorform-sync") {
			names = append(names, name)
			if at.File == "" {
				at = Place{o.At.File, o.At.Line}
			}
		}
	}
	if len(names) == 0 {
		return
	}
	text := "the job also runs " + strings.Join(names, ", ") + ", which a mirror block does not"
	notifies := func(n string) bool { return strings.Contains(n, "mail") || n == "curl" || n == "wget" }
	if slices.ContainsFunc(names, notifies) {
		text += "; sync.notify sends mail and requests URLs"
	}
	f.remark(at, "%s", text)
}

// trees of jobs that no job of AlmaLinux has are asked for, because their content may show it.
func (f *found) unnamed() []string {
	var list []string
	for _, j := range f.jobs {
		if !j.almalinux() && len(list) < maxUnnamed && !slices.Contains(list, j.sync.tree) {
			list = append(list, j.sync.tree)
		}
	}
	return list
}

// maxUnnamed is how many trees are looked at whose names are not AlmaLinux's.
const maxUnnamed = 32
