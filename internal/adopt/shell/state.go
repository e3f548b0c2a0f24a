package shell

import (
	"maps"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// shell is the state of one shell on one way through its text.
type shell struct {
	*evaluation
	vars     map[string]variable
	funcs    map[string]function
	name     string // $0
	params   []string
	dir      string // working directory; Unknown if it is not known
	user     string
	file     string // of the lines
	line     int    // the only line, for a text within a line; 0 if lines are those of the file
	textName string // of the text, for sites
	depth    int
	strict   bool // set -e
	exports  bool // set -a
	more     bool // further arguments are unknown, not missing

	fds      map[string]string // files by descriptor
	log      string
	out      *strings.Builder // what gets standard output; nil outside of substitutions and pipes
	in       *input
	locks    []Lock
	wrappers []Wrapper
	volumes  [][2]string

	status      status
	flow        flow
	levels      int                    // of break and continue
	locals      []map[string]*variable // variables that are local to functions, with their old values
	here        Place                  // of the present command
	substituted bool                   // the present command has a command substitution
	pid         bool                   // the present command mentions the shell's process ID
}

// function is a function with the text that defines it.
type function struct {
	body     *syntax.Stmt
	file     string
	line     int
	textName string
}

// variable is a variable of a shell.
type variable struct {
	value    string
	list     []string // of an array
	keys     []string // of an associative array, beside list
	array    bool
	exported bool
}

// input is standard input, which several commands read one after another.
type input struct {
	text  string
	known bool
	asked int // reads of unknown input
}

// status is the exit status of a command.
type status struct {
	code    int
	unknown bool
	lock    *Lock // taken if the unknown status is 0
	command int   // index of the recorded command, plus 1
}

// flow is what ends a list of statements early.
type flow int

const (
	onward flow = iota
	breaks
	continues
	returns
	exits
)

func newShell(e *evaluation, s Start) *shell {
	sh := &shell{
		evaluation: e, vars: map[string]variable{}, funcs: map[string]function{}, name: "sh", dir: s.Dir, user: s.User,
		file: s.At.File, more: s.Any, line: s.At.Line, fds: map[string]string{}, log: s.Log, in: &input{},
	}
	sh.here = s.At
	if s.Lines {
		sh.line = 0
	}
	if s.Input != nil {
		sh.in = &input{text: *s.Input, known: true}
	}
	for name, value := range s.Vars {
		sh.vars[name] = variable{value: value, exported: true}
	}
	return sh
}

// subshell returns a copy for ( … ), $( … ) and pipes. It shares what the way has recorded.
func (s *shell) subshell() *shell {
	c := *s
	c.vars, c.funcs, c.fds = maps.Clone(s.vars), maps.Clone(s.funcs), maps.Clone(s.fds)
	c.params, c.locks = slices.Clone(s.params), slices.Clone(s.locks)
	c.locals = nil
	c.depth++
	c.spend(len(c.vars) / 16)
	return &c
}

// child returns a shell for a script: it has only what is exported.
func (s *shell) child() *shell {
	c := s.subshell()
	c.funcs, c.strict = map[string]function{}, false
	for name, v := range c.vars {
		if !v.exported || v.array {
			delete(c.vars, name)
		}
	}
	return c
}

func (s *shell) at(n syntax.Node) Place {
	if s.line != 0 {
		return Place{s.file, s.line}
	}
	return Place{s.file, int(n.Pos().Line())}
}

func (s *shell) site(n syntax.Node) site { return site{s.textName, n.Pos().Offset()} }

// truth reports whether a command succeeds. A lock is taken by asking for its success.
func (s *shell) truth(n syntax.Node) bool {
	st := s.status
	if !st.unknown {
		return st.code == 0
	}
	if s.choose(s.site(n), 2) != 0 {
		s.status = status{code: 1}
		if st.command > 0 {
			s.failed = st.command - 1
		}
		return false
	}
	if st.lock != nil && !slices.Contains(s.locks, *st.lock) {
		s.locks = append(slices.Clip(s.locks), *st.lock)
	}
	s.status = status{}
	return true
}

// set assigns a variable.
func (s *shell) set(name string, v variable) {
	v.value = limited(v.value)
	if _, there := s.vars[name]; !there && len(s.vars) >= maxVars {
		return
	}
	v.exported = v.exported || s.exports || s.vars[name].exported
	s.vars[name] = v
}

// limited makes values that are too large unknown.
func limited(value string) string {
	if len(value) > maxValue {
		return Unknown
	}
	return value
}

// text evaluates a text in this shell. name is that of the text, for its sites.
func (s *shell) text(text, name string) {
	file, err := s.parse(text)
	if err != nil {
		s.status = status{unknown: true}
		if strings.Contains(text, "rsync") {
			s.note(Place{s.file, s.line}, "mirrorform cannot parse this command with rsync: "+err.Error())
		}
		return
	}
	old := s.textName
	if s.textName != name {
		s.textName += ">" + name
	}
	s.statements(file.Stmts)
	s.textName = old
}

// absolute returns a path of the host for one that may be relative, or Unknown.
func (s *shell) absolute(p string) string {
	switch {
	case path.IsAbs(p):
		return path.Clean(p)
	case s.dir == "" || !path.IsAbs(s.dir):
		return Unknown
	}
	return path.Join(s.dir, p)
}
