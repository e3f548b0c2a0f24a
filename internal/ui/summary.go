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
	case r.Err != nil && errors.As(r.Err, &u) && u.Unreachable():
		return unreachable
	case r.Err != nil:
		return failed
	case len(r.Done) > 0:
		return changed
	}
	return unchanged
}

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

// hostFailure tells what failed on a host, what was done before, and what to do now.
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
	if h.Failed != nil { // otherwise it is not known
		fmt.Fprintf(&b, "  %s changed, %d not.\n", count(len(h.Done), "resource"), len(h.NotRun)+1)
	}
	b.WriteString("  " + s.style.cyan("Next:") + " " + nextStep(h, o) + "\n")
	return b.String()
}

// nextStep says what to do about a failed host.
func nextStep(h *engine.HostResult, o outcome) string {
	command := func(name string) string {
		return fmt.Sprintf("mirrorform %s --limit %s", name, shellWord(h.Host))
	}
	switch {
	case o == unreachable:
		return "when the host answers again, run: " + command("apply")
	case errors.Is(h.Err, engine.ErrNotPlanned), h.Failed == nil && len(h.Done) == 0 && len(h.NotRun) == 0:
		return "nothing was changed on this host. Correct what the error says, then run: " + command("apply")
	case h.Failed == nil && len(h.NotRun) > 0:
		return "see how far the host got with: " + command("plan")
	}
	return "correct what the error says, see what is left with: " + command("plan")
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
