package ui

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
)

// outcome is how a host ended.
type outcome int

const (
	unchanged outcome = iota
	changed
	failed
	unreachable
	outcomes // how many there are
)

func outcomeOf(r *engine.HostResult) outcome {
	var u interface{ Unreachable() bool }
	switch {
	case r.Err != nil && untouched(r) && errors.As(r.Err, &u) && u.Unreachable():
		return unreachable
	case r.Err != nil:
		return failed
	case len(r.Done) > 0:
		return changed
	}
	return unchanged
}

// untouched tells whether nothing was done on a host.
func untouched(r *engine.HostResult) bool { return r.State == engine.Untouched || r.State == "" }

// Summary prints what an apply did as a result: hosts that changed, hosts that failed with the error and what to do next, and a
// line that sums up. An error with a method Unreachable() bool that is true makes a host unreachable instead of failed.
func (u *UI) Summary(r *engine.Result) {
	u.write(u.out, u.out.summary(r))
}

func (s *stream) summary(r *engine.Result) string {
	var b strings.Builder
	var n [outcomes]int
	for _, h := range r.Hosts {
		o := outcomeOf(h)
		n[o]++
		switch o {
		case changed:
			b.WriteString(s.style.heading(Escape(h.Host)) + ": " + s.style.green("changed") + ": " + doneText(h) + "\n")
		case failed, unreachable:
			b.WriteString(s.hostFailure(h, o))
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	if n[failed]+n[unreachable] == 0 {
		fmt.Fprintf(&b, "%s %s changed, %d unchanged.\n", s.style.green("Apply complete:"), count(n[changed], "host"), n[unchanged])
		return b.String()
	}
	var parts []string
	for _, p := range []struct {
		o    outcome
		text string
	}{{failed, "failed"}, {unreachable, "unreachable"}, {changed, "changed"}, {unchanged, "unchanged"}} {
		switch {
		case n[p.o] == 0:
		case len(parts) == 0:
			parts = append(parts, count(n[p.o], "host")+" "+p.text)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n[p.o], p.text))
		}
	}
	fmt.Fprintf(&b, "%s %s.\n", s.style.fail("Apply failed:"), strings.Join(parts, ", "))
	return b.String()
}

func doneText(h *engine.HostResult) string {
	return fmt.Sprintf("%s, %d as they were", count(len(h.Done), "resource"), h.Unchanged)
}

// hostFailure tells what failed on a host, how that left it, and what to do now.
func (s *stream) hostFailure(h *engine.HostResult, o outcome) string {
	var b strings.Builder
	word := "failed"
	if o == unreachable {
		word = "unreachable"
	}
	head := s.style.heading(Escape(h.Host)) + ": " + s.style.fail(word)
	if h.Failed != nil {
		head += " at " + s.style.bold(Escape(h.Failed.Address))
		if h.Step != "" {
			head += " (" + Escape(h.Step) + ")"
		}
	}
	b.WriteString(head + "\n")
	b.WriteString(s.message(s.style.fail("Error:"), h.Err.Error(), "  "))
	if o == failed {
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
func nextStep(h *engine.HostResult, o outcome) string {
	command := func(name string) string {
		return fmt.Sprintf("mirrorform %s --limit %s", name, shellWord(h.Host))
	}
	var locked *engine.LockedError
	switch {
	case o == unreachable:
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
	plain := s != ""
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			plain = false
		}
	}
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(Escape(s), "'", `'\''`) + "'"
}
