package shell

import (
	"maps"
	"slices"
	"strings"
)

// runner describes a program that runs another one.
type runner struct {
	short    string   // letters of options whose argument may be the next word
	long     []string // names of such long options
	operands int      // its own operands before the command
	user     []string // options, without dashes, whose argument is the user
	assigns  bool     // NAME=VALUE before the command sets variables
	unseen   bool     // it makes no difference, and is not named
}

// runners are the programs that run the rest of their arguments.
var runners = map[string]runner{
	"nice":            {short: "n", long: []string{"adjustment"}},
	"ionice":          {short: "cnptPu", long: []string{"class", "classdata"}},
	"chrt":            {short: "TPD", operands: 1},
	"timeout":         {short: "ks", long: []string{"kill-after", "signal"}, operands: 1},
	"nohup":           {unseen: true},
	"setsid":          {unseen: true},
	"chronic":         {},
	"cronic":          {},
	"cronlog":         {},
	"ifne":            {},
	"time":            {short: "fo", long: []string{"format", "output"}, unseen: true},
	"stdbuf":          {short: "ioe", long: []string{"input", "output", "error"}, unseen: true},
	"unbuffer":        {unseen: true},
	"env":             {short: "uCS", long: []string{"unset", "chdir"}, assigns: true, unseen: true},
	"systemd-cat":     {short: "tp", long: []string{"identifier", "priority", "stderr-priority"}},
	"systemd-inhibit": {long: []string{"what", "who", "why", "mode"}},
	"systemd-run": {short: "pMHEuCt", long: []string{
		"property", "unit", "uid", "gid", "slice", "description", "setenv", "nice", "working-directory", "host",
		"machine", "service-type", "on-calendar", "on-active", "timer-property", "expand-environment",
	}, user: []string{"uid"}},
	"sudo": {short: "ugpChrtTURDc", long: []string{"user", "group", "prompt", "chdir", "host",
		"login-class", "close-from"}, user: []string{"u", "user"}, assigns: true},
	"doas": {short: "uC", user: []string{"u"}},
	"runuser": {short: "ugGsw", long: []string{"user", "group", "supp-group", "shell"},
		user: []string{"u", "user"}},
	"gosu":         {operands: 1},
	"su-exec":      {operands: 1},
	"setuidgid":    {operands: 1},
	"s6-setuidgid": {operands: 1},
	"setpriv": {long: []string{"reuid", "regid", "ruid", "rgid", "euid", "egid", "groups", "securebits",
		"inh-caps", "ambient-caps", "bounding-set", "selinux-label", "apparmor-profile", "pdeathsig"},
		user: []string{"reuid", "ruid"}},
	"chpst":     {short: "uUbcdmofprtenl/", user: []string{"u"}},
	"softlimit": {short: "acdflmoprst"},
	"prlimit":   {short: "op", long: []string{"output", "pid"}},
	"taskset":   {operands: 1},
	"numactl": {short: "CNimpP", long: []string{"cpunodebind", "physcpubind", "membind", "interleave",
		"preferred"}},
	"cpulimit":         {short: "lpe", long: []string{"limit", "pid", "exe"}},
	"choom":            {short: "np", long: []string{"adjust", "pid"}},
	"cgexec":           {short: "g"},
	"trickle":          {short: "dulwtLNn"},
	"throttle":         {short: "bkmw"},
	"proxychains":      {short: "f"},
	"proxychains4":     {short: "f"},
	"torsocks":         {},
	"torify":           {},
	"nocache":          {short: "n"},
	"eatmydata":        {},
	"tsp":              {short: "lDNtBGEgWd"},
	"ts":               {},
	"logsave":          {operands: 1},
	"unshare":          {unseen: true},
	"strace":           {short: "oeps"},
	"run-one":          {},
	"cronitor":         {operands: 2},
	"runitor":          {long: []string{"uuid", "api-url", "ping-key", "slug"}},
	"sem":              {short: "j", long: []string{"id", "jobs"}},
	"dbus-run-session": {unseen: true},
	"catchsegv":        {unseen: true},
	"linux64":          {unseen: true},
}

// options are the options at the beginning of the arguments of a program.
type options struct {
	given []string // as words
	value map[string]string
	rest  []string // from the first operand on
}

// parseOptions cuts options: short has the letters of those with an argument, long the names.
func parseOptions(args []string, short string, long []string) options {
	o := options{value: map[string]string{}}
	rest := args
	for len(rest) > 0 && len(rest[0]) > 1 && rest[0][0] == '-' {
		word := rest[0]
		rest = rest[1:]
		if word == "--" {
			break
		}
		if name, isLong := strings.CutPrefix(word, "--"); isLong {
			name, value, has := strings.Cut(name, "=")
			if !has && slices.Contains(long, name) && len(rest) > 0 {
				value, rest = rest[0], rest[1:]
			}
			o.value[name] = value
			continue
		}
		if slices.Contains(long, word[1:]) && len(rest) > 0 { // Go's flags: -uuid X
			o.value[word[1:]], rest = rest[0], rest[1:]
			continue
		}
		for i, r := range word[1:] {
			if !strings.ContainsRune(short, r) {
				o.value[string(r)] = ""
				continue
			}
			value := word[1+i+1:]
			if value == "" && len(rest) > 0 {
				value, rest = rest[0], rest[1:]
			}
			o.value[string(r)] = value
			break
		}
	}
	o.rest = rest
	o.given = args[:len(args)-len(rest)]
	return o
}

func (o options) has(name string) bool {
	_, ok := o.value[name]
	return ok
}

// peculiar evaluates a program that runs another one in a way of its own. It reports whether the
// program is one of these.
func peculiar(s *shell, name string, argv []string, c call) bool {
	switch {
	case name == "su" || name == "runuser" && !slices.ContainsFunc(argv, func(w string) bool {
		return w == "-u" ||
			strings.HasPrefix(w, "--user")
	}):
		login(s, argv[1:], c)
		return true
	case name == "xargs":
		xargs(s, argv[1:], c)
		return true
	case name == "parallel":
		parallel(s, argv[1:], c)
		return true
	case name == "run-parts":
		runParts(s, argv[1:], c)
		return true
	case name == "systemctl":
		systemctl(s, argv[1:])
		return true
	case name == "script":
		if o := parseOptions(argv[1:], "cEIOT", nil); o.has("c") {
			s.shellCommand([]string{"sh", "-c", o.value["c"]}, c)
			return true
		}
		return false
	case name == "ip" && len(argv) > 4 && argv[1] == "netns" && argv[2] == "exec":
		s.wrap(Wrapper{"ip netns exec", argv[3:4]}, func() { s.run(argv[4:], c) })
		return true
	case name == "docker" || name == "podman":
		return container(s, name, argv[1:], c)
	case slices.Contains([]string{"ssh", "rsh", "mosh", "pdsh", "pssh"}, name):
		if strings.Contains(strings.Join(argv, " "), "sync") {
			s.note(s.here, "this command runs on another host: to adopt that one, name it")
		}
		s.other(commandOf(s, argv, c))
		s.print(Unknown)
		s.status = status{unknown: true}
		return true
	case name == "busybox" && len(argv) > 1:
		s.run(argv[1:], c)
		return true
	case strings.HasPrefix(name, "mirrorform-sync-") && len(argv) > 2 && (argv[1] == "--cron" || argv[1] == "--timer"):
		s.run(argv[2:], c)
		return true
	}
	return false
}

// wrapped evaluates a program that runs another one. It reports whether the program is one of
// these.
func wrapped(s *shell, name string, argv []string, c call) bool {
	if peculiar(s, name, argv, c) {
		return true
	}
	r, ok := runners[name]
	if !ok {
		return false
	}
	o := parseOptions(argv[1:], r.short, r.long)
	if name == "env" && o.has("S") {
		s.text(o.value["S"]+" "+strings.Join(o.rest, " "), "env -S")
		return true
	}
	rest, env := o.rest, maps.Clone(c.env)
	if env == nil {
		env = map[string]string{}
	}
	own := slices.Clone(o.given)
	for r.assigns && len(rest) > 0 && strings.Contains(rest[0], "=") && !strings.HasPrefix(rest[0], "=") {
		variable, value, _ := strings.Cut(rest[0], "=")
		env[variable] = value
		rest = rest[1:]
	}
	if len(rest) < r.operands {
		return false
	}
	own, rest = append(own, rest[:r.operands]...), rest[r.operands:]
	if len(rest) == 0 {
		s.status = status{unknown: true}
		return true
	}
	sub := *s
	become(&sub, name, r, o, own, env)
	if !r.unseen {
		sub.wrappers = append(slices.Clip(s.wrappers), Wrapper{name, own})
	}
	flow := s.flow
	sub.run(rest, call{env})
	s.status, s.flow = sub.status, flow
	return true
}

// become applies what a program changes for the command that it runs: user, directory, limits.
func become(s *shell, name string, r runner, o options, own []string, env map[string]string) {
	user := ""
	for _, option := range r.user {
		if o.has(option) {
			user, _, _ = strings.Cut(o.value[option], ":")
		}
	}
	switch name {
	case "gosu", "su-exec", "setuidgid", "s6-setuidgid":
		user, _, _ = strings.Cut(own[len(own)-1], ":")
	case "systemd-run":
		if u, ok := strings.CutPrefix(o.value["p"]+o.value["property"], "User="); ok {
			user = u
		}
		if dir := o.value["working-directory"]; dir != "" {
			s.dir = dir
		}
	case "sudo":
		if user == "" {
			user = "root"
		}
		if dir := o.value["D"] + o.value["chdir"]; dir != "" {
			s.dir = dir
		}
	case "env":
		if dir := o.value["C"] + o.value["chdir"]; dir != "" {
			s.dir = s.absolute(dir)
		}
	}
	if user != "" {
		s.user = user
		if name == "sudo" {
			env["HOME"] = homeOf(s, user)
			if o.has("i") || o.has("login") {
				s.dir = env["HOME"]
			}
		}
	}
}

func homeOf(s *shell, user string) string {
	if home := s.host.Home(user); home != "" {
		return home
	}
	return Unknown
}

// login evaluates su(1) and runuser(1) without -u: a shell of another user.
func login(s *shell, args []string, c call) {
	var operands, rest []string
	text, login := "", false
	long := []string{"command", "session-command", "shell", "group", "supp-group", "whitelist-environment"}
	for len(args) > 0 {
		if args[0] == "-" {
			login, args = true, args[1:]
			continue
		}
		if args[0] == "--" {
			rest = args[1:]
			break
		}
		if args[0] == "" || args[0][0] != '-' {
			operands, args = append(operands, args[0]), args[1:]
			continue
		}
		o := parseOptions(args, "csgGw", long)
		args = o.rest
		for _, name := range []string{"c", "command", "session-command"} {
			if o.has(name) {
				text = o.value[name]
			}
		}
		login = login || o.has("l") || o.has("login")
	}
	user := "root"
	if len(operands) > 0 {
		user = operands[0]
		rest = append(operands[1:], rest...)
	}
	sub := s.child()
	sub.user = user
	environment(sub, c.env)
	sub.set("HOME", variable{value: homeOf(s, user), exported: true})
	if login {
		sub.dir = homeOf(s, user)
	}
	if text != "" {
		rest = append([]string{"-c", text}, rest...)
	}
	sub.shellCommand(append([]string{"sh"}, rest...), call{})
	s.status = sub.status
}

// xargs evaluates a command for each line or word of its input.
func xargs(s *shell, args []string, c call) {
	o := parseOptions(args, "IELnPsdai", []string{"max-args", "max-procs", "replace", "delimiter", "max-lines",
		"arg-file"})
	if len(o.rest) == 0 {
		return
	}
	items := []string{Unknown}
	if s.in.known {
		items = strings.Fields(s.in.text)
	}
	replace := o.value["I"] + o.value["replace"] + o.value["i"]
	if replace != "" && s.in.known {
		items = slices.DeleteFunc(strings.Split(s.in.text, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	}
	if replace == "" && o.value["n"]+o.value["max-args"] != "1" && o.value["L"] != "1" {
		s.run(slices.Concat(o.rest, items[:min(len(items), maxFields)]), c)
		return
	}
	for _, item := range items[:min(len(items), maxFields)] {
		argv := append(slices.Clone(o.rest), item)
		if replace != "" {
			argv = slices.Clone(o.rest)
			for i := range argv {
				argv[i] = limited(strings.ReplaceAll(argv[i], replace, strings.TrimSpace(item)))
			}
		}
		if !s.spend(len(argv)) {
			return
		}
		s.run(argv, c)
	}
}

// parallel evaluates GNU parallel with its arguments after ":::".
func parallel(s *shell, args []string, c call) {
	o := parseOptions(args, "jPNnSaCI", []string{"jobs", "max-procs", "joblog", "delay", "timeout", "retries",
		"colsep", "arg-file"})
	at := slices.Index(o.rest, ":::")
	items := []string{Unknown}
	command := o.rest
	if at >= 0 {
		command, items = o.rest[:at], o.rest[at+1:]
	} else if s.in.known {
		items = strings.Fields(s.in.text)
	}
	for _, item := range items[:min(len(items), maxFields)] {
		argv := slices.Clone(command)
		found := false
		for i := range argv {
			found = found || strings.Contains(argv[i], "{}")
			argv[i] = limited(strings.ReplaceAll(argv[i], "{}", item))
		}
		if !found {
			argv = append(argv, item)
		}
		if len(argv) == 1 && strings.Contains(argv[0], " ") { // a command in quotes
			argv = []string{"sh", "-c", argv[0]}
		}
		if !s.spend(len(argv)) {
			return
		}
		s.run(argv, c)
	}
}

// runParts evaluates run-parts(8) for a directory that is not cron's own.
func runParts(s *shell, args []string, c call) {
	o := parseOptions(args, "au", []string{"arg", "umask", "regex"})
	s.status = status{unknown: true}
	if len(o.rest) == 0 || strings.HasPrefix(o.rest[0], "/etc/cron.") {
		return
	}
	dir := s.absolute(o.rest[0])
	names, ok := s.host.Entries(dir)
	if !Known(dir) || !ok {
		return
	}
	for _, name := range names[:min(len(names), maxRecords)] {
		if !strings.ContainsAny(name, ".~/") {
			s.script(dir+"/"+name, []string{dir + "/" + name}, c)
		}
	}
}

// systemctl records the units that are started.
func systemctl(s *shell, args []string) {
	o := parseOptions(args, "tpHM", []string{"type", "property", "host", "machine"})
	s.status = status{unknown: true}
	s.print(Unknown)
	if len(o.rest) < 2 || o.rest[0] != "start" && o.rest[0] != "restart" {
		return
	}
	for _, unit := range o.rest[1:] {
		if !strings.Contains(unit, ".") {
			unit += ".service"
		}
		if u := (UnitCall{s.here, unit}); len(s.trace.Units) < maxRecords && !slices.Contains(s.trace.Units, u) {
			s.trace.Units = append(s.trace.Units, u)
		}
	}
}
