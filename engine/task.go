package engine

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// task is one order to the helper: a step of one change, or the installation of the packages of
// several changes in one run of the package manager.
type task struct {
	changes []*Change
	summary string
	order   wire.Order
	secrets string // see Change.secrets
	hints   []Hint
}

// failure returns the error of a failed event.
func (t *task) failure(e wire.Event) error {
	text := eventText(e)
	advice := ""
	says := func(h Hint) bool {
		return strings.Contains(e.Output, h.Text) || t.order.Op.Probe != nil && strings.Contains(e.Error, h.Text)
	}
	if i := slices.IndexFunc(t.hints, says); i >= 0 {
		advice = t.hints[i].Advice
		e.Said = lineWith(e.Output, t.hints[i].Text) // it explains more than the last line
		text = eventText(e)
	}
	switch {
	case e.Withheld:
		return fmt.Errorf("%s (the output is not shown, since it may contain sensitive values of %s%s)",
			text, t.secrets, howToSee(t.order.Op))
	case advice != "":
		text += "\nLikely cause: " + advice // before the output, which may be long
	}
	if e.Output != "" {
		text += "\n" + e.Output
	}
	return errors.New(text)
}

// lineWith returns the first line of an output that contains a text.
func lineWith(output, text string) string {
	for line := range strings.Lines(output) {
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// eventText returns the error of an event in one line.
func eventText(e wire.Event) string {
	if e.Said == "" {
		return e.Error
	}
	return e.Error + ": " + e.Said
}

// howToSee returns the command that shows the output of an operation's program on the host.
func howToSee(op wire.Op) string {
	switch {
	case op.Write != nil && len(op.Write.Validate) > 0:
		return ". To see it, write the new content to a file {} on the host and run: " + commandLine(op.Write.Validate)
	case op.Run != nil:
		return ". To see it, run on the host: " + commandLine(op.Run.Argv)
	case op.Unit != nil && op.Unit.Name != "":
		return ". To see it, run on the host: " + commandLine([]string{"journalctl", "--unit", op.Unit.Name})
	}
	return ""
}

// plainWord matches words that a shell does not interpret; {} stands for a file.
var plainWord = regexp.MustCompile(`^([A-Za-z0-9/._,:=@%+-]+|\{\})$`)

// commandLine quotes a command so that people can copy it.
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		if words[i] = a; !plainWord.MatchString(a) {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// tasksOf lists the steps of all changes. Changes that make the same unit load their files all
// write before the first load: the unit's program checks all its files, so one that a later change
// fixes would fail an earlier load. What another resource makes room for is written and checked
// before that one ends.
func tasksOf(changes []Change) []task {
	l := &taskList{listed: map[*Change]int{}}
	var held []*Change    // changes whose files are written, but not loaded yet
	var waiting []*Change // changes that have made room, and have more steps
	for i := range changes {
		c := &changes[i]
		if len(held) > 0 && !c.passes(held) {
			held = l.release(held)
		}
		later := changes[i+1:]
		l.prepare(c, later)
		until := len(c.Steps)
		if waiting = l.resume(waiting, changes[i:]); len(c.Resource.yields) > 0 {
			until, waiting = c.ends(), append(waiting, c)
		}
		if slices.ContainsFunc(held, c.shares) || c.sharesAny(later) {
			until, held = c.writes(), append(held, c)
		}
		l.add(c, until)
		if !slices.ContainsFunc(held, func(h *Change) bool { return h.sharesAny(later) }) {
			held = l.release(held)
		}
	}
	l.release(held)
	l.resume(waiting, nil)
	return l.tasks
}

// taskList is the tasks of changes, in order.
type taskList struct {
	tasks  []task
	listed map[*Change]int // how many steps of a change are in the list
}

// add adds the steps of a change up to a number of them, without those that are in the list.
func (l *taskList) add(c *Change, until int) {
	for ; l.listed[c] < until; l.listed[c]++ {
		s := c.Steps[l.listed[c]]
		if n := len(l.tasks); len(c.Steps) == 1 && n > 0 && l.tasks[n-1].merge(c, s) {
			continue
		}
		order := wire.Order{Op: s.Do, Undo: s.Undo, Final: s.Final, Private: c.secrets != ""}
		l.tasks = append(l.tasks, task{[]*Change{c}, s.Summary, order, c.secrets, s.Hints})
	}
}

// prepare adds steps of those later changes that c makes room for, up to the first one that changes
// a unit: what they write, and then the checks of that.
func (l *taskList) prepare(c *Change, later []Change) {
	for _, until := range []func(*Change) int{(*Change).writes, (*Change).checks} {
		for i := range later {
			if to := &later[i]; slices.Contains(c.Resource.yields, to.Resource) {
				l.add(to, until(to))
			}
		}
	}
}

// resume adds the other steps of changes that have made room, once nothing of what comes takes it.
func (l *taskList) resume(waiting []*Change, later []Change) []*Change {
	return slices.DeleteFunc(waiting, func(c *Change) bool {
		if slices.ContainsFunc(later, func(o Change) bool { return slices.Contains(c.Resource.yields, o.Resource) }) {
			return false
		}
		l.add(c, len(c.Steps))
		return true
	})
}

// release adds the steps of changes that follow their writes.
func (l *taskList) release(held []*Change) []*Change {
	for _, c := range held {
		l.add(c, len(c.Steps))
	}
	return nil
}

// checks returns how many steps precede the first one that changes a unit.
func (c *Change) checks() int {
	if i := slices.IndexFunc(c.Steps, func(s Step) bool { return s.Do.Unit != nil }); i >= 0 {
		return i
	}
	return len(c.Steps)
}

// writes returns how many steps precede the first one without a path.
func (c *Change) writes() int {
	for i := range c.Steps {
		if c.Steps[i].Do.Path() == "" {
			return i
		}
	}
	return len(c.Steps)
}

// passes reports whether a change may come before the load of what held changes have written: it is
// loaded with them, or it only writes and depends on none of them, or it removes what none of them
// needs.
func (c *Change) passes(held []*Change) bool {
	return slices.ContainsFunc(held, c.shares) ||
		c.writes() == len(c.Steps) && !slices.ContainsFunc(held, func(h *Change) bool { return c.Resource.needs(h.Resource) }) ||
		c.Action == Delete && !slices.ContainsFunc(held, func(h *Change) bool { return h.uses(c) })
}

// uses reports whether a change is about a resource that needs the other one.
func (c *Change) uses(other *Change) bool {
	return c.Resource.needs(other.Resource) || slices.ContainsFunc(c.needs, func(n Key) bool {
		return slices.ContainsFunc(other.provides, func(p Key) bool { return followed(p, n) })
	})
}

// shares reports whether two changes make the same unit load their files.
func (c *Change) shares(other *Change) bool {
	return slices.ContainsFunc(c.loads, func(k Key) bool { return slices.Contains(other.loads, k) })
}

func (c *Change) sharesAny(others []Change) bool {
	return len(c.loads) > 0 && slices.ContainsFunc(others, func(o Change) bool { return c.shares(&o) })
}

// merge adds a step to a task of the same program, so that it runs once: the package manager, or
// semanage. A package that depends on one of the task's may be in a repository that this one adds.
func (t *task) merge(c *Change, s Step) bool {
	needed := func(o *Change) bool { return c.Resource.needs(o.Resource) }
	if s.Do.Package != nil && slices.ContainsFunc(t.changes, needed) {
		return false
	}
	if len(t.changes[0].Steps) > 1 || !t.mergeOps(s) {
		return false
	}
	t.changes = append(t.changes, c)
	t.order.Private, t.secrets = t.order.Private || c.secrets != "", cmp.Or(t.secrets, c.secrets)
	t.summary += ", " + s.Summary
	t.hints = append(slices.Clip(t.hints), s.Hints...)
	return true
}

// mergeOps adds the operation of a step, and its undo.
func (t *task) mergeOps(s Step) bool {
	into, from := &t.order.Op, s.Do
	switch {
	case into.Policy != nil && from.Policy != nil:
		into.Policy = mergePolicy(into, &from)
		if t.order.Undo != nil || s.Undo != nil {
			// In reverse order: of the rules that match a path, the last one decides.
			t.order.Undo, t.order.Final = &wire.Op{Policy: mergePolicy(s.Undo, t.order.Undo)}, ""
		}
		return true
	case into.Package == nil || from.Package == nil || len(into.Package.Remove) > 0 || len(from.Package.Remove) > 0:
		return false
	}
	into.Package = &wire.PackageOp{Install: slices.Concat(into.Package.Install, from.Package.Install)}
	if undo := t.order.Undo; undo != nil && undo.Package != nil && s.Undo != nil && s.Undo.Package != nil {
		t.order.Undo = &wire.Op{Package: &wire.PackageOp{
			Install: slices.Concat(undo.Package.Install, s.Undo.Package.Install),
			Remove:  slices.Concat(undo.Package.Remove, s.Undo.Package.Remove),
		}}
	}
	return true
}

// mergePolicy returns what operations change in the policy, in their order. One without an undo
// adds nothing to the undo.
func mergePolicy(ops ...*wire.Op) *wire.PolicyOp {
	all := &wire.PolicyOp{}
	for _, op := range ops {
		if op != nil && op.Policy != nil {
			p := op.Policy
			all.Commands, all.Forget = append(all.Commands, p.Commands...), append(all.Forget, p.Forget...)
			all.Booleans, all.Relabel = append(all.Booleans, p.Booleans...), append(all.Relabel, p.Relabel...)
		}
	}
	return all
}
