package shell

import (
	"path"
	"slices"
	"strings"
)

// locked evaluates a program that takes a lock. It reports whether the program is one of these.
func locked(s *shell, name string, argv []string, c call) bool {
	switch name {
	case "flock":
		flock(s, argv, c)
	case "setlock":
		o := parseOptions(argv[1:], "", nil)
		holding(s, name, o.rest, c)
	case "chpst":
		o := parseOptions(argv[1:], runners[name].short, nil)
		file := o.value["l"]
		if file == "" {
			return false
		}
		rest := slices.Concat([]string{name}, without(o.given, "l"), o.rest)
		hold(s, Lock{name, s.absolute(file)}, func() { wrapped(s, name, rest, c) })
	case "lckdo", "with-lock-ex", "dotlockfile-run":
		o := parseOptions(argv[1:], "W", nil)
		holding(s, name, o.rest, c)
	case "lockrun", "lockf":
		o := parseOptions(argv[1:], "Lt", []string{"lockfile", "maxtime", "wait"})
		file := o.value["lockfile"] + o.value["L"]
		rest := o.rest
		if name == "lockf" && len(rest) > 0 {
			file, rest = rest[0], rest[1:]
		}
		holding(s, name, append([]string{file}, rest...), c)
	case "run-one", "run-this-one", "solo":
		o := parseOptions(argv[1:], "", nil)
		hold(s, Lock{name, ""}, func() { s.run(o.rest, c) })
	case "mkdir", "lockfile", "dotlockfile", "shlock", "ln":
		making(s, name, argv[1:])
	case "pgrep", "pidof", "lsof", "fuser", "kill", "ps":
		s.status = status{unknown: true}
		s.print(Unknown)
	default:
		return false
	}
	return true
}

// without removes an option and its argument.
func without(given []string, option string) []string {
	var out []string
	for i := 0; i < len(given); i++ {
		if given[i] == "-"+option {
			i++
			continue
		}
		if !strings.HasPrefix(given[i], "-"+option) {
			out = append(out, given[i])
		}
	}
	return out
}

// hold evaluates a command that runs while a lock is held.
func hold(s *shell, l Lock, run func()) {
	old := s.locks
	s.locks = append(slices.Clip(s.locks), l)
	run()
	s.locks = old
}

// holding evaluates LOCK COMMAND ….
func holding(s *shell, kind string, rest []string, c call) {
	if len(rest) < 2 {
		s.status = status{unknown: true}
		return
	}
	hold(s, Lock{kind, s.absolute(rest[0])}, func() { s.run(rest[1:], c) })
}

// flock evaluates flock(1): of a file for a command, or of an open descriptor.
func flock(s *shell, argv []string, c call) {
	o := parseOptions(argv[1:], "wEc", []string{"wait", "timeout", "conflict-exit-code", "command"})
	text := o.value["c"] + o.value["command"]
	rest := o.rest
	if len(rest) == 0 {
		s.status = status{unknown: true}
		return
	}
	file := rest[0]
	rest = rest[1:]
	for len(rest) > 0 && (rest[0] == "-n" || rest[0] == "-x" || rest[0] == "-e" || rest[0] == "-s" || rest[0] == "-o") {
		rest = rest[1:] // options after the file
	}
	if len(rest) > 1 && (rest[0] == "-c" || rest[0] == "--command") {
		text, rest = rest[1], nil
	}
	if text != "" {
		rest = []string{"sh", "-c", text}
	}
	if len(rest) > 0 {
		if rest[0] == "--" {
			rest = rest[1:]
		}
		hold(s, Lock{Flock, s.absolute(file)}, func() { s.run(rest, c) })
		return
	}
	open, ok := s.fds[file]
	if !ok {
		open = Unknown
	}
	if o.has("u") || o.has("unlock") {
		s.locks = slices.DeleteFunc(slices.Clone(s.locks), func(l Lock) bool { return l.Kind == Flock && l.Path == open })
		s.status = status{}
		return
	}
	l := Lock{Flock, open}
	s.status = status{unknown: true, lock: &l}
	if !o.has("n") && !o.has("nb") && !o.has("nonblock") { // it waits: the script goes on with the lock
		s.locks = append(slices.Clip(s.locks), l)
	}
}

// making evaluates a program that fails if the file that it makes exists.
func making(s *shell, name string, args []string) {
	o := parseOptions(args, map[string]string{"mkdir": "mZ", "lockfile": "rls", "dotlockfile": "rp",
		"shlock": "pf", "ln": "St"}[name], nil)
	file := ""
	if len(o.rest) > 0 {
		file = o.rest[len(o.rest)-1]
	}
	if name == "shlock" {
		file = o.value["f"]
	}
	s.status = status{unknown: true}
	switch {
	case name == "mkdir" && (o.has("p") || o.has("parents")):
		s.status = status{}
	case name == "ln" && (!o.has("s") || o.has("f")):
	default:
		s.status.lock = &Lock{name, s.absolute(file)}
	}
}

// writes records a file that gets a line: a lock, if the line is the shell's process ID.
func writes(s *shell) {
	file := s.fds["1"]
	if file == "" || file == "/dev/null" || s.out != nil {
		return
	}
	if !s.pid {
		s.wrote(s.here, file)
		return
	}
	if l := (Lock{"pid file", file}); !slices.Contains(s.locks, l) {
		s.locks = append(slices.Clip(s.locks), l)
	}
}

// aside reports whether a program only reads or changes its own files, by its name.
func aside(name string) bool { return slices.Contains(quiet, path.Base(name)) }
