package resources

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// The rsync daemon reads /etc/rsyncd.conf, and what that includes, again for each client. A syntax
// error anywhere refuses every client, while systemd says that the daemon is active. So all that is
// written is parsed by rsync itself first.

const (
	rsyncdMain   = "/etc/rsyncd.conf"
	rsyncdDir    = "/etc/rsyncd.d"
	rsyncdSuffix = ".conf" // what &include reads of a directory
)

// What mirrorform adds to rsyncd.conf: the marker, and the lines after it that begin with one of
// these. A text without a final newline gets one, which the other marker records.
const (
	rsyncdMarker   = "# The next lines are mirrorform's. They may stay without any module.\n"
	rsyncdUnended  = "# The next lines, and the end of the line before, are mirrorform's.\n"
	rsyncdMade     = "# mirrorform made this file for its modules.\n"
	rsyncdInclude  = "&include " + rsyncdDir + "\n"
	rsyncdMOTDLine = "motd file = "
)

// rsyncdConf is what mirrorform has to know of rsyncd.conf.
type rsyncdConf struct {
	text     string // without mirrorform's own lines
	added    bool   // mirrorform's lines are in it
	absent   bool   // the file does not exist
	sections []rsyncdSection
	globals  map[string]string // parameters of the daemon, by name without spaces in lower case
	names    []string          // names of all parameters, like those of globals
	includes bool              // it includes rsyncdDir by itself
	broken   int               // the first line that rsync cannot parse; 0: none
	before   int               // where in text what is for all modules ends
}

// rsyncdSection is a module in rsyncd.conf.
type rsyncdSection struct {
	name, path string
	line       int
}

// readRsyncd parses the text of rsyncd.conf (params.c and loadparm.c of rsync).
func readRsyncd(found string) *rsyncdConf {
	c := &rsyncdConf{globals: map[string]string{}}
	c.strip(found)
	c.before = len(c.text)
	at, comments, global := 0, -1, true
	lines := strings.SplitAfter(c.text, "\n")
	for i := 0; i < len(lines); i++ {
		line, begins, number := strings.TrimSpace(lines[i]), at, i+1
		at += len(lines[i])
		comment := strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";")
		for !comment && strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			at += len(lines[i])
			line = strings.TrimSuffix(line, `\`) + strings.TrimSpace(lines[i])
		}
		switch {
		case comment:
			if comments < 0 {
				comments = begins
			}
			continue
		case line == "":
		case line[0] == '[':
			name, _, ok := strings.Cut(line[1:], "]")
			name = strings.Join(strings.Fields(name), " ")
			if !ok || name == "" {
				c.broken = cmp.Or(c.broken, number)
			}
			if global = isGlobalSection(name); !global {
				c.sections = append(c.sections, rsyncdSection{name: name, line: number})
				if len(c.sections) == 1 {
					c.before = begins
					if comments >= 0 {
						c.before = comments
					}
				}
			}
		case line[0] == '&':
			c.include(line)
		default:
			c.parameter(line, global)
		}
		comments = -1
	}
	return c
}

func isGlobalSection(name string) bool {
	name = strings.ToLower(name)
	return name == "global" || name == "globals"
}

// strip removes mirrorform's own lines.
func (c *rsyncdConf) strip(found string) {
	c.text = found
	marker := rsyncdMarker
	before, after, ok := strings.Cut(found, marker)
	if !ok {
		marker = rsyncdUnended
		before, after, ok = strings.Cut(found, marker)
	}
	if !ok {
		return
	}
	if marker == rsyncdUnended {
		before = strings.TrimSuffix(before, "\n")
	}
	for line := range strings.Lines(after) {
		if line != rsyncdInclude && !strings.HasPrefix(line, rsyncdMOTDLine) {
			break
		}
		after = after[len(line):]
	}
	c.text, c.added = before+after, true
}

// include notes a directive that reads other files.
func (c *rsyncdConf) include(line string) {
	directive, p, _ := strings.Cut(line[1:], " ")
	if strings.EqualFold(directive, "include") && strings.TrimSuffix(strings.TrimSpace(p), "/") == rsyncdDir {
		c.includes = true
	}
}

// parameter notes a line with a name and a value. rsync ignores spaces and case in names.
func (c *rsyncdConf) parameter(line string, global bool) {
	name, value, _ := strings.Cut(line, "=")
	name = parameterName(name)
	c.names = append(c.names, name)
	value = strings.TrimSpace(value)
	switch {
	case global:
		c.globals[name] = value
	case name == "path" && len(c.sections) > 0:
		c.sections[len(c.sections)-1].path = value
	}
}

func parameterName(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), "")) }

// with returns the text with mirrorform's lines: before the first module, so that what is for all
// modules counts for its own, and no other line is read differently.
func (c *rsyncdConf) with(motd string) string {
	lines := ""
	if motd != "" && c.globals["motdfile"] != motd {
		lines += rsyncdMOTDLine + motd + "\n"
	}
	if !c.includes {
		lines += rsyncdInclude
	}
	if lines == "" {
		return c.text
	}
	head, marker := c.text[:c.before], rsyncdMarker
	if head != "" && !strings.HasSuffix(head, "\n") {
		head, marker = head+"\n", rsyncdUnended
	}
	return head + marker + lines + c.text[c.before:]
}

// rsyncdHost is what a module needs of the daemon's configuration on its host.
type rsyncdHost struct {
	importing []byte           // the text of rsyncd.conf that includes the module; nil: it does already
	restored  []byte           `fingerprint:"-"` // for a removal: the text without mirrorform's lines
	added     bool             // there are such lines
	made      bool             // mirrorform made the file, so that it goes with the last module
	last      bool             // there is no other file in the directory
	problems  []engine.Problem `fingerprint:"-"`
}

var (
	rsyncdMainQuery = wire.Query{Verb: wire.AskFile, Arg: rsyncdMain, Option: "content"}
	rsyncdDirQuery  = wire.Query{Verb: wire.AskFile, Arg: rsyncdDir}
)

// settleRsyncd compares rsyncd.conf with what all modules of the host want.
func settleRsyncd(t engine.Target, s *RsyncModule, got engine.Answers) (h rsyncdHost) {
	main, err := got.File(rsyncdMainQuery)
	if err != nil {
		return h // Read reports it
	}
	if main.Kind != wire.Absent && (main.Kind != wire.Regular || !main.HasContent) {
		h.problems = append(h.problems, refusal("",
			fmt.Sprintf("%s: %s is not a regular file, or is too large", t.Name, rsyncdMain),
			"make it a file, which rsync reads for each client"))
		return h
	}
	c := readRsyncd(string(main.Content))
	if c.absent = main.Kind == wire.Absent; c.absent {
		c.text, c.before = rsyncdMade, len(rsyncdMade)
	}
	motd, problems := wantedMOTD(t, s, c)
	if text := c.with(motd); text != string(main.Content) {
		h.importing = []byte(text)
	}
	h.restored, h.added, h.made = []byte(c.text), c.added, c.text == rsyncdMade
	dir, err := got.File(rsyncdDirQuery)
	if err == nil && dir.Kind == wire.Directory {
		h.last = lastRsyncModule(t, s, dir.Entries)
		if !c.includes && !c.added {
			h.problems = append(h.problems, strangers(t, s, dir.Entries)...)
		}
	}
	h.problems = slices.Concat(h.problems, problems, clash(t, s, c))
	if !anotherRsyncModule(t.Settled) {
		h.problems = append(h.problems, checkRsyncd(t, s, c, got)...)
	}
	return h
}

// include returns the step that has rsyncd.conf include the modules.
func (h *rsyncdHost) include() []engine.Step {
	if h.importing == nil {
		return nil
	}
	return []engine.Step{writeRsyncd("include the modules in "+rsyncdDir+" in "+rsyncdMain, h.importing)}
}

// exclude returns the step that removes mirrorform's lines from rsyncd.conf.
func (h *rsyncdHost) exclude() []engine.Step {
	switch {
	case h.made:
		return []engine.Step{removal(rsyncdMain)}
	case h.added:
		return []engine.Step{writeRsyncd("restore "+rsyncdMain+", which includes no modules of mirrorform", h.restored)}
	}
	return nil
}

func writeRsyncd(summary string, content []byte) engine.Step {
	write := &wire.WriteOp{Path: rsyncdMain, Content: content, Validate: rsyncdCheck}
	return engine.Step{Summary: summary, Do: wire.Op{Write: write}, Undo: restore(rsyncdMain)}
}

// rsyncModules returns the modules that this comparison wants.
func rsyncModules(t engine.Target) (modules []*RsyncModule) {
	for _, list := range [][]any{t.Settled, t.Unsettled} {
		for _, o := range list {
			if m, ok := o.(*RsyncModule); ok {
				modules = append(modules, m)
			}
		}
	}
	return modules
}

// anotherRsyncModule reports whether a module is among states.
func anotherRsyncModule(states []any) bool {
	return slices.ContainsFunc(states, func(o any) bool { _, ok := o.(*RsyncModule); return ok })
}

// clash refuses a module whose name one of the operator's has.
func clash(t engine.Target, s *RsyncModule, c *rsyncdConf) (out []engine.Problem) {
	for _, section := range c.sections {
		if strings.EqualFold(section.name, s.Name) {
			out = append(out, refusal("name",
				fmt.Sprintf("%s: %s:%d has a module %s already", t.Name, rsyncdMain, section.line, s.Name),
				"remove that module, or use another name"))
		}
	}
	return out
}

// ourRsyncModules returns the names of s and of all modules that mirrorform manages on the host.
func ourRsyncModules(t engine.Target, s *RsyncModule) []string {
	names := []string{s.Name}
	for _, m := range rsyncModules(t) {
		names = append(names, m.Name)
	}
	for _, r := range t.Records {
		if m, ok := r.State.(*RsyncModule); ok {
			names = append(names, m.Name)
		}
	}
	return names
}

// wantedMOTD returns the file that every client gets first. The daemon has one for all modules.
func wantedMOTD(t engine.Target, s *RsyncModule, c *rsyncdConf) (motd string, out []engine.Problem) {
	motd = s.MOTD
	for _, m := range rsyncModules(t) {
		if motd != "" && m.MOTD != "" && m.MOTD != motd {
			out = append(out, refusal("motd",
				fmt.Sprintf("the modules %s and %s have different files: %s and %s", s.Name, m.Name, motd, m.MOTD),
				"the daemon has one for all modules: set the same file, or remove one of them"))
		}
		motd = cmp.Or(motd, m.MOTD)
	}
	for _, r := range t.Records {
		if m, ok := r.State.(*RsyncModule); ok && !r.Own {
			motd = cmp.Or(motd, m.MOTD)
		}
	}
	if has := c.globals["motdfile"]; motd != "" && has != "" && has != motd {
		out = append(out, refusal("motd", fmt.Sprintf("%s: %s has another motd file already: %s", t.Name, rsyncdMain, has),
			"remove motd, or that line"))
	}
	return motd, out
}

// lastRsyncModule reports whether the plan empties the directory of modules, and removes s as the
// last.
func lastRsyncModule(t engine.Target, s *RsyncModule, entries []string) bool {
	if len(rsyncModules(t)) > 0 {
		return false
	}
	last, rest := s.Name, slices.Clone(entries)
	for _, o := range append(slices.Clip(t.Removed), s) {
		m, ok := o.(*RsyncModule)
		if !ok {
			continue
		}
		if i := slices.Index(rest, m.Name+rsyncdSuffix); i >= 0 {
			last, rest = m.Name, slices.Delete(rest, i, i+1)
		}
	}
	return len(rest) == 0 && last == s.Name
}

// strangers refuses to include a directory that has files of others, which nothing reads yet.
func strangers(t engine.Target, s *RsyncModule, entries []string) []engine.Problem {
	ours := ourRsyncModules(t, s)
	var others []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e, rsyncdSuffix)
		if ok && !slices.Contains(ours, name) {
			others = append(others, bareOrQuoted(e))
		}
	}
	if len(others) == 0 {
		return nil
	}
	return []engine.Problem{refusal("",
		fmt.Sprintf("%s: %s does not include %s, and to include it would publish what others have there: %s",
			t.Name, rsyncdMain, rsyncdDir, enumerate(others)),
		"move these files away, or add the line "+strings.TrimSpace(rsyncdInclude)+" before the first module yourself")}
}

// expanded is what rsync replaces in a value by an environment variable (rsyncd.conf(5)).
var expanded = regexp.MustCompile(`%[A-Za-z_][A-Za-z0-9_]*%`)

// checkRsyncdValue refuses a value that rsync would read differently.
func checkRsyncdValue(s string) error {
	switch {
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%q begins or ends with a space, which rsync drops", s)
	case strings.HasSuffix(s, `\`):
		return fmt.Errorf(`%q ends with a backslash, which joins it to the next line`, s)
	case expanded.MatchString(s):
		return fmt.Errorf("%q has a name between percent signs, which rsync replaces", s)
	}
	return nil
}

var (
	excludeWord = regexp.MustCompile(`^[^\s,\\]+$`)
	clientWord  = regexp.MustCompile(`^[A-Za-z0-9*?\[:@][A-Za-z0-9.:/*?\[\]@%_-]*$`)
	optionWord  = regexp.MustCompile(`^!?[A-Za-z0-9*?][A-Za-z0-9*?-]*$`)
)

// checkRsyncdWords checks a list that rsync reads as words of one line.
func checkRsyncdWords(attribute, what string, words []string, valid *regexp.Regexp) (out []engine.Problem) {
	for _, w := range words {
		err := checkText(w)
		if err == nil {
			err = checkRsyncdValue(w)
		}
		if err == nil && !valid.MatchString(w) {
			err = fmt.Errorf("invalid %s %q: it has to be one word of a line in rsyncd.conf(5)", what, w)
		}
		out = append(out, report(attribute, err)...)
	}
	return out
}
