package shell

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// call is how a command is run.
type call struct {
	env map[string]string // variables that are set for it alone
}

// matter are the programs that fill a mirror's directory. They are recorded with their arguments.
var matter = []string{
	"rsync", "rsync-ssl", "reposync", "dnf", "yum", "wget", "wget2", "lftp", "lftpget", "debmirror", "apt-mirror",
	"aptly", "quick-fedora-mirror",
	"ftpsync", "rclone", "csync2", "unison", "zsync", "cvsup", "bandersnatch", "tunasync", "mirrorsync",
}

// Matters reports whether a program, by its base name, is recorded.
func Matters(name string) bool { return slices.Contains(matter, name) }

// shells run the word after -c, or a script.
var shells = []string{"sh", "bash", "dash", "ksh", "ksh93", "mksh", "zsh", "ash", "busybox.sh", "rbash"}

// quiet are programs without a meaning for a mirror. They are neither looked for nor named.
var quiet = []string{
	"[", "true", "false", "sleep", "date", "logger", "mkdir", "rmdir", "rm", "mv", "cp", "touch", "ls", "find",
	"stat", "du", "df", "wc", "sort", "uniq",
	"awk", "gawk", "mawk", "sed", "grep", "egrep", "fgrep", "tr", "cut", "head", "tail", "tee", "cmp", "diff",
	"test", "expr", "seq", "shuf", "mktemp",
	"id", "whoami", "hostname", "uname", "tty", "stty", "ps", "pgrep", "pidof", "kill", "renice", "wait", "gzip",
	"bzip2", "xz", "savelog", "logrotate",
	"basename", "dirname", "readlink", "realpath", "cat", "echo", "printf", "which", "bc", "md5sum", "sha256sum",
	"od", "clear", "tput", "ln",
	"lsof", "fuser", "mountpoint", "findmnt", "nproc", "numfmt", "install", "sync", "ts", "column", "rev",
	"paste", "nl", "env", "getent", "ping",
	"host", "dig", "mirrorform-sync",
}

// call evaluates a simple command.
func (s *shell) call(c *syntax.CallExpr) {
	before := s.status
	s.here = s.at(c)
	s.substituted = false
	argv := fieldsOf(s, c.Args)
	if len(argv) == 0 {
		for _, a := range c.Assigns {
			assign(s, a, false)
		}
		if !s.substituted {
			s.status = status{}
		}
		return
	}
	run := call{env: map[string]string{}}
	for _, a := range c.Assigns {
		if a.Name != nil {
			run.env[a.Name.Value] = wordOf(s, a.Value)
		}
	}
	if s.flow != onward { // ${a:?}
		return
	}
	s.pid = mentionsPID(c)
	s.status = before
	s.here = s.at(c)
	s.run(argv, run)
}

// mentionsPID reports whether a command writes the shell's process ID: into a lock, if its output
// goes to a file.
func mentionsPID(c *syntax.CallExpr) bool {
	found := false
	for _, w := range c.Args {
		syntax.Walk(w, func(n syntax.Node) bool {
			p, ok := n.(*syntax.ParamExp)
			found = found || ok && p.Param != nil && (p.Param.Value == "$" || p.Param.Value == "BASHPID")
			return true
		})
	}
	return found
}

// run evaluates a command whose words are expanded.
func (s *shell) run(argv []string, c call) {
	if len(argv) == 0 || !s.spend(1) {
		s.status = status{unknown: true}
		return
	}
	if s.depth >= maxDepth {
		s.note(s.here, "its scripts and functions call each other too deeply: it was not read completely")
		s.status = status{unknown: true}
		return
	}
	s.depth++
	defer func() { s.depth-- }()
	name := path.Base(argv[0])
	if f, isFunc := s.funcs[argv[0]]; isFunc {
		s.function(f, argv[1:], c)
		return
	}
	if !strings.Contains(argv[0], "/") {
		if builtin := builtins[name]; builtin != nil {
			s.status = status{}
			builtin(s, argv[1:], c)
			return
		}
	}
	switch {
	case !Known(argv[0]):
		unknownProgram(s, argv)
	case Matters(name):
		recorded(s, argv, c)
	case slices.Contains(shells, name):
		s.shellCommand(argv, c)
	case interpreter.MatchString(name):
		s.interpreted(name, argv, c)
	case locked(s, name, argv, c):
	case tool(s, name, argv[1:]):
	case wrapped(s, name, argv, c):
	default:
		s.program(argv, c)
	}
}

// command returns a command of this shell.
func commandOf(s *shell, argv []string, c call) Command {
	env := map[string]string{}
	for name, v := range s.vars {
		if v.exported && strings.HasPrefix(name, "RSYNC_") {
			env[name] = v.value
		}
	}
	maps.Copy(env, c.env)
	return Command{
		At: s.here, Argv: argv, Dir: s.dir, User: s.user, Env: env, Locks: s.locks, Wrappers: s.wrappers,
		Volumes: s.volumes, Log: s.log,
		Maybe: len(s.taken) > 0,
	}
}

// recorded records a command that matters. Its output and status are unknown.
func recorded(s *shell, argv []string, c call) {
	s.record(commandOf(s, argv, c))
	s.print(Unknown)
	s.status = status{unknown: true}
	if len(s.ran) > 0 {
		s.status.command = s.ran[len(s.ran)-1] + 1
	}
}

// unknownProgram is a command whose name is not known.
func unknownProgram(s *shell, argv []string) {
	if strings.Contains(strings.Join(argv, " "), "rsync") {
		s.note(s.here, "mirrorform cannot parse this command with rsync: the name of its program is not known")
	}
	s.print(Unknown)
	s.status = status{unknown: true}
}

// program evaluates a script, or names a program that is not known.
func (s *shell) program(argv []string, c call) {
	name := path.Base(argv[0])
	s.status = status{unknown: true}
	if slices.Contains(quiet, name) {
		s.print(Unknown)
		s.aside(name, argv)
		return
	}
	var places []string
	if strings.Contains(argv[0], "/") {
		if p := s.absolute(argv[0]); Known(p) {
			places = []string{p}
		}
	} else {
		places = s.host.Find(argv[0], s.vars["PATH"].value)
	}
	for _, p := range places {
		if s.script(p, argv, c) {
			return
		}
	}
	s.other(commandOf(s, argv, c))
	s.print(Unknown)
	inner(s, argv, c)
}

// aside records what a program that does not matter does around a sync.
func (s *shell) aside(name string, argv []string) {
	switch {
	case name == "sleep" && len(s.trace.Commands) == 0 && !Known(strings.Join(argv, "")) &&
		!slices.Contains(s.trace.Waits, s.here):
		s.trace.Waits = append(s.trace.Waits, s.here)
	case name == "date":
		writes(s)
	case name == "touch":
		for _, file := range argv[1:] {
			if path.IsAbs(file) {
				s.wrote(s.here, file)
			}
		}
	}
}

// inner looks for a command among the arguments of a program that is not known, such as one that
// runs a script for each message that it receives.
func inner(s *shell, argv []string, c call) {
	for i, w := range argv[1:] {
		rest := argv[i+1:]
		if base := path.Base(w); base == "rsync" || base == "rsync-ssl" {
			s.note(s.here, "it is not known whether "+Name(argv[0])+" runs the rsync in its arguments: mirrorform takes "+
				"it for a command that runs")
			s.wrap(Wrapper{path.Base(argv[0]), argv[1 : i+1]}, func() { s.run(rest, c) })
			return
		}
		if strings.HasPrefix(w, "/") && path.Clean(w) == w && i > 0 && argv[i] == "--" {
			s.run(rest, c)
			return
		}
	}
}

// programName matches the base names of programs that are named in messages.
var programName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,40}$`)

// Name returns the base name of a program for a message. What may be something else, such as an
// assignment with a secret, is not shown.
func Name(program string) string {
	if name := path.Base(program); programName.MatchString(name) {
		return name
	}
	return "another program"
}

// wrap evaluates a command that another program runs.
func (s *shell) wrap(w Wrapper, run func()) {
	old := s.wrappers
	s.wrappers = append(slices.Clip(s.wrappers), w)
	run()
	s.wrappers = old
}

// function evaluates a call of a function.
func (s *shell) function(f function, args []string, c call) {
	params, file, line, textName := s.params, s.file, s.line, s.textName
	s.params, s.file, s.line, s.textName = args, f.file, f.line, f.textName
	frame := map[string]*variable{}
	s.locals = append(s.locals, frame)
	for name, value := range c.env {
		keep(s, name)
		s.set(name, variable{value: value, exported: true})
	}
	s.status = status{}
	s.statement(f.body)
	s.locals = s.locals[:len(s.locals)-1]
	for name, old := range frame {
		if old == nil {
			delete(s.vars, name)
		} else {
			s.vars[name] = *old
		}
	}
	s.params, s.file, s.line, s.textName = params, file, line, textName
	if s.flow == returns {
		s.flow = onward
	}
}

// shellCommand evaluates a shell with its arguments: -c TEXT, a script, or standard input.
func (s *shell) shellCommand(argv []string, c call) {
	args, command, strict := argv[1:], false, false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		option := args[0]
		args = args[1:]
		if option == "--" {
			break
		}
		if strings.HasPrefix(option, "--") {
			if option == "--rcfile" || option == "--init-file" {
				args = args[min(1, len(args)):]
			}
			continue
		}
		command = command || strings.Contains(option, "c")
		strict = strict || strings.Contains(option, "e")
		if strings.ContainsAny(option, "oO") && len(args) > 0 && !command {
			args = args[1:]
		}
	}
	if !command && len(args) > 0 {
		p := s.absolute(args[0])
		if !Known(p) || !s.script(p, args, c) {
			s.other(commandOf(s, args, c))
			s.print(Unknown)
			s.status = status{unknown: true}
		}
		return
	}
	sub := s.child()
	environment(sub, c.env)
	sub.strict = strict
	if s.line == 0 {
		sub.line = s.here.Line // its lines are within a word
	}
	switch {
	case command && len(args) > 0:
		if len(args) > 1 {
			sub.name, sub.params = args[1], args[2:]
		} else {
			sub.params = nil
		}
		sub.text(args[0], "-c")
	case s.in.known:
		sub.text(s.in.text, "stdin")
	default:
		sub.status = status{unknown: true}
	}
	s.status = sub.status
}

// environment sets the variables of a new program.
func environment(s *shell, env map[string]string) {
	for name, value := range env {
		s.set(name, variable{value: value, exported: true})
	}
}

// interpreter matches programs that run scripts in other languages.
var interpreter = regexp.MustCompile(`^(python|perl|ruby|php|node|lua|tclsh|expect)[0-9.]*$`)

// interpreted records a script that its interpreter is called with.
func (s *shell) interpreted(name string, argv []string, c call) {
	s.print(Unknown)
	s.status = status{unknown: true}
	for _, w := range argv[1:] {
		if strings.HasPrefix(w, "-") {
			continue
		}
		p := s.absolute(w)
		if text, realPath, ok := s.host.Text(p); Known(p) && ok && !strings.ContainsRune(text[:min(len(text), 512)], 0) {
			addScript(s, Script{Path: p, Real: realPath, By: s.here, Other: name, Argv: argv, Command: commandOf(s, argv, c)})
			return
		}
		break
	}
	s.other(commandOf(s, argv, c))
}

// script evaluates a file as a script, if the host has its text and it is a script.
func (s *shell) script(p string, argv []string, c call) bool {
	if path.Base(p) == "mirrorform-sync" {
		return false
	}
	text, realPath, ok := s.host.Text(p)
	if !ok || strings.ContainsRune(text[:min(len(text), 512)], 0) {
		return false
	}
	interpreter, options := shebang(text)
	if interpreter != "" && !slices.Contains(shells, interpreter) {
		s.print(Unknown)
		s.status = status{unknown: true}
		addScript(s, Script{Path: p, Real: realPath, By: s.here, Other: interpreter, Argv: argv,
			Command: commandOf(s, argv, c)})
		return true
	}
	addScript(s, Script{Path: p, Real: realPath, By: s.here, Argv: argv})
	sub := s.child()
	environment(sub, c.env)
	sub.file, sub.line, sub.name, sub.params = p, 0, p, argv[1:]
	sub.strict = strings.Contains(options, "e")
	sub.text(text, p)
	s.status = sub.status
	return true
}

func addScript(s *shell, one Script) {
	known := slices.ContainsFunc(s.trace.Scripts, func(o Script) bool { return o.Path == one.Path && o.By == one.By })
	if !known && len(s.trace.Scripts) < maxRecords {
		s.trace.Scripts = append(s.trace.Scripts, one)
	}
}

// shebang returns the base name of a script's interpreter and its options; "" is the shell.
func shebang(text string) (interpreter, options string) {
	line, _, _ := strings.Cut(text, "\n")
	line, ok := strings.CutPrefix(line, "#!")
	words := strings.Fields(line)
	if !ok || len(words) == 0 {
		return "", ""
	}
	if path.Base(words[0]) == "env" {
		words = words[1:]
		for len(words) > 0 && (words[0][0] == '-' || strings.Contains(words[0], "=")) {
			words = words[1:]
		}
		if len(words) == 0 {
			return "env", ""
		}
	}
	for _, w := range words[1:] {
		if strings.HasPrefix(w, "-") {
			options += w
		}
	}
	return path.Base(words[0]), options
}

// print adds output, where a substitution or a pipe reads it.
func (s *shell) print(text string) {
	if s.out == nil || !s.spend(1+len(text)/64) {
		return
	}
	if s.out.Len()+len(text) > maxText {
		text = Unknown
	}
	if s.out.Len() <= maxText {
		s.out.WriteString(text)
	}
}
