package shell

import (
	"slices"
	"strconv"
	"strings"
)

// builtins are the commands of the shell itself (XCU 2.14, bash(1)). Those that only succeed are
// not listed one by one.
var builtins map[string]func(*shell, []string, call)

func init() {
	builtins = map[string]func(*shell, []string, call){
		":": succeed, "true": succeed, "wait": succeed, "umask": succeed, "ulimit": succeed, "shopt": succeed,
		"trap": succeed, "hash": succeed,
		"times": succeed, "alias": succeed, "unalias": succeed, "disown": succeed, "jobs": succeed, "bg": succeed,
		"fg": succeed, "enable": succeed,
		"false": func(s *shell, _ []string, _ call) { s.status = status{code: 1} },
		"cd":    cd, "pushd": cd, "popd": func(s *shell, _ []string, _ call) { s.dir = Unknown },
		"exit":     func(s *shell, args []string, _ call) { leave(s, exits, args) },
		"return":   func(s *shell, args []string, _ call) { leave(s, returns, args) },
		"break":    func(s *shell, args []string, _ call) { jump(s, breaks, args) },
		"continue": func(s *shell, args []string, _ call) { jump(s, continues, args) },
		"set":      setOptions, "shift": shift, "unset": unset, "eval": eval, ".": sourceBuiltin, "source": sourceBuiltin,
		"exec": execBuiltin, "command": commandBuiltin, "builtin": commandBuiltin, "type": which,
		"test": testBuiltin, "[": testBuiltin, "echo": echo, "printf": printf, "read": read,
		"mapfile": mapfile, "readarray": mapfile, "getopts": getopts,
		"pwd":    func(s *shell, _ []string, _ call) { s.print(dirOrUnknown(s) + "\n") },
		"export": export, "readonly": export, "typeset": export, "declare": export, "local": export,
		"let": succeed,
	}
}

func succeed(*shell, []string, call) {}

func dirOrUnknown(s *shell) string {
	if s.dir == "" {
		return Unknown
	}
	return s.dir
}

func cd(s *shell, args []string, _ call) {
	o := parseOptions(args, "", nil)
	switch {
	case len(o.rest) == 0:
		s.dir = homeDir(s, "")
	case o.rest[0] == "-":
		s.dir = Unknown
	case !Known(o.rest[0]):
		s.dir = Unknown
	default:
		s.dir = s.absolute(o.rest[0])
	}
}

func leave(s *shell, how flow, args []string) {
	s.flow = how
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		s.status = status{code: n, unknown: err != nil}
	}
}

func jump(s *shell, how flow, args []string) {
	s.flow, s.levels = how, 1
	if len(args) > 0 {
		if n, err := strconv.Atoi(args[0]); err == nil && n > 1 {
			s.levels = min(n, maxDepth)
		}
	}
}

func setOptions(s *shell, args []string, _ call) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			s.params = slices.Clone(args[i+1:])
			return
		case a == "-o" || a == "+o":
			if i++; i < len(args) {
				s.strict = s.strict && args[i] != "errexit" || a == "-o" && args[i] == "errexit"
				s.exports = s.exports && args[i] != "allexport" || a == "-o" && args[i] == "allexport"
			}
		case len(a) > 1 && (a[0] == '-' || a[0] == '+'):
			if strings.Contains(a, "e") {
				s.strict = a[0] == '-'
			}
			if strings.Contains(a, "a") {
				s.exports = a[0] == '-'
			}
			if strings.HasSuffix(a, "o") {
				i++ // set -euo pipefail
			}
		default:
			s.params = slices.Clone(args[i:])
			return
		}
	}
}

func shift(s *shell, args []string, _ call) {
	n := 1
	if len(args) > 0 {
		n, _ = strconv.Atoi(args[0])
	}
	if n < 0 || n > len(s.params) {
		s.status = status{code: 1}
		return
	}
	s.params = s.params[n:]
}

func unset(s *shell, args []string, _ call) {
	for _, name := range args {
		if strings.HasPrefix(name, "-") {
			continue
		}
		delete(s.vars, name)
		delete(s.funcs, name)
	}
}

func eval(s *shell, args []string, _ call) {
	text := strings.Join(args, " ")
	if !Known(text) && len(strings.Fields(text)) > 0 {
		dynamic(s, text)
		return
	}
	line := s.line
	if s.line == 0 {
		s.line = s.here.Line
	}
	s.text(text, "eval@"+strconv.Itoa(s.here.Line))
	s.line = line
}

// dynamic evaluates a text with unknown parts as words, if it is one simple command.
func dynamic(s *shell, text string) {
	if strings.ContainsAny(text, ";|&()<>`$\n") {
		s.status = status{unknown: true}
		if strings.Contains(text, "rsync") {
			s.note(s.here, "mirrorform cannot parse this command with rsync: it is put together from unknown values")
		}
		return
	}
	s.run(strings.Fields(strings.NewReplacer("'", "", `"`, "").Replace(text)), call{})
}

// source evaluates a file in this shell.
func sourceBuiltin(s *shell, args []string, _ call) {
	if len(args) == 0 {
		return
	}
	s.status = status{unknown: true}
	places := []string{s.absolute(args[0])}
	if !strings.Contains(args[0], "/") {
		places = append(s.host.Find(args[0], s.vars["PATH"].value), places...)
	}
	for _, p := range places {
		if !Known(p) || s.depth >= maxDepth {
			continue
		}
		text, realPath, ok := s.host.Text(p)
		if !ok {
			continue
		}
		addScript(s, Script{Path: p, Real: realPath, By: s.here})
		file, line, params := s.file, s.line, s.params
		s.file, s.line = p, 0
		if len(args) > 1 {
			s.params = args[1:]
		}
		s.depth++
		s.status = status{}
		s.text(text, p)
		s.depth--
		s.file, s.line, s.params = file, line, params
		if s.flow == returns {
			s.flow = onward
		}
		return
	}
	s.note(s.here, "mirrorform could not read the file that this line includes")
}

func execBuiltin(s *shell, args []string, c call) {
	o := parseOptions(args, "a", nil)
	if len(o.rest) == 0 {
		return
	}
	s.run(o.rest, c)
	s.flow = exits
}

func commandBuiltin(s *shell, args []string, c call) {
	o := parseOptions(args, "", nil)
	if o.has("v") || o.has("V") {
		which(s, o.rest, c)
		return
	}
	if len(o.rest) > 0 {
		s.run(o.rest, c)
	}
}

// which prints the path of a program. Only its base name matters later on.
func which(s *shell, args []string, _ call) {
	o := parseOptions(args, "", nil)
	s.status = status{unknown: true}
	if len(o.rest) == 0 {
		return
	}
	name := o.rest[0]
	if Matters(name) || aside(name) || slices.Contains(shells, name) || runners[name].unseen {
		s.print("/usr/bin/" + name + "\n")
		return
	}
	s.print(Unknown)
}

func testBuiltin(s *shell, args []string, _ call) {
	if len(args) > 0 && args[len(args)-1] == "]" {
		args = args[:len(args)-1]
	}
	s.status = bracket(s, args).status()
}

func echo(s *shell, args []string, _ call) {
	end := "\n"
	escapes := false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "neE") == "" {
		if strings.Contains(args[0], "n") {
			end = ""
		}
		escapes = escapes || strings.Contains(args[0], "e")
		args = args[1:]
	}
	text := strings.Join(args, " ")
	if escapes {
		text = backslashes(text)
	}
	s.print(text + end)
	writes(s)
}

func backslashes(text string) string {
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`, `\c`, "", `\e`, "\x1b", `\033`, "\x1b").Replace(text)
}

func printf(s *shell, args []string, _ call) {
	variable0 := ""
	if len(args) > 1 && args[0] == "-v" {
		variable0, args = args[1], args[2:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return
	}
	var out strings.Builder
	rest := args[1:]
	for range maxFields {
		used := 0
		out.WriteString(format(args[0], rest, &used))
		rest = rest[min(used, len(rest)):]
		if used == 0 || len(rest) == 0 || out.Len() > maxValue || !s.spend(1+out.Len()/64) {
			break
		}
	}
	if variable0 != "" {
		s.set(variable0, variable{value: out.String()})
		return
	}
	s.print(out.String())
	writes(s)
}

// format expands one pass of printf's format: %s, %d, %q, %b and %%. What else it has is unknown.
func format(f string, args []string, used *int) string {
	var out strings.Builder
	f = backslashes(f)
	for i := 0; i < len(f) && out.Len() <= maxValue; i++ {
		if f[i] != '%' || i+1 == len(f) {
			out.WriteByte(f[i])
			continue
		}
		i++
		arg := ""
		switch f[i] {
		case '%':
			out.WriteByte('%')
			continue
		case 's', 'd', 'q', 'b', 'i':
			if *used < len(args) {
				arg = args[*used]
			}
			*used++
		default:
			*used = max(*used, len(args))
			return out.String() + Unknown
		}
		out.WriteString(limited(arg))
	}
	return out.String()
}

// export sets variables by words that were expanded: export "$name=$value".
func export(s *shell, args []string, _ call) {
	for _, a := range args {
		name, value, sets := strings.Cut(a, "=")
		if !sets || strings.HasPrefix(a, "-") || !Known(name) {
			continue
		}
		s.set(name, variable{value: value, exported: true})
	}
}
