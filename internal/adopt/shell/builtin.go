package shell

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// builtins are the commands of the shell itself (XCU 2.14, bash(1)). Those that only succeed are
// not listed one by one.
var builtins map[string]func(*shell, []string, call)

func init() {
	builtins = map[string]func(*shell, []string, call){
		":": succeed, "true": succeed, "wait": succeed, "umask": succeed, "ulimit": succeed, "shopt": succeed, "trap": succeed, "hash": succeed,
		"times": succeed, "alias": succeed, "unalias": succeed, "disown": succeed, "jobs": succeed, "bg": succeed, "fg": succeed, "enable": succeed,
		"false": func(s *shell, _ []string, _ call) { s.status = status{code: 1} },
		"cd":    (*shell).cd, "pushd": (*shell).cd, "popd": func(s *shell, _ []string, _ call) { s.dir = Unknown },
		"exit":   func(s *shell, args []string, _ call) { s.leave(exits, args) },
		"return": func(s *shell, args []string, _ call) { s.leave(returns, args) },
		"break":  func(s *shell, args []string, _ call) { s.jump(breaks, args) }, "continue": func(s *shell, args []string, _ call) { s.jump(continues, args) },
		"set": (*shell).setOptions, "shift": (*shell).shift, "unset": (*shell).unset, "eval": (*shell).eval, ".": (*shell).source, "source": (*shell).source,
		"exec": (*shell).exec, "command": (*shell).commandBuiltin, "builtin": (*shell).commandBuiltin, "type": (*shell).which,
		"test": (*shell).test, "[": (*shell).test, "echo": (*shell).echo, "printf": (*shell).printf, "read": (*shell).read,
		"mapfile": (*shell).mapfile, "readarray": (*shell).mapfile, "getopts": (*shell).getopts,
		"pwd":    func(s *shell, _ []string, _ call) { s.print(s.dirOrUnknown() + "\n") },
		"export": (*shell).export, "readonly": (*shell).export, "typeset": (*shell).export, "declare": (*shell).export, "local": (*shell).export,
		"let": succeed,
	}
}

func succeed(*shell, []string, call) {}

func (s *shell) dirOrUnknown() string {
	if s.dir == "" {
		return Unknown
	}
	return s.dir
}

func (s *shell) cd(args []string, _ call) {
	o := parseOptions(args, "", nil)
	switch {
	case len(o.rest) == 0:
		s.dir = s.home("")
	case o.rest[0] == "-":
		s.dir = Unknown
	case !Known(o.rest[0]):
		s.dir = Unknown
	default:
		s.dir = s.absolute(o.rest[0])
	}
}

func (s *shell) leave(how flow, args []string) {
	s.flow = how
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		s.status = status{code: n, unknown: err != nil}
	}
}

func (s *shell) jump(how flow, args []string) {
	s.flow, s.levels = how, 1
	if len(args) > 0 {
		if n, err := strconv.Atoi(args[0]); err == nil && n > 1 {
			s.levels = min(n, maxDepth)
		}
	}
}

func (s *shell) setOptions(args []string, _ call) {
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

func (s *shell) shift(args []string, _ call) {
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

func (s *shell) unset(args []string, _ call) {
	for _, name := range args {
		if strings.HasPrefix(name, "-") {
			continue
		}
		delete(s.vars, name)
		delete(s.funcs, name)
	}
}

func (s *shell) eval(args []string, _ call) {
	text := strings.Join(args, " ")
	if !Known(text) && len(strings.Fields(text)) > 0 {
		s.dynamic(text)
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
func (s *shell) dynamic(text string) {
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
func (s *shell) source(args []string, _ call) {
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
		s.addScript(Script{Path: p, Real: realPath, By: s.here})
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

func (s *shell) exec(args []string, c call) {
	o := parseOptions(args, "a", nil)
	if len(o.rest) == 0 {
		return
	}
	s.run(o.rest, c)
	s.flow = exits
}

func (s *shell) commandBuiltin(args []string, c call) {
	o := parseOptions(args, "", nil)
	if o.has("v") || o.has("V") {
		s.which(o.rest, c)
		return
	}
	if len(o.rest) > 0 {
		s.run(o.rest, c)
	}
}

// which prints the path of a program. Only its base name matters later on.
func (s *shell) which(args []string, _ call) {
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

func (s *shell) test(args []string, _ call) {
	if len(args) > 0 && args[len(args)-1] == "]" {
		args = args[:len(args)-1]
	}
	s.status = s.bracket(args).status()
}

func (s *shell) echo(args []string, _ call) {
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
	s.wrote()
}

func backslashes(text string) string {
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`, `\c`, "", `\e`, "\x1b", `\033`, "\x1b").Replace(text)
}

func (s *shell) printf(args []string, _ call) {
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
	s.wrote()
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
func (s *shell) export(args []string, _ call) {
	for _, a := range args {
		name, value, sets := strings.Cut(a, "=")
		if !sets || strings.HasPrefix(a, "-") || !Known(name) {
			continue
		}
		s.set(name, variable{value: value, exported: true})
	}
}

// read evaluates read: of known input a line, of unknown input one line of unknown fields.
func (s *shell) read(args []string, c call) {
	o := parseOptions(args, "adinNptu", nil)
	names := o.rest
	array := o.value["a"]
	if len(names) == 0 && array == "" {
		names = []string{"REPLY"}
	}
	ifs, isSet := c.env["IFS"]
	if !isSet {
		ifs = " \t\n"
		if v, ok := s.vars["IFS"]; ok {
			ifs = v.value
		}
	}
	if !s.in.known {
		for _, name := range names {
			s.set(name, variable{value: Unknown})
		}
		if array != "" {
			s.set(array, variable{array: true, list: []string{Unknown}})
		}
		s.status = status{code: min(s.in.asked, 1)}
		s.in.asked++
		return
	}
	if s.in.text == "" {
		s.status = status{code: 1}
		return
	}
	line, rest, ended := strings.Cut(s.in.text, "\n")
	s.in.text = rest
	if !ended && o.value["d"] == "" {
		s.status = status{code: 1} // the last line without its end is read, and read fails
	}
	line = strings.TrimSuffix(line, "\r")
	if array != "" {
		s.set(array, variable{array: true, list: cut(line, ifs, maxFields)})
		return
	}
	fields := cut(line, ifs, len(names))
	for i, name := range names {
		value := ""
		if i < len(fields) {
			value = fields[i]
		}
		s.set(name, variable{value: value})
	}
}

// cut splits a line for read into at most n fields: the last one has the rest.
func cut(line, ifs string, n int) []string {
	blanks := ""
	for _, r := range ifs {
		if r == ' ' || r == '\t' || r == '\n' {
			blanks += string(r)
		}
	}
	var out []string
	line = strings.Trim(line, blanks)
	for len(out) < n-1 && line != "" {
		i := strings.IndexAny(line, ifs)
		if i < 0 || ifs == "" {
			break
		}
		out = append(out, line[:i])
		separator := line[i : i+1]
		line = strings.TrimLeft(line[i+1:], blanks)
		if strings.ContainsAny(separator, blanks) { // blanks around another separator belong to it
			if line != "" && strings.ContainsRune(ifs, rune(line[0])) && !strings.ContainsRune(blanks, rune(line[0])) {
				line = strings.TrimLeft(line[1:], blanks)
			}
		}
	}
	return append(out, line)
}

func (s *shell) mapfile(args []string, _ call) {
	o := parseOptions(args, "cCdnOsu", nil)
	name := "MAPFILE"
	if len(o.rest) > 0 {
		name = o.rest[0]
	}
	list := []string{Unknown}
	if s.in.known {
		list = nil
		for line := range strings.Lines(s.in.text) {
			if len(list) < maxFields {
				list = append(list, strings.TrimSuffix(line, "\n"))
			}
		}
		s.in.text = ""
	}
	s.set(name, variable{array: true, list: list})
}

// getopts evaluates getopts for the shell's own arguments.
func (s *shell) getopts(args []string, _ call) {
	if len(args) < 2 {
		s.status = status{code: 1}
		return
	}
	spec, name := args[0], args[1]
	from := s.params
	if len(args) > 2 {
		from = args[2:]
	}
	index, _ := strconv.Atoi(s.vars["OPTIND"].value)
	index = max(index, 1)
	s.status = status{code: 1}
	if index > len(from) {
		s.set("OPTIND", variable{value: strconv.Itoa(index)})
		return
	}
	word := from[index-1]
	if !Known(word) {
		s.status = status{unknown: true}
		s.set(name, variable{value: Unknown})
		return
	}
	if len(word) < 2 || word[0] != '-' || word == "--" {
		return
	}
	option := word[1:2]
	index++
	if i := strings.Index(strings.TrimPrefix(spec, ":"), option+":"); i >= 0 {
		value := word[2:]
		if value == "" && index <= len(from) {
			value = from[index-1]
			index++
		}
		s.set("OPTARG", variable{value: value})
	}
	s.set(name, variable{value: option})
	s.set("OPTIND", variable{value: strconv.Itoa(index)})
	s.status = status{}
}

// tool evaluates a program that prints what follows from its arguments and input. It reports whether
// the program is one of these.
func (s *shell) tool(name string, args []string) bool {
	tool := tools[name]
	if tool == nil {
		return false
	}
	s.status = status{}
	text, ok := tool(s, args)
	if !ok || !s.spend(1+len(text)/64) {
		text = Unknown
		s.status = status{unknown: true}
	}
	s.print(text)
	return true
}

// base evaluates basename and dirname.
func base(of func(string) string) func(*shell, []string) (string, bool) {
	return func(_ *shell, args []string) (string, bool) {
		o := parseOptions(args, "s", nil)
		if len(o.rest) == 0 || !Known(strings.Join(o.rest, "")) {
			return "", false
		}
		text := of(o.rest[0])
		if len(o.rest) > 1 {
			text = strings.TrimSuffix(text, o.rest[1])
		}
		return strings.TrimSuffix(text, o.value["s"]) + "\n", true
	}
}

var basename, dirname = base(path.Base), base(path.Dir)
