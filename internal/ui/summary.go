package ui

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// Summary prints the outcome of an apply as a result: the changed hosts, each failed host with its
// error and the next step, and a summary line. Unchanged hosts are only counted.
func (u *UI) Summary(r *engine.Result) {
	u.write(u.out, u.out.summary(r))
}

// outcomesInOrder is the order in which the last line of a failed apply counts outcomes.
var outcomesInOrder = []engine.Outcome{
	engine.Failed, engine.Unreachable, engine.RolledBack, engine.NotStarted, engine.Changed, engine.Unchanged,
}

func (s *stream) summary(r *engine.Result) string {
	var b strings.Builder
	n := map[engine.Outcome]int{}
	var alike []*engine.HostResult // rolled back or not started because of other hosts
	for _, h := range r.Hosts {
		o := h.Outcome()
		n[o]++
		switch o {
		case engine.Changed:
			b.WriteString(s.style.heading(plain.Escape(h.Host)) + ": " + s.changedText(h) + "\n")
		case engine.Failed, engine.Unreachable:
			b.WriteString(s.hostFailure(h, o))
		case engine.RolledBack, engine.NotStarted:
			alike = append(alike, h)
		}
	}
	b.WriteString(s.alikeText(alike))
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	if r.Stopped != nil {
		b.WriteString(s.message(s.style.fail("Rollout stopped:"), r.Stopped.Error(), ""))
	}
	if !r.Failed() {
		fmt.Fprintf(&b, "%s %s changed, %d unchanged.\n",
			s.style.green("Apply complete:"), count(n[engine.Changed], "host"), n[engine.Unchanged])
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
		b.WriteString(s.style.cyan("Next:") + " fix the errors, then continue with: mirrorform apply --limit @failed\n")
		if names := dependents(alike); len(names) > 0 {
			b.WriteString("  or, without the hosts that have to come first: mirrorform apply --limit " +
				shellWord(strings.Join(names, ",")) + "\n")
		}
	}
	return b.String()
}

// dependents returns the hosts that were not started because of hosts that have to come first.
func dependents(list []*engine.HostResult) (names []string) {
	for _, h := range list {
		if errors.As(h.Err, new(*engine.DependencyError)) {
			names = append(names, h.Host)
		}
	}
	return names
}

// alikeText reports the hosts that were rolled back or not started, together if the reason is the
// same.
func (s *stream) alikeText(alike []*engine.HostResult) string {
	var b strings.Builder
	for _, o := range []engine.Outcome{engine.RolledBack, engine.NotStarted} {
		var outcomes []string
		names := map[string][]string{} // by outcome with its reason
		for _, h := range alike {
			if h.Outcome() != o {
				continue
			}
			outcome := s.style.yellow(string(o))
			if d := (*engine.DependencyError)(nil); errors.As(h.Err, &d) {
				outcome += ": " + plain.Escape(d.Error())
			}
			if names[outcome] == nil {
				outcomes = append(outcomes, outcome)
			}
			names[outcome] = append(names[outcome], s.style.heading(plain.Escape(h.Host)))
		}
		for _, outcome := range outcomes {
			b.WriteString(listNames(names[outcome]) + ": " + outcome + "\n")
		}
		for _, h := range alike {
			if final := finalSteps(h.NotDone); o == engine.RolledBack && h.Outcome() == o && len(final) > 0 {
				b.WriteString(s.paragraph(notUndone("On "+h.Host+", these", final)))
			}
		}
	}
	return b.String()
}

// untouched reports whether nothing was changed on a host.
func untouched(r *engine.HostResult) bool { return r.State == engine.Untouched || r.State == "" }

func (s *stream) changedText(h *engine.HostResult) string {
	return count(len(h.Done), "resource") + " " + s.style.green("changed") + fmt.Sprintf(", %d unchanged", h.Unchanged)
}

// hostFailure reports what failed on a host, the state of the host, and the next step.
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

// left describes the state of a host after an apply failed on it.
func left(h *engine.HostResult) string {
	changes := h.NotDone
	if h.Failed != nil {
		changes = append([]*engine.Change{h.Failed}, changes...)
	}
	switch h.State {
	case engine.TakenBack:
		text := "All changes on this host were rolled back"
		if len(changes) > 0 {
			text += fmt.Sprintf(": 0 of %s changed", count(len(changes), "resource"))
		}
		if final := finalSteps(changes); len(final) > 0 {
			return text + ". " + notUndone("These", final)
		}
		return text + "."
	case engine.PartlyDone:
		text := "The other changes on this host were applied, and stay"
		if len(h.Done) > 0 {
			text += fmt.Sprintf(": %d of %s changed", len(h.Done), count(len(h.Done)+len(changes), "resource"))
		}
		text += ". This one, and what depends on it, was rolled back"
		if final := finalSteps(changes); len(final) > 0 {
			return text + ". " + notUndone("These", final)
		}
		return text + "."
	case engine.HalfBack:
		return "Some changes could not be rolled back: the host matches neither its earlier state nor the configuration."
	case engine.UnknownLeft:
		return "The state of this host is unknown. The host rolls back by itself what was not committed."
	}
	return "Nothing was changed on this host."
}

// notUndone names the steps that a rollback leaves behind. Which of them ran is not known here.
func notUndone(these string, final []string) string {
	return these + " steps cannot be undone, if they ran: " + listNames(final) + "."
}

// finalSteps returns the steps of changes that cannot be undone.
func finalSteps(changes []*engine.Change) []string {
	var list []string
	for _, c := range changes {
		for _, step := range c.Steps {
			if step.Undo == nil && step.Final != "" && step.Final != engine.ChangesNothing {
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

// nextStep returns what to do about a failed host, with a command to copy.
func nextStep(h *engine.HostResult, o engine.Outcome) string {
	command := func(name string) string {
		return fmt.Sprintf("mirrorform %s --limit %s", name, shellWord(h.Host))
	}
	var locked *engine.LockedError
	switch {
	case o == engine.Unreachable:
		return "when the host is reachable again, run: " + command("apply")
	case errors.As(h.Err, &locked) && untouched(h):
		return "when the other run has ended, run: " + command("apply")
	case errors.Is(h.Err, engine.ErrManifest) && untouched(h):
		return "fix the error, or rebuild the manifest from the configuration with: mirrorform state rebuild " +
			shellWord(h.Host)
	case h.State == engine.HalfBack:
		return "fix the error on the host, then roll back the rest and apply again with: " + command("apply")
	case h.State == engine.UnknownLeft:
		return "when the host is reachable again, check its state with: " + command("plan")
	}
	return "fix the error, then run: " + command("apply")
}

// shellWord escapes a word and quotes it for a POSIX shell.
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
