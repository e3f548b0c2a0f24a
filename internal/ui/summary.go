package ui

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// Summary prints what an apply did as a result: hosts that changed, hosts that failed with the error and what to do next, and a
// line that sums up.
func (u *UI) Summary(r *engine.Result) {
	u.write(u.out, u.out.summary(r))
}

// outcomesInOrder are the outcomes as the last line counts them when not all is well.
var outcomesInOrder = []engine.Outcome{
	engine.Failed, engine.Unreachable, engine.RolledBack, engine.NotStarted, engine.Changed, engine.Unchanged,
}

func (s *stream) summary(r *engine.Result) string {
	var b strings.Builder
	n := map[engine.Outcome]int{}
	var alike []*engine.HostResult // rolled back or not started: nothing is wrong with the hosts themselves
	for _, h := range r.Hosts {
		o := h.Outcome()
		n[o]++
		switch o {
		case engine.Changed:
			b.WriteString(s.style.heading(plain.Escape(h.Host)) + ": " + s.style.green("changed") + ": " + doneText(h) + "\n")
		case engine.Failed, engine.Unreachable:
			b.WriteString(s.hostFailure(h, o))
		case engine.RolledBack, engine.NotStarted:
			alike = append(alike, h)
		}
	}
	for _, o := range []engine.Outcome{engine.RolledBack, engine.NotStarted} {
		var names []string
		for _, h := range alike {
			if h.Outcome() == o {
				names = append(names, s.style.heading(plain.Escape(h.Host)))
			}
		}
		if len(names) > 0 {
			b.WriteString(listNames(names) + ": " + s.style.yellow(string(o)) + "\n")
		}
		for _, h := range alike {
			if final := finalSteps(h.NotDone); o == engine.RolledBack && h.Outcome() == o && len(final) > 0 {
				b.WriteString(s.paragraph(h.Host + " is as it was, but for what is final, if it was done: " + listNames(final) + "."))
			}
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	if r.Stopped != nil {
		b.WriteString(s.message(s.style.fail("The rollout has stopped:"), r.Stopped.Error(), ""))
	}
	if !r.Failed() {
		fmt.Fprintf(&b, "%s %s changed, %d unchanged.\n", s.style.green("Apply complete:"), count(n[engine.Changed], "host"), n[engine.Unchanged])
		return b.String()
	}
	var parts []string
	for _, o := range outcomesInOrder {
		switch {
		case n[o] == 0:
		case len(parts) == 0:
			parts = append(parts, count(n[o], "host")+" "+string(o))
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n[o], o))
		}
	}
	fmt.Fprintf(&b, "%s %s.\n", s.style.fail("Apply failed:"), strings.Join(parts, ", "))
	if n[engine.RolledBack]+n[engine.NotStarted] > 0 {
		b.WriteString(s.style.cyan("Next:") + " correct what failed, then go on with: mirrorform apply --limit @failed\n")
	}
	return b.String()
}

// untouched tells whether nothing was done on a host.
func untouched(r *engine.HostResult) bool { return r.State == engine.Untouched || r.State == "" }

func doneText(h *engine.HostResult) string {
	return fmt.Sprintf("%s, %d as they were", count(len(h.Done), "resource"), h.Unchanged)
}

// hostFailure tells what failed on a host, how that left it, and what to do now.
func (s *stream) hostFailure(h *engine.HostResult, o engine.Outcome) string {
	var b strings.Builder
	word := "failed"
	if o == engine.Unreachable {
		word = "unreachable"
	}
	head := s.style.heading(plain.Escape(h.Host)) + ": " + s.style.fail(word)
	if h.Failed != nil {
		head += " at " + s.style.bold(plain.Escape(h.Failed.Address))
		if h.Step != "" {
			head += " (" + plain.Escape(h.Step) + ")"
		}
	}
	b.WriteString(head + "\n")
	b.WriteString(s.message(s.style.fail("Error:"), h.Err.Error(), "  "))
	if o == engine.Failed {
		b.WriteString(s.paragraph(left(h)))
	}
	b.WriteString("  " + s.style.cyan("Next:") + " " + nextStep(h, o) + "\n") // not wrapped: it ends with a command
	return b.String()
}

// left says how an apply that failed left a host.
func left(h *engine.HostResult) string {
	changes := h.NotDone
	if h.Failed != nil {
		changes = append([]*engine.Change{h.Failed}, changes...)
	}
	of := ""
	if len(changes) > 0 {
		of = fmt.Sprintf("0 of %s changed. ", count(len(changes), "resource"))
	}
	switch h.State {
	case engine.TakenBack:
		text := of + "What was done was taken back: the host is as it was before"
		if final := finalSteps(changes); len(final) > 0 {
			text += ", but for what is final, if it was done: " + listNames(final)
		}
		return text + "."
	case engine.HalfBack:
		return "Not all could be taken back: the host is neither as it was before nor as it is wanted."
	case engine.UnknownLeft:
		return "It is not known how the host was left. It takes back by itself what was not made final."
	}
	return of + "Nothing was done on this host."
}

// finalSteps are the steps of changes that cannot be taken back.
func finalSteps(changes []*engine.Change) []string {
	var list []string
	for _, c := range changes {
		for _, step := range c.Steps {
			if step.Undo == nil && step.Final != "" {
				list = append(list, step.Summary)
			}
		}
	}
	return list
}

// paragraph prints text below a heading, wrapped.
func (s *stream) paragraph(text string) string {
	limit := 0
	if w := s.width(); w > 0 {
		limit = max(w-2, 20)
	}
	return "  " + strings.Join(wrap(escapeLines(text), limit), "\n  ") + "\n"
}

// nextStep says what to do about a failed host.
func nextStep(h *engine.HostResult, o engine.Outcome) string {
	command := func(name string) string {
		return fmt.Sprintf("mirrorform %s --limit %s", name, shellWord(h.Host))
	}
	var locked *engine.LockedError
	switch {
	case o == engine.Unreachable:
		return "when the host answers again, run: " + command("apply")
	case errors.As(h.Err, &locked) && untouched(h):
		return "when the other one is done, run: " + command("apply")
	case errors.Is(h.Err, engine.ErrManifest) && untouched(h):
		return "do what the error says, or make the manifest anew from the configuration with: mirrorform state rebuild " + shellWord(h.Host)
	case h.State == engine.HalfBack:
		return "correct what is in the way on the host, then take back the rest and apply with: " + command("apply")
	case h.State == engine.UnknownLeft:
		return "when the host answers again, see what became of it with: " + command("plan")
	}
	return "correct what the error says, then run: " + command("apply")
}

// shellWord quotes a word for a command line that a person may copy into a POSIX shell, escaped.
func shellWord(s string) string {
	bare := s != ""
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			bare = false
		}
	}
	if bare {
		return s
	}
	return "'" + strings.ReplaceAll(plain.Escape(s), "'", `'\''`) + "'"
}
