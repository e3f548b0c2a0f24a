package adopt

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Place is a line of a file on the host.
type Place struct {
	File string
	Line int // from 1; 0 is the whole file
}

func (p Place) String() string {
	if p.Line == 0 {
		return printable(p.File)
	}
	return printable(p.File) + ":" + strconv.Itoa(p.Line)
}

// Remark is a note for the operator about a place on a host.
type Remark struct {
	At   Place // File is empty if the remark is about the host
	Text string
}

func (r Remark) String() string {
	if r.At.File == "" {
		return r.Text
	}
	return r.At.String() + ": " + r.Text
}

// printable makes text from the host safe for comments and terminals: one line of limited length,
// without control characters and invisible characters.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	return strconv.QuoteToGraphic(s)
}

// What starts a job.
const (
	byCrontab = "crontab" // of a user
	bySystem  = "system"  // /etc/crontab
	byCronD   = "cron.d"
	byParts   = "run-parts"
	byUnit    = "unit"
)

// job is a sync and what starts it. Paths are those of the files themselves, with links resolved.
type job struct {
	at       Place
	starter  Place // what starts it: the same as at, unless the rsync is in a script
	kind     string
	sync     syncCommand
	user     string
	schedule string // crontab(5); "" for a timer
	file     string // path of the job's own file, for byCronD, byParts and byUnit
	script   string // path of the script with the rsync, or ""
	timer    string // the unit's timer, or ""
	timerAt  string // path of the timer's file
	cronLine int    // line in the crontab
}

func (j *job) kitten() bool {
	return strings.Contains(strings.ToLower(j.sync.upstream+" "+j.sync.tree), "kitten")
}
func (j *job) almalinux() bool { return isAlmaLinux(j.sync.upstream + " " + j.sync.tree) }

// isAlmaLinux reports whether a path or URL has AlmaLinux in it.
func isAlmaLinux(text string) bool { return strings.Contains(strings.ToLower(text), "almalinux") }

// found is what a survey has found on a host.
type found struct {
	*Survey
	jobs    []*job
	sites   []*site
	modules []module
	remarks []Remark
	synced  []syncedTree              // by other tools than rsync in a script
	wants   []string                  // files that others refer to and that were not read yet
	stats   []string                  // paths whose kind is needed
	binds   map[string]string         // bind mounts: from mount point to directory
	looked  map[string]map[int]string // secretsOf of a file
	dirs    int                       // document roots whose entries were requested
	secrets map[string]int            // the line of a secret in a command, by the resolved path of the file
}

// partsDirs are the directories of run-parts(8), with their schedules.
var partsDirs = map[string]string{"/etc/cron.hourly": "@hourly", "/etc/cron.daily": "@daily", "/etc/cron.weekly": "@weekly"}

// read interprets the answers so far.
func (s *Survey) read() *found {
	f := &found{Survey: s, secrets: map[string]int{}, binds: map[string]string{}, looked: map[string]map[int]string{}}
	for _, dir := range slices.Concat(cronSpools, unitDirs, nginxDirs, apacheDirs, []string{cronDir}, sortedKeys(partsDirs)) {
		if err := s.errors[dir]; err != nil {
			f.remark(Place{dir, 0}, "left out, because it cannot be read: %s", printable(err.Error()))
		} else if d := s.files[dir]; d.Kind == "directory" && !d.Empty && d.Entries == nil {
			f.remark(Place{dir, 0}, "left out, because it has too many entries or cannot be read")
		}
	}
	f.crontabs()
	f.systemd()
	f.rsyncd()
	(&webReader{f}).read()
	return f
}

func (f *found) remark(at Place, format string, args ...any) {
	r := Remark{at, fmt.Sprintf(format, args...)}
	if !slices.Contains(f.remarks, r) {
		f.remarks = append(f.remarks, r)
	}
}

// file returns a file's text and its path with links resolved. ok reports whether it was read; an
// error becomes a remark.
func (f *found) file(p string) (text, realPath string, ok bool) {
	text, realPath, missing, err := f.text(p)
	if err != nil {
		f.remark(Place{p, 0}, "%s", printable(err.Error()))
	}
	return text, realPath, !missing && err == nil
}

// entries returns the files of a directory that the survey reads.
func (f *found) entries(dir string) []string {
	var list []string
	for _, p := range f.listed() {
		if path.Dir(p) == dir {
			list = append(list, p)
		}
	}
	return list
}

func (f *found) crontabs() {
	for _, dir := range cronSpools {
		for _, p := range f.entries(dir) {
			f.crontab(p, byCrontab, path.Base(p))
		}
	}
	f.crontab("/etc/crontab", bySystem, "")
	for _, p := range f.entries(cronDir) {
		f.crontab(p, byCronD, "")
	}
	for _, dir := range sortedKeys(partsDirs) {
		for _, p := range f.entries(dir) {
			if text, realPath, ok := f.file(p); ok {
				f.script(p, text, job{at: Place{p, 0}, starter: Place{p, 0}, kind: byParts, user: "root", schedule: partsDirs[dir], file: realPath})
			}
		}
	}
}

func (f *found) crontab(p, kind, user string) {
	text, realPath, ok := f.file(p)
	if !ok {
		return
	}
	lines, variables, unclear := readCrontab(text, user, user == "")
	for _, v := range variables {
		if isSecretWord(v.value) {
			f.secret(realPath, v.line)
		}
		if v.name == "RSYNC_PASSWORD" {
			f.remark(Place{p, v.line}, "this line sets a password, which is left out")
		}
	}
	for _, line := range unclear {
		f.remark(Place{p, line}, "mirrorform cannot parse this line")
		if text := strings.Split(text, "\n")[line-1]; strings.Contains(text, "rsync") && strings.Contains(text, "@") {
			f.secret(realPath, line)
		}
	}
	for _, l := range lines {
		j := job{at: Place{p, l.line}, kind: kind, user: l.user, schedule: l.schedule, cronLine: l.line}
		if kind == byCronD {
			j.file = realPath
		}
		n := len(f.jobs)
		f.commands(l.command, j)
		if l.input && len(f.jobs) > n {
			f.remark(j.at, "an unescaped %% ends the command: the rest of the line is its standard input (crontab(5)) and is left out")
		}
	}
}

// commands adds the syncs of a command, and of the scripts that it runs.
func (f *found) commands(command string, j job) {
	c, err := readCommands(command)
	j.starter = j.at
	if c.secret > 0 {
		f.secret(j.file, max(j.at.Line, 1))
	}
	if err != nil {
		if strings.Contains(command, "rsync") {
			f.remark(j.at, "mirrorform cannot parse this command with rsync: %v", err)
		}
		return
	}
	f.syncs(c, j, j.at, 0)
	for _, script := range c.scripts {
		if systemProgram(script) {
			continue
		}
		f.want(script)
		if text, realPath, ok := f.file(script); ok {
			in := j
			in.script = realPath
			f.script(script, text, in)
		}
	}
}

// systemProgram reports whether a program comes with a package. It is not an operator's script, and
// may be large.
func systemProgram(p string) bool {
	dirs := []string{"/bin", "/sbin", "/lib", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"}
	return slices.ContainsFunc(dirs, func(dir string) bool { return engine.PathWithin(p, dir) })
}

// script adds the syncs of a script that a job runs.
func (f *found) script(p, text string, j job) {
	if !strings.Contains(text, "rsync") {
		return
	}
	first, _, _ := strings.Cut(text, "\n")
	shell := !strings.HasPrefix(first, "#!") || slices.ContainsFunc(shells, func(s string) bool {
		return strings.HasSuffix(strings.Fields(first + " ")[0], "/"+s) || strings.HasSuffix(first, " "+s)
	})
	c, err := readCommands(text)
	if c.secret > 0 {
		f.secret(cmp.Or(j.script, j.file), c.secret)
	}
	if !shell || err != nil {
		f.remark(Place{p, 0}, "%s runs this file, which has an rsync that mirrorform cannot parse", j.at)
		return
	}
	if j.script == "" {
		j.script = j.file
	}
	f.syncs(c, j, Place{p, 0}, 1)
}

// syncs adds the syncs of a text. perLine is 1 if the lines of the text are those of the file at.
func (f *found) syncs(c commands, j job, at Place, perLine int) {
	place := func(line int) Place {
		if perLine == 0 {
			return at
		}
		return Place{at.File, line}
	}
	for _, line := range c.unclear {
		f.remark(place(line), "mirrorform cannot parse the arguments of this rsync: it uses variables, or does not copy one upstream to one directory")
	}
	if c.passwd {
		f.remark(at, "a password for rsync is set here, which is left out")
	}
	for _, s := range c.syncs {
		one := j
		one.sync = s
		if perLine == 1 {
			one.at = place(s.line)
		}
		if s.user != "" {
			one.user = s.user
		}
		if s.secret {
			f.remark(one.at, "this rsync logs in with a user name or password, which is left out: AlmaLinux's upstream is public")
		}
		f.jobs = append(f.jobs, &one)
	}
}

func (f *found) secret(file string, line int) {
	if f.secrets[file] == 0 {
		f.secrets[file] = line
	}
}

func contentOf(p string) wire.Query { return wire.Query{Verb: wire.AskFile, Arg: p, Option: "content"} }

func (f *found) want(p string) {
	if !f.asked[contentOf(p).Key()] && !slices.Contains(f.wants, p) {
		f.wants = append(f.wants, p)
	}
}

// systemd reads the units that were added on the host.
func (f *found) systemd() {
	for _, dir := range unitDirs {
		for _, p := range f.entries(dir) {
			if strings.HasSuffix(p, ".service") {
				f.service(p)
			}
		}
	}
}

func (f *found) service(p string) {
	text, realPath, ok := f.file(p)
	if !ok || engine.PathWithin(realPath, "/usr/lib") || engine.PathWithin(realPath, "/lib") {
		return // a link to a unit of a package
	}
	settings, _ := readSettings(text)
	j := job{at: Place{p, 0}, kind: byUnit, user: "root", file: realPath}
	name := path.Base(p)
	j.timer, j.timerAt = f.timerOf(name)
	for _, s := range settings {
		if s.section == "Service" && s.key == "user" && s.value != "" {
			j.user = s.value
		}
	}
	for _, s := range settings {
		if s.section != "Service" || s.key != "execstart" && s.key != "execstartpre" {
			continue
		}
		j.at.Line = s.line
		command := strings.TrimLeft(s.value, "@-:+!|")
		if strings.Contains(strings.ReplaceAll(command, "%%", ""), "%") && strings.Contains(command, "rsync") {
			f.remark(j.at, "mirrorform cannot parse this rsync: it has systemd specifiers, such as %%i")
			if strings.Contains(command, "@") {
				f.secret(realPath, s.line)
			}
			continue
		}
		f.commands(strings.ReplaceAll(command, "%%", "%"), j)
	}
}

// timerOf returns the timer that starts a service, and the path of its file.
func (f *found) timerOf(service string) (timer, at string) {
	for _, dir := range unitDirs {
		for _, p := range f.entries(dir) {
			if !strings.HasSuffix(p, ".timer") {
				continue
			}
			text, realPath, ok := f.file(p)
			if !ok {
				continue
			}
			starts := strings.TrimSuffix(path.Base(p), ".timer") + ".service"
			settings, _ := readSettings(text)
			for _, s := range settings {
				if s.section == "Timer" && s.key == "unit" {
					starts = s.value
				}
			}
			if starts == service {
				return path.Base(p), realPath
			}
		}
	}
	return "", ""
}

// main and kitten return the first sync of AlmaLinux and of Kitten, or nil.
func (f *found) main() *job   { return f.first(false) }
func (f *found) kitten() *job { return f.first(true) }

func (f *found) first(kitten bool) *job {
	for _, j := range f.jobs {
		if j.almalinux() && j.kitten() == kitten {
			return j
		}
	}
	return nil
}

// again reports whether a job is another command of the script that runs the main sync or Kitten's
// sync, with the same tree.
func (f *found) again(j *job) bool {
	return slices.ContainsFunc([]*job{f.main(), f.kitten()}, func(m *job) bool {
		return m != nil && m != j && m.starter == j.starter && m.sync.tree == j.sync.tree
	})
}

// trees returns the directories with AlmaLinux's files: those of the syncs, or without a sync those
// with AlmaLinux in their name that a web server serves.
func (f *found) trees() []string {
	var list []string
	add := func(p string) {
		if p != "" && p != "/" && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	for _, j := range []*job{f.main(), f.kitten()} {
		if j != nil {
			add(j.sync.tree)
		}
	}
	if len(list) > 0 {
		return list
	}
	for _, p := range (&webReader{f}).servedTrees() {
		add(p)
	}
	return list[:min(len(list), 2)]
}
