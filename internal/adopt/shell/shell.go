// Package shell evaluates shell commands and scripts as far as their text and the files of a host
// determine what they do.
//
// It runs no program, opens no file and knows no environment but the given one. Programs that
// matter, such as rsync, are recorded with their arguments; of all others, output and exit status
// are unknown. A value with an unknown part contains Unknown. A condition that depends on an
// unknown is taken both ways, in separate evaluations, so that each value belongs to one way
// through the text. Work, depth and sizes are limited.
package shell

import (
	"maps"
	"slices"
	"strings"
)

// Unknown marks a part of a value that is not known: a noncharacter, which no text of a host has.
const Unknown = "\U0010FFFF"

// Known reports whether a value has no unknown part.
func Known(value string) bool { return !strings.Contains(value, Unknown) }

// Host answers what a text refers to. Each answer may be missing, because the host was not asked
// yet; then the host remembers what was asked for.
type Host interface {
	// Text returns the text of a regular file, and its path with links resolved.
	Text(path string) (text, realPath string, ok bool)
	// Entries returns the names in a directory.
	Entries(path string) (names []string, ok bool)
	// Home returns the home directory of a user, or "" if it is not known.
	Home(user string) string
	// Find returns the paths where a program without a slash in its name may be, of those on PATH.
	Find(name, path string) []string
}

// Place is a line of a file.
type Place struct {
	File string
	Line int
}

// Start is where a command starts: what its starter sets for it.
type Start struct {
	At    Place
	Lines bool // the lines of the text are those of At.File, from 1
	User  string
	Dir   string            // working directory, or ""
	Vars  map[string]string // the environment
	Input *string           // standard input; nil is unknown
	Log   string            // file that gets the output, or ""
	Any   bool              // scripts may be started with further arguments, which are unknown
}

// Wrapper is a program that runs another one.
type Wrapper struct {
	Name string
	Args []string // its own arguments, without the command
}

// Lock keeps a second sync from starting.
type Lock struct {
	Kind string // of flock(1): Flock; otherwise how it is made: mkdir, pid file, setlock …
	Path string
}

// Flock is the kind of a lock by flock(1), which a sync of mirrorform takes as well.
const Flock = "flock"

// Command is a program with its arguments, which may have unknown parts.
type Command struct {
	At       Place
	Argv     []string
	Dir      string
	User     string
	Env      map[string]string // variables that are set for it and exported
	Locks    []Lock
	Wrappers []Wrapper
	Volumes  [][2]string // directories of the host and their paths in a container
	Log      string
	// After has the recorded commands that ran before this one on the same way, by their index;
	// Failed is the last of them if this one runs because that one has failed.
	After  []int
	Failed int  // index, or -1
	Maybe  bool // whether it runs depends on something unknown
}

// Note is a place that could not be evaluated, and why.
type Note struct {
	At   Place
	Text string
}

// Trace is the result of an evaluation.
type Trace struct {
	Commands []Command // those that matter (see Matters), each once
	Others   []Command // other programs, each name once per place
	Scripts  []Script  // scripts that were evaluated, or have another language
	Notes    []Note
	Waits    []Place    // sleep(1) before the first of Commands, for a time that is not known
	Writes   []Write    // files that the shell itself, date or touch writes
	Units    []UnitCall // units that systemctl starts
}

// Write is a file that gets a line, such as the time of the last sync.
type Write struct {
	At   Place
	Path string
}

// UnitCall starts a unit.
type UnitCall struct {
	At   Place
	Unit string
}

// Script is a file that a command runs.
type Script struct {
	Path, Real string
	By         Place
	Other      string // the interpreter, if it is not a shell
	Argv       []string
	Command    Command // the command that runs it
}

// Budget limits the work of all evaluations that share it.
type Budget struct{ left int }

// NewBudget returns a budget of units: about one for each statement or each 64 bytes of a value.
func NewBudget(units int) *Budget { return &Budget{units} }

// Limits of one evaluation.
const (
	maxWays    = 64       // ways through a text
	maxWork    = 20_000   // units of work of one way
	maxDepth   = 24       // scripts, functions and substitutions within one another
	maxText    = 64 << 10 // bytes of a text
	maxValue   = 8 << 10  // bytes of a value
	maxFields  = 1 << 10  // words of a command, elements of a list
	maxVars    = 512      // variables
	maxRecords = 128      // recorded commands
	maxNesting = 1000     // opening brackets and keywords of a text: the parser recurses
	maxRounds  = 500      // rounds of a loop
)

// evaluation is shared by all ways through a text.
type evaluation struct {
	host   Host
	budget *Budget
	trace  Trace
	parsed map[string]*parsedText
	ways   [][]choice
	split  map[site]bool // sites whose other choices are queued

	// of the present way:
	given  map[site]int // choices of this way
	taken  []choice
	ran    []int // indexes of recorded commands
	failed int   // the recorded command whose failure was chosen last, or -1
	work   int
}

// site is a place that depends on an unknown.
type site struct {
	text   string // the text's name
	offset uint
}

// choice is what was chosen at a site.
type choice struct {
	at site
	n  int
}

// Text evaluates a text for a shell.
func Text(h Host, b *Budget, text string, s Start) Trace {
	return explore(h, b, func(sh *shell) { sh.text(text, sh.name) }, s)
}

// Program evaluates a program with its arguments, which no shell has expanded.
func Program(h Host, b *Budget, argv []string, s Start) Trace {
	return explore(h, b, func(sh *shell) { sh.run(argv, call{}) }, s)
}

// File evaluates a file that its starter runs directly.
func File(h Host, b *Budget, path string, s Start) Trace {
	return explore(h, b, func(sh *shell) { sh.script(path, []string{path}, call{}) }, s)
}

// explore evaluates one way, then each way that differs from an earlier one in one choice.
func explore(h Host, b *Budget, evaluate func(*shell), s Start) Trace {
	e := &evaluation{host: h, budget: b, parsed: map[string]*parsedText{}, split: map[site]bool{}, ways: [][]choice{nil}}
	for i := 0; i < len(e.ways); i++ {
		if i == maxWays {
			e.note(s.At, "it has too many conditions that depend on unknown values: some ways through it were not read")
			break
		}
		e.given, e.taken, e.ran, e.failed, e.work = map[site]int{}, nil, nil, -1, 0
		for _, c := range e.ways[i] {
			e.given[c.at] = c.n
		}
		sh := newShell(e, s)
		evaluate(sh)
		if e.budget.left <= 0 || e.work >= maxWork {
			e.note(s.At, "it was not read completely, because evaluating it takes too much work")
		}
		if e.budget.left <= 0 {
			break
		}
	}
	return e.trace
}

// choose returns one of n choices at a place that depends on an unknown, always the same on one
// way.
func (e *evaluation) choose(at site, n int) int {
	if c, ok := e.given[at]; ok {
		if !slices.ContainsFunc(e.taken, func(t choice) bool { return t.at == at }) {
			e.taken = append(e.taken, choice{at, c})
		}
		return min(c, n-1)
	}
	if !e.split[at] && len(e.ways) <= maxWays {
		e.split[at] = true
		for c := 1; c < n; c++ {
			e.ways = append(e.ways, append(slices.Clone(e.taken), choice{at, c}))
		}
	}
	e.given[at] = 0
	e.taken = append(e.taken, choice{at, 0})
	return 0
}

// spend counts work. It reports whether the evaluation may go on.
func (e *evaluation) spend(units int) bool {
	e.work += units
	e.budget.left -= units
	return e.work < maxWork && e.budget.left > 0
}

func (e *evaluation) note(at Place, text string) {
	n := Note{at, text}
	if len(e.trace.Notes) < maxRecords && !slices.Contains(e.trace.Notes, n) {
		e.trace.Notes = append(e.trace.Notes, n)
	}
}

// record adds a command that matters, once for each of its places and arguments.
func (e *evaluation) record(c Command) {
	c.After, c.Failed = slices.Clone(e.ran), e.failed
	i := slices.IndexFunc(e.trace.Commands, func(o Command) bool {
		return o.At == c.At && o.Dir == c.Dir && slices.Equal(o.Argv, c.Argv)
	})
	if i < 0 {
		if len(e.trace.Commands) == maxRecords {
			e.note(c.At, "it runs too many commands: some were not read")
			return
		}
		i = len(e.trace.Commands)
		c.Env, c.Locks, c.Wrappers = maps.Clone(c.Env), slices.Clone(c.Locks), slices.Clone(c.Wrappers)
		e.trace.Commands = append(e.trace.Commands, c)
	}
	e.ran = append(e.ran, i)
}

// wrote adds a file that is written.
func (e *evaluation) wrote(at Place, file string) {
	w := Write{at, file}
	if Known(file) && len(e.trace.Writes) < maxRecords && !slices.Contains(e.trace.Writes, w) {
		e.trace.Writes = append(e.trace.Writes, w)
	}
}

// other adds a program that is only named.
func (e *evaluation) other(c Command) {
	known := slices.ContainsFunc(e.trace.Others, func(o Command) bool { return o.At == c.At && o.Argv[0] == c.Argv[0] })
	if !known && len(e.trace.Others) < maxRecords {
		c.Argv = slices.Clone(c.Argv)
		e.trace.Others = append(e.trace.Others, c)
	}
}
