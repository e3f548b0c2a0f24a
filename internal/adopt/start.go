package adopt

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/adopt/shell"
	"github.com/mirrorform/mirrorform/resources"
)

// partsDirs are the directories of run-parts(8), with their schedules.
var partsDirs = map[string]string{
	"/etc/cron.hourly": "@hourly", "/etc/cron.daily": "@daily", "/etc/cron.weekly": "@weekly",
	"/etc/cron.monthly": "@monthly",
}

// anacronTab has the jobs of anacron(8).
const anacronTab = "/etc/anacrontab"

// Default paths for programs (crontab(5), systemd.exec(5)).
const (
	cronPath = "/usr/bin:/bin"
	unitPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// cronReader reads the jobs of cron.
type cronReader struct{ evaluator }

// crontabs reads what cron, anacron and the boot start.
func (f cronReader) crontabs() {
	for _, dir := range cronSpools {
		for _, p := range f.entries(dir) {
			f.crontab(p, byCrontab, path.Base(p))
		}
	}
	f.crontab("/etc/crontab", bySystem, "")
	for _, p := range f.entries(cronDir) {
		f.crontab(p, byCronD, "")
	}
	f.anacrontab()
	for _, dir := range sortedKeys(partsDirs) {
		for _, p := range f.entries(dir) {
			f.whole(starter{at: Place{p, 0}, kind: byParts, user: "root", schedule: partsDirs[dir]})
		}
	}
	f.whole(starter{at: Place{"/etc/rc.local", 0}, kind: byBoot, user: "root"})
	f.skipped()
}

// whole evaluates a file that is started as a program.
func (f cronReader) whole(s starter) {
	text, realPath, ok := f.file(s.at.File)
	if !ok || !strings.Contains(text, "sync") && !strings.Contains(text, "mirror") {
		return
	}
	s.file = realPath
	if mode := f.files[realPath].Mode; mode&0o111 == 0 {
		s.idle = fmt.Sprintf("not executable (mode %04o)", mode)
		f.remark(s.at, "does not run: %s", s.idle)
	}
	f.evaluate(s, f.start(s, map[string]string{"PATH": unitPath}), func(start shell.Start) shell.Trace {
		return shell.File(scriptHost{f.found}, f.budget, s.at.File, start)
	})
}

// skipped reports the files in cron's directories that cron does not read because of their names.
func (f cronReader) skipped() {
	for _, dir := range append(sortedKeys(partsDirs), cronDir) {
		for _, name := range f.files[dir].Entries {
			p := path.Join(dir, name)
			if name == "" || name[0] == '.' || strings.Contains(name, "/") || slices.Contains(f.entries(dir), p) {
				continue
			}
			f.remark(Place{p, 0}, "cron does not read this file because of its name, so nothing in it is adopted")
		}
	}
}

func (f cronReader) crontab(p, kind, user string) {
	if text, realPath, ok := f.file(p); ok {
		s := starter{at: Place{p, 0}, kind: kind}
		if kind == byCronD {
			s.file = realPath
		}
		if kind == byCronD || kind == bySystem {
			s.idle = f.refused(f.files[realPath])
		}
		f.lines(s, realPath, text, readCrontab(text, user, user == ""))
	}
}

func (f cronReader) anacrontab() {
	if text, realPath, ok := f.file(anacronTab); ok {
		f.lines(starter{at: Place{anacronTab, 0}, kind: byAnacron}, realPath, text, readAnacrontab(text))
	}
}

// refused returns why cron does not read a crontab of the system, or "": cron of Debian accepts one
// of root that only root can write (cron(8)), and cronie refuses one that is executable, too.
func (s *Survey) refused(file wire.File) string {
	switch debian := s.target.Facts.OS.Family == "debian"; {
	case file.Owner != "root":
		return "cron reads only files of root here, and this one belongs to " + printable(file.Owner)
	case debian && file.Mode&0o022 != 0 || !debian && file.Mode&0o7533 != 0o400:
		return fmt.Sprintf("cron does not read a file with mode %04o here", file.Mode)
	}
	return ""
}

// lines evaluates the jobs of a crontab or of anacrontab.
func (f cronReader) lines(s starter, realPath, text string, tab cronTab) {
	p := s.at.File
	for _, v := range tab.variables {
		if isSecretWord(v.value) {
			f.secret(realPath, v.line)
		}
		if v.name == "RSYNC_PASSWORD" {
			f.remark(Place{p, v.line}, "this line sets a password, which is left out")
		}
	}
	f.unclearLines(p, realPath, text, tab.unclear)
	first := len(f.jobs)
	for _, l := range tab.jobs {
		s.at.Line, s.cronLine, s.user, s.schedule = l.line, l.line, l.user, l.schedule
		vars := map[string]string{}
		for _, v := range tab.variables {
			if v.line < l.line {
				vars[v.name] = v.value
			}
		}
		n := len(f.jobs)
		f.commands(l.command, s, vars, l.input)
		if len(f.jobs) > n {
			f.aboutLine(s, l, vars["MAILTO"], f.jobs[n])
		}
	}
	if s.idle != "" && len(f.jobs) > first {
		f.remark(Place{p, 0}, "does not run: %s", s.idle)
	}
}

// aboutLine reports what else a line of a crontab with a sync says.
func (f cronReader) aboutLine(s starter, l cronLine, mailTo string, j *job) {
	if l.schedule == "" {
		f.remark(s.at, "mirrorform cannot use the schedule of this line: set sync.schedule in the mirror block")
	}
	if mailTo != "" && j.sync.log == "" {
		f.remark(s.at, "cron mails the output of this job to %s: sync.notify in the mirror block sends mail if a "+
			"sync fails", printable(mailTo))
	}
	if l.input != nil {
		f.remark(s.at, "an unescaped %% ends the command: the rest of the line is its standard input (crontab(5))")
	}
}

func (f cronReader) unclearLines(p, realPath, text string, unclear []int) {
	whole := ""
	if f.target.Facts.OS.Family == "debian" && p != anacronTab {
		whole = ". If cron cannot either, it ignores the whole file"
	}
	for _, line := range unclear {
		f.remark(Place{p, line}, "mirrorform cannot parse this line%s", whole)
		if text := strings.Split(text, "\n")[line-1]; strings.Contains(text, "rsync") && strings.Contains(text, "@") {
			f.secret(realPath, line)
		}
	}
}

// period returns the schedule for a period of anacrontab(5), in days.
func period(text string) string {
	switch text {
	case "1", "@daily":
		return "@daily"
	case "7", "@weekly":
		return "@weekly"
	case "@monthly":
		return "@monthly"
	}
	return ""
}

// systemProgram reports whether a program comes with a package. It is not an operator's script, and
// may be large.
func systemProgram(p string) bool {
	dirs := []string{"/bin", "/sbin", "/lib", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"}
	return slices.ContainsFunc(dirs, func(dir string) bool { return engine.PathWithin(p, dir) })
}

// cronNames are the names of months and days in crontab(5).
var cronNames = map[string]string{}

func init() {
	for i, m := range strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec") {
		cronNames[m] = strconv.Itoa(i + 1)
	}
	for i, d := range strings.Fields("sun mon tue wed thu fri sat") {
		cronNames[d] = strconv.Itoa(i)
	}
}

// cronFields matches words that may be the fields of a schedule.
var cronFields = regexp.MustCompile(`^[-0-9*,/~A-Za-z]*[0-9*][-0-9*,/~A-Za-z]*$`)

// cronSchedule reads a schedule. It replaces names in ranges by numbers. isSchedule reports whether
// the words are a schedule, also if it is not one that mirrorform can use; then schedule is "".
func cronSchedule(words []string) (schedule string, isSchedule bool) {
	if s, err := resources.ParseSchedule(strings.Join(words, " ")); err == nil {
		return s.String(), true
	}
	if len(words) == 1 {
		return "", words[0] == "@reboot" || strings.HasPrefix(words[0], "@every")
	}
	numbers := slices.Clone(words)
	for i, w := range words {
		if i < 3 && !cronFields.MatchString(w) {
			return "", false
		}
		if i < 3 {
			continue
		}
		parts := strings.FieldsFunc(strings.ToLower(w), func(r rune) bool { return r == '-' || r == ',' || r == '/' })
		out := strings.ToLower(w)
		for _, name := range parts {
			if n, ok := cronNames[name]; ok {
				if strings.Contains(out, "-"+name) && name == "sun" {
					n = "7"
				}
				out = strings.Replace(out, name, n, 1)
			}
		}
		numbers[i] = out
	}
	if s, err := resources.ParseSchedule(strings.Join(numbers, " ")); err == nil {
		return s.String(), true
	}
	return "", len(words) == 5 && cronFields.MatchString(words[3]) && cronFields.MatchString(words[4])
}
