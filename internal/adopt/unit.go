package adopt

import (
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/adopt/shell"
)

// unitLimits are the limits of a unit for its programs.
type unitLimits struct{ nice, ioClass, timeLimit string }

// quadletDirs have containers of podman that systemd runs (podman-systemd.unit(5)).
var quadletDirs = []string{"/etc/containers/systemd"}

// userUnits is where a user has units.
const userUnits = ".config/systemd/user"

// unitPlaces returns the directories with units: of the system, of all users and of each user.
func (s *Survey) unitPlaces() []string {
	return slices.Concat(unitDirs, []string{"/etc/systemd/user"}, s.userDirs(), quadletDirs)
}

// userDirs returns the directories with units of users: of those in /home, and of those with a
// crontab or a home directory elsewhere in /etc/passwd.
func (s *Survey) userDirs() []string {
	var list []string
	add := func(home string) {
		if dir := path.Join(home, userUnits); path.IsAbs(home) && len(list) < 32 && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	for _, name := range s.files["/home"].Entries {
		if name != "" && !strings.Contains(name, "/") && name != ".." {
			add(path.Join("/home", name))
		}
	}
	if text, _, missing, err := s.text("/etc/passwd"); !missing && err == nil {
		for line := range strings.SplitSeq(text, "\n") {
			fields := strings.Split(line, ":")
			if len(fields) == 7 && path.IsAbs(fields[5]) && strings.HasSuffix(fields[6], "sh") {
				add(path.Clean(fields[5]))
			}
		}
	}
	return list
}

// dropIns returns the directories with drop-ins of the units in a directory, and those that enable
// instances of templates, by their names.
func dropIns(name string) bool {
	return strings.HasSuffix(name, ".service.d") || strings.HasSuffix(name, ".timer.d") ||
		name == "timers.target.wants" ||
		name == "multi-user.target.wants" || name == "default.target.wants"
}

// unitReader reads the jobs of systemd.
type unitReader struct{ evaluator }

// systemd reads the units that were added on the host.
func (f unitReader) systemd() {
	for _, dir := range f.unitPlaces() {
		for _, p := range f.entries(dir) {
			switch {
			case strings.HasSuffix(p, "@.service"):
				for _, instance := range f.instances(dir, strings.TrimSuffix(path.Base(p), "@.service")) {
					f.service(p, instance)
				}
			case strings.HasSuffix(p, ".service") || strings.HasSuffix(p, ".container"):
				f.service(p, "")
			}
		}
	}
}

// instances returns the names of the instances of a template that are enabled.
func (f unitReader) instances(dir, template string) []string {
	var list []string
	for _, wants := range []string{"timers.target.wants", "multi-user.target.wants", "default.target.wants"} {
		for _, name := range f.files[path.Join(dir, wants)].Entries {
			instance, ok := strings.CutPrefix(name, template+"@")
			if !ok {
				continue
			}
			instance = strings.TrimSuffix(strings.TrimSuffix(instance, ".timer"), ".service")
			if instance != "" && !slices.Contains(list, instance) {
				list = append(list, instance)
			}
		}
	}
	for _, name := range f.files[dir].Entries { // m@almalinux.service as a link or a file of its own
		if instance, ok := strings.CutPrefix(name, template+"@"); ok && strings.HasSuffix(instance, ".timer") &&
			instance != ".timer" {
			if instance = strings.TrimSuffix(instance, ".timer"); !slices.Contains(list, instance) {
				list = append(list, instance)
			}
		}
	}
	if len(list) == 0 {
		text, _, _, _ := f.text(path.Join(dir, template+"@.service"))
		if strings.Contains(text, "rsync") {
			f.remark(Place{path.Join(dir, template+"@.service"), 0}, "no instance of this template is enabled in %s, so "+
				"nothing of it is adopted", dir)
		}
	}
	return list[:min(len(list), 32)]
}

// unitText returns the settings of a unit with its drop-ins.
func (f unitReader) unitText(p string) (settings []placed, realPath string, ok bool) {
	text, realPath, ok := f.file(p)
	if !ok {
		return nil, "", false
	}
	add := func(file, text string) {
		list, _ := readSettings(text)
		for _, s := range list {
			settings = append(settings, placed{Place{file, s.line}, s})
		}
	}
	add(p, text)
	dir := p + ".d"
	for _, name := range f.files[dir].Entries {
		if drop := path.Join(dir, name); strings.HasSuffix(name, ".conf") && !strings.Contains(name, "/") {
			f.want(drop)
			if text, _, read := f.file(drop); read {
				add(drop, text)
			}
		}
	}
	return settings, realPath, true
}

// placed is a setting with its place.
type placed struct {
	at Place
	setting
}

// service evaluates the commands of a service or a container.
func (f unitReader) service(p, instance string) {
	settings, realPath, ok := f.unitText(p)
	if !ok || engine.PathWithin(realPath, "/usr/lib") || engine.PathWithin(realPath, "/lib") {
		return // a link to a unit of a package
	}
	u := &unit{evaluator: f.evaluator, path: p, instance: instance, starter: starter{at: Place{p, 0},
		kind: byUnit, user: f.unitUser(p), file: realPath}}
	u.timer = f.timerOf(p, instance)
	u.schedule = u.timer.schedule
	if by, ok := f.unitStarts[u.full()]; ok && u.timer.name == "" {
		u.schedule, u.called = by.schedule, by.at
	}
	u.read(settings)
	n := len(f.jobs)
	for _, c := range u.commands {
		u.at = c.at
		u.evaluate(c.value)
	}
	if u.failure.File != "" && len(f.jobs) > n {
		f.remark(u.failure, "a failure of this unit starts another one, which a mirror block does not: sync.notify "+
			"reports failures")
	}
}

// unitUser returns the user of a unit: that of the directory, or root.
func (f unitReader) unitUser(p string) string {
	if !strings.HasSuffix(path.Dir(p), userUnits) {
		return "root"
	}
	home := strings.TrimSuffix(path.Dir(p), "/"+userUnits)
	for _, name := range sortedKeys(f.homes()) {
		if f.homes()[name] == home {
			return name
		}
	}
	return path.Base(home)
}

// unit is a service that is read.
type unit struct {
	evaluator
	starter
	path, instance string
	env            map[string]string
	dir            string
	log            string
	commands       []placed
	volumes        [][2]string
	image          string
	failure        Place // of OnFailure=
}

// read reads the settings of the unit.
func (u *unit) read(settings []placed) {
	u.env = map[string]string{"PATH": unitPath}
	for _, s := range settings {
		if s.section == "Container" {
			u.container(s)
			continue
		}
		if s.section == "Unit" && s.key == "onfailure" && s.value != "" {
			u.failure = s.at
		}
		if s.section != "Service" {
			continue
		}
		value := u.specifiers(s.value)
		switch s.key {
		case "user":
			if value != "" {
				u.user = value
			}
		case "environment":
			u.environment(s, value)
		case "environmentfile":
			u.environmentFile(value)
		case "workingdirectory":
			u.dir = strings.TrimPrefix(value, "-")
			if u.dir == "~" {
				u.dir = scriptHost{u.found}.Home(u.user)
			}
		case "nice":
			u.unit.nice = value
		case "ioschedulingclass":
			u.unit.ioClass = value
		case "runtimemaxsec", "timeoutstartsec":
			u.unit.timeLimit = value
		case "standardoutput":
			for _, how := range []string{"append:", "file:", "truncate:"} {
				if file, ok := strings.CutPrefix(value, how); ok {
					u.log = file
				}
			}
		case "execstart", "execstartpre", "execstartpost":
			if s.value == "" { // it resets what came before
				u.commands = slices.DeleteFunc(u.commands, func(c placed) bool { return c.key == s.key })
				continue
			}
			u.commands = append(u.commands, s)
		}
	}
}

// container reads a setting of a quadlet: its command sees the volumes.
func (u *unit) container(s placed) {
	switch s.key {
	case "exec":
		s.value = "podman " + s.value
		u.commands = append(u.commands, s)
	case "volume":
		u.volumes = append(u.volumes, shell.Volume(u.specifiers(s.value))...)
	case "image":
		u.image = s.value
	case "environment":
		u.environment(s, u.specifiers(s.value))
	}
}

func (u *unit) environment(s placed, value string) {
	for _, assignment := range unitWords(value) {
		name, text, ok := strings.Cut(assignment, "=")
		if !ok {
			continue
		}
		u.env[name] = text
		if isSecretWord(text) {
			u.secret(u.file, s.at.Line)
		}
		if name == "RSYNC_PASSWORD" {
			u.remark(s.at, "this line sets a password, which is left out")
		}
	}
}

// environmentFile reads the file of EnvironmentFile=.
func (u *unit) environmentFile(value string) {
	p := strings.TrimPrefix(value, "-")
	text, _, ok := scriptHost{u.found}.Text(p)
	if !ok {
		return
	}
	list, _ := readSettings(text)
	for _, v := range list {
		name, _, _ := strings.Cut(strings.Split(text, "\n")[v.line-1], "=")
		if name = strings.TrimSpace(name); name != "" {
			u.env[name] = strings.Trim(v.value, `"'`)
		}
	}
}

// evaluate evaluates the command line of the unit, which no shell reads.
func (u *unit) evaluate(line string) {
	command := strings.TrimLeft(line, "@-:+!|")
	u.leaveOut(readCommands(command), u.file, u.at.Line, u.at)
	vars := u.env
	start := u.start(u.starter, vars)
	if start.Dir = u.dir; u.dir == "" {
		start.Dir = "/"
	}
	start.Log = u.log
	var argv []string
	for _, w := range unitWords(command) {
		if w == ";" {
			u.program(argv, start)
			argv = nil
			continue
		}
		argv = append(argv, unitVariables(u.specifiers(w), start.Vars)...)
	}
	u.program(argv, start)
}

func (u *unit) program(argv []string, start shell.Start) {
	if len(argv) == 0 {
		return
	}
	if argv[0] == "podman" && u.image != "" {
		run := []string{"podman", "run"}
		for _, v := range u.volumes {
			run = append(run, "-v", v[0]+":"+v[1])
		}
		argv = append(append(run, u.image), argv[1:]...)
	}
	u.evaluator.evaluate(u.starter, start, func(start shell.Start) shell.Trace {
		return shell.Program(scriptHost{u.found}, u.budget, argv, start)
	})
}

// full returns the unit's name, with its instance.
func (u *unit) full() string {
	name := strings.Replace(path.Base(u.path), ".container", ".service", 1)
	return strings.Replace(name, "@.", "@"+u.instance+".", 1)
}

// specifiers replaces specifiers (systemd.unit(5)). Those that only the host knows become unknown.
func (u *unit) specifiers(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	name := path.Base(u.path)
	prefix := strings.TrimSuffix(strings.TrimSuffix(name, path.Ext(name)), "@")
	full := u.full()
	unescaped := strings.ReplaceAll(strings.ReplaceAll(u.instance, "-", "/"), `\x2d`, "-")
	known := map[byte]string{
		'%': "%", 'i': u.instance, 'I': unescaped, 'n': full, 'N': strings.TrimSuffix(full, path.Ext(full)),
		'p': prefix, 'P': prefix, 'u': u.user,
		't': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'E': "/etc",
		'j': prefix[strings.LastIndexByte(prefix, '-')+1:],
		'h': scriptHost{u.found}.Home(u.user),
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		i++
		if value, ok := known[text[i]]; ok && value != "" {
			out.WriteString(value)
		} else {
			out.WriteString(shell.Unknown)
		}
	}
	return out.String()
}

// unitWords splits a value into words with quotes and escapes (systemd.syntax(7)).
func unitWords(text string) []string {
	var words []string
	var now strings.Builder
	open, begun := byte(0), false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			switch text[i] {
			case 'n':
				now.WriteByte('\n')
			case 't':
				now.WriteByte('\t')
			case 's':
				now.WriteByte(' ')
			case '"', '\'', '\\', ';':
				now.WriteByte(text[i])
			default:
				now.WriteByte('\\')
				now.WriteByte(text[i])
			}
			begun = true
		case open != 0 && c == open:
			open = 0
		case open == 0 && (c == '"' || c == '\''):
			open, begun = c, true
		case open == 0 && (c == ' ' || c == '\t'):
			if begun {
				words = append(words, now.String())
			}
			now.Reset()
			begun = false
		default:
			now.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, now.String())
	}
	return words
}

// unitVariables replaces variables in a word of a command line: $NAME as a word of its own is
// split, ${NAME} is not (systemd.service(5)).
func unitVariables(word string, vars map[string]string) []string {
	if name, ok := strings.CutPrefix(word, "$"); ok && name != "" && !strings.ContainsAny(name, "{}$/ ") {
		return unitWords(vars[name])
	}
	var out strings.Builder
	for i := 0; i < len(word); i++ {
		rest := word[i:]
		end := strings.IndexByte(rest, '}')
		switch {
		case strings.HasPrefix(rest, "$$"):
			out.WriteByte('$')
			i++
		case strings.HasPrefix(rest, "${") && end > 0:
			out.WriteString(vars[rest[2:end]])
			i += end
		default:
			out.WriteByte(word[i])
		}
	}
	return []string{out.String()}
}

// lingers reports whether the units of a user run although the user has not logged in.
func (f *found) lingers(user string) bool {
	return f.files[path.Join("/var/lib/systemd/linger", user)].Kind == wire.Regular
}
