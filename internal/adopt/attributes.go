package adopt

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirror"
)

// aroundBlock sets the attributes of a mirror block for the command around rsync: priority, time
// limit, proxy, scheduler, the file that is compared first.
func aroundBlock(j *job, s *mirror.Sync) {
	for _, w := range j.sync.wrappers {
		switch w.Name {
		case "nice":
			s.Nice = niceness(w.Args)
		case "ionice":
			s.IOClass = ioClass(w.Args)
		case "timeout":
			if len(w.Args) > 0 {
				s.TimeLimit = duration(w.Args[len(w.Args)-1])
			}
		}
	}
	if j.unit.nice != "" {
		s.Nice = niceness([]string{"-n", j.unit.nice})
	}
	if j.unit.ioClass != "" {
		s.IOClass = ioClass([]string{"-c", j.unit.ioClass})
	}
	if limit := duration(j.unit.timeLimit); limit != "" {
		s.TimeLimit = limit
	}
	s.Proxy = j.sync.proxy
	if j.timer.name != "" {
		s.Scheduler = "systemd"
	}
	if j.sync.freshness != "" {
		s.Freshness = &j.sync.freshness
	}
}

// lastNumber matches the number at the end of the arguments of a program.
var lastNumber = regexp.MustCompile(`([0-9]+)$`)

// niceness returns the priority in arguments of nice(1), if a mirror block accepts it: -n 19, -n19,
// -19, --adjustment=19; 10 without one.
func niceness(args []string) *int {
	n := 10
	text := strings.Join(args, "")
	if number := lastNumber.FindString(text); number != "" {
		sign := strings.TrimSuffix(text, number)
		if sign != "-" && sign != "-n" && sign != "--adjustment=" && sign != "--adjustment" {
			return nil
		}
		n, _ = strconv.Atoi(number)
	}
	if n < 1 || n > 19 {
		return nil
	}
	return &n
}

// ioClass returns the value of sync.io_class for arguments of ionice(1), or "".
func ioClass(args []string) string {
	text := strings.ToLower(strings.Join(args, ""))
	switch {
	case strings.Contains(text, "-c3"), strings.Contains(text, "idle"), strings.Contains(text, "class=3"),
		strings.Contains(text, "class3"):
		return "idle"
	case strings.Contains(text, "-c2"), strings.Contains(text, "best-effort"), strings.Contains(text, "class=2"),
		strings.Contains(text, "class2"):
		return "best-effort"
	}
	return ""
}

// timeSpan matches a duration of timeout(1), or one unit of a time span of systemd.time(7).
var timeSpan = regexp.MustCompile(`^([1-9][0-9]{0,6}) ?(s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?)?$`)

// duration returns the value of sync.time_limit for a duration, or "".
func duration(text string) string {
	m := timeSpan.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	n, _ := strconv.Atoi(m[1])
	unit := "s"
	if m[2] != "" {
		unit = m[2][:1]
	}
	for _, up := range []struct {
		from, to string
		by       int
	}{{"s", "m", 60}, {"m", "h", 60}} {
		if unit == up.from && n%up.by == 0 {
			n, unit = n/up.by, up.to
		}
	}
	if n > 99999 {
		return ""
	}
	return strconv.Itoa(n) + unit
}

// wrapperSettings has the attributes of a mirror block for the programs that run rsync.
var wrapperSettings = map[string]func(*mirror.Sync) bool{
	"nice":    func(s *mirror.Sync) bool { return s.Nice != nil },
	"ionice":  func(s *mirror.Sync) bool { return s.IOClass != "" },
	"timeout": func(s *mirror.Sync) bool { return s.TimeLimit != "" },
}

// userPrograms only set the user.
var userPrograms = []string{"sudo", "doas", "runuser", "gosu", "su-exec", "setuidgid", "s6-setuidgid", "setpriv"}

// leftOut reports the jobs that are not adopted, and the parts of the others that a mirror block
// lacks.
func (f *found) leftOut(h Input) {
	for _, j := range f.jobs {
		at := j.sync.at
		switch {
		case !j.almalinux() && h.declares(j.sync.tree): // a mirror of another distribution
		case !j.almalinux():
			f.remark(at, "an rsync of something else than AlmaLinux, to %s, is not adopted: for another distribution, "+
				"add a mirror block with distribution = \"other\" and storage.claim. If it is AlmaLinux, name it with "+
				"--tree", printable(j.sync.tree))
		case j.role != "":
			f.remark(at, "this rsync, to %s, is %s", printable(j.sync.tree), j.role)
		case f.again(j): // a script with several ways to run it
		case j != f.main() && j != f.kitten():
			f.another(j)
		default:
			if j.idle != "" {
				f.remark(at, "this sync does not run at present, but that of the mirror block does once it is applied")
			}
			f.beyond(j)
		}
	}
}

// another reports a sync of AlmaLinux beside the chosen one.
func (f *found) another(j *job) {
	for _, m := range []*job{f.main(), f.kitten()} {
		if m == nil || m == j {
			continue
		}
		switch {
		case m.sync.at == j.sync.at && m.sync.tree == j.sync.tree:
			f.remark(j.at, "this starts the sync of %s, too", printable(j.sync.tree))
			return
		case inside(j.sync.tree, m.sync.tree):
			f.remark(j.sync.at, "this rsync syncs a part of the tree, %s", printable(j.sync.tree))
			return
		}
	}
	if j.idle != "" {
		f.remark(j.sync.at, "another sync of AlmaLinux, to %s, which does not run at present", printable(j.sync.tree))
		return
	}
	f.remark(j.sync.at, "another sync of AlmaLinux, to %s", printable(j.sync.tree))
}

// beyond reports the parts of a sync that a mirror block lacks.
func (f *found) beyond(j *job) {
	at := j.sync.at
	s := &mirror.Sync{}
	aroundBlock(j, s)
	var programs []string
	for _, w := range j.sync.wrappers {
		if has := wrapperSettings[w.Name]; !slices.Contains(userPrograms, w.Name) && (has == nil || !has(s)) &&
			!slices.Contains(programs, w.Name) {
			programs = append(programs, w.Name)
		}
	}
	if len(programs) > 0 {
		f.remark(at, "rsync runs under %s, for which a mirror block has no setting",
			printable(strings.Join(programs, " and ")))
	}
	if j.sync.other != "" {
		f.remark(at, "this sync runs %s: a mirror block syncs by rsync's own protocol", printable(j.sync.other))
	}
	for _, o := range j.sync.options {
		switch word := spelt(o); {
		case strings.HasPrefix(word, "--password-file"):
			f.remark(at, "this rsync reads a password from a file: set sync.password in the mirror block")
		case strings.HasPrefix(word, "-e ") || strings.HasPrefix(word, "--rsh"):
			f.remark(at, "this rsync sets a remote shell, which a mirror block does not")
		}
	}
	if len(j.sync.fallbacks) > 0 {
		f.remark(at, "if this rsync fails, the job uses another upstream: the mirror block has a list of upstreams")
	}
	if j.unit.timeLimit != "" && s.TimeLimit == "" && j.unit.timeLimit != "0" && j.unit.timeLimit != "infinity" {
		f.remark(j.at, "the time limit of this unit is not translated: set sync.time_limit in the mirror block")
	}
	if n := j.unit.nice; n != "" && s.Nice == nil && n != "0" {
		f.remark(j.at, "the priority of this unit, Nice=%s, is none of sync.nice", printable(n))
	}
	if j.timer.delay {
		f.remark(j.at, "%s delays this sync by a random time, which a mirror block does not", printable(j.timer.name))
	}
}
