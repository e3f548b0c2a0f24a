package ui

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// PlanOptions configure how a plan is printed.
type PlanOptions struct {
	// Full prints long values in full.
	Full bool
	// OmitProblems omits the problems of resources, which the caller has printed as diagnostics.
	// Errors of whole hosts are still printed.
	OmitProblems bool
	// Expand prints each host, also if the plans of several differ in nothing but their own values.
	Expand bool
	// Compact prints a line for each change.
	Compact bool
	// Waves are the waves of a rollout, in order. With them, hosts are grouped by wave. A wave that
	// is Last has no number.
	Waves []engine.Wave

	grouped bool // hides the digests in files that mirrorform generates
	summary bool // of new ones, prints the number of lines
}

// Plan prints a plan as a result: the changes and errors of each host, in the plan's order, and a
// summary line.
func (u *UI) Plan(p *engine.Plan, o PlanOptions) {
	u.write(u.out, u.out.plan(p, o))
}

func (s *stream) plan(p *engine.Plan, o PlanOptions) string {
	if len(o.Waves) > 0 && p.Counts().Changes() > 0 {
		return s.waves(p, o) + s.planSummary(p)
	}
	return s.hostPlans(p, o, false) + s.planSummary(p)
}

// hostPlans prints the hosts that have changes, problems or notes, and one line that counts the
// others. If no host has any, that line is printed only when all is set: the summary already counts
// them.
func (s *stream) hostPlans(p *engine.Plan, o PlanOptions, all bool) string {
	var b strings.Builder
	idle, silent := 0, ""
	for _, g := range groups(p.Hosts, o) {
		h := g.hosts[0]
		if len(g.hosts) > 1 {
			b.WriteString(s.groupPlan(g, o) + "\n")
		} else if text := s.hostPlan(h, o); text != "" {
			b.WriteString(text + "\n")
		} else if !h.Failed() {
			idle++
			silent = h.Host
		}
	}
	if idle > 0 && (all || idle < len(p.Hosts)) {
		who := count(idle, "host")
		if idle == 1 {
			who = plain.Escape(silent)
		}
		b.WriteString(who + ": no changes\n\n")
	}
	return b.String()
}

// hostPlan returns "" for a host without changes, problems and notes.
func (s *stream) hostPlan(h *engine.HostPlan, o PlanOptions) string {
	var b strings.Builder
	if h.Err != nil {
		b.WriteString(s.message(s.style.fail("Error:"), h.Err.Error(), "  "))
	}
	if !o.OmitProblems {
		for _, p := range h.Problems {
			b.WriteString(s.problem(p))
		}
	}
	for _, note := range h.Notes {
		b.WriteString(s.message(s.style.cyan("Note:"), note, "  "))
	}
	b.WriteString(s.changes(h, o))
	if b.Len() == 0 {
		return ""
	}
	return s.style.heading(plain.Escape(h.Host)) + ": " + hostCounts(h) + "\n" + strings.TrimRight(b.String(), "\n") + "\n"
}

func hostCounts(h *engine.HostPlan) string {
	one := engine.Plan{Hosts: []*engine.HostPlan{h}}
	c := one.Counts()
	var parts []string
	for _, part := range []struct {
		n    int
		verb string
	}{{c.Create, "create"}, {c.Update, "update"}, {c.Delete, "delete"}, {c.Replace, "replace"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", part.n, part.verb))
		}
	}
	switch {
	case h.Failed():
		return "plan failed"
	case len(parts) == 0:
		return "no changes"
	}
	return strings.Join(parts, ", ")
}

// message prints a label and text below a heading, wrapped.
func (s *stream) message(label, text, indent string) string {
	limit := 0
	if w := s.width(); w > 0 {
		limit = max(w-len(indent)-len("Warning: "), 20)
	}
	lines := wrap(escapeLines(text), limit)
	return indent + label + " " + strings.Join(lines, "\n"+indent+"  ") + "\n"
}

func (s *stream) problem(p *engine.ResourceProblem) string {
	label := s.style.fail("Error:")
	if p.Severity == engine.Warning {
		label = s.style.warn("Warning:")
	}
	shown := p.Shown()
	text := shown.Summary
	if p.Resource != nil {
		text = p.Resource.String() + ": " + text
	}
	if shown.Detail != "" {
		text += "\n" + shown.Detail
	}
	return s.message(label, text, "  ")
}

// change prints one change: its address, its attributes, its steps.
func (s *stream) change(h *engine.HostPlan, c *engine.Change, o PlanOptions) string {
	if o.Compact {
		return s.compact(h, c)
	}
	var b strings.Builder
	b.WriteString(s.changeHead(h, c) + "\n")
	changes := attributeChanges(c)
	if c.Action == engine.Delete {
		changes = nil // the content of a deleted file may be long
	}
	name := 0
	for _, a := range changes {
		name = max(name, columns(plain.Escape(a.name)))
	}
	for _, a := range changes {
		if after := a.value(a.after); o.summary && a.before == nil && multiline(after) && generated(c, a.name) {
			lines := strings.Count(strings.TrimSuffix(text(after), "\n"), "\n") + 1
			b.WriteString("      " + pad(plain.Escape(a.name), name) + " = " + s.style.dim("("+count(lines, "line")+", see --expand)") + "\n")
			continue
		}
		line := s.attribute(a, name, o)
		if o.grouped && generated(c, a.name) {
			line = HideDigests(line)
		}
		b.WriteString(line)
	}
	for _, step := range c.Steps {
		line := "→ " + plain.Escape(h.StepSummary(c, &step)) + notUndoable(&step)
		b.WriteString("      " + s.style.dim(line) + "\n")
	}
	return b.String()
}

// notUndoable says that a step cannot be undone, and why, or "".
func notUndoable(step *engine.Step) string {
	if step.Undo != nil || step.Final == "" || step.Final == engine.ChangesNothing {
		return ""
	}
	return " (cannot be undone: " + plain.Escape(step.Final) + ")"
}

// changeHead names a change.
func (s *stream) changeHead(h *engine.HostPlan, c *engine.Change) string {
	var b strings.Builder
	b.WriteString("  " + s.symbol(c.Action) + " " + s.style.bold(plain.Escape(c.Address)))
	if why := orphaned(c); why != "" {
		b.WriteString(" " + s.style.yellow("("+why+")"))
	}
	if h.Later(c) {
		b.WriteString(" " + s.style.yellow("(later)"))
	}
	if len(c.Also) > 0 {
		b.WriteString(s.style.dim(" and " + plain.Escape(strings.Join(c.Also, ", "))))
	}
	return b.String()
}

// orphaned returns why a resource is deleted that the configuration does not mention, or "".
func orphaned(c *engine.Change) string {
	switch {
	case c.Resource == nil || !c.Resource.Orphan:
		return ""
	case c.Resource.Now != "":
		return fmt.Sprintf("%s, replaced by %s", plain.Escape(c.Type), plain.Escape(c.Resource.Now))
	case c.Resource.Source == "":
		return "no longer in the configuration"
	}
	return "no longer in the configuration, was at " + plain.Escape(c.Resource.Source)
}

func (s *stream) symbol(a engine.Action) string {
	switch a {
	case engine.Create:
		return s.style.green("+")
	case engine.Update:
		return s.style.yellow("~")
	case engine.Delete:
		return s.style.red("-")
	case engine.Replace:
		return s.style.red("-") + "/" + s.style.green("+")
	}
	return "?"
}

func (s *stream) attribute(a attributeChange, name int, o PlanOptions) string {
	const indent = "      "
	// A value that only the found state has: the target of a symlink where a file is wanted, for
	// example.
	found := s.style.dim("(found)")
	head := indent + pad(plain.Escape(a.name), name)
	if a.sensitive() {
		return head + " = " + s.style.dim(SensitiveValue) + "\n"
	}
	before, after := a.value(a.before), a.value(a.after)
	if multiline(before) || multiline(after) {
		limit := maxDiffLines
		if o.Full {
			limit = 0
		}
		label := ""
		if a.after == nil {
			label = " " + found
		}
		return indent + plain.Escape(a.name) + label + ":\n" +
			s.style.diffText(valueDiff(a, before, after), indent+"  ", limit)
	}
	old, wanted := inline(before), inline(after)
	if !o.Full {
		old, wanted = focus(old, wanted)
		old, wanted = truncate(old, maxDiffWidth), truncate(wanted, maxDiffWidth)
	}
	switch {
	case a.before == nil:
		return head + " = " + s.style.green(wanted) + "\n"
	case a.after == nil:
		return head + " = " + s.style.red(old) + " " + found + "\n"
	}
	old, wanted = s.style.change("", old, "", wanted)
	return head + " = " + old + " → " + wanted + "\n"
}

func (attributeChange) value(a *engine.Attribute) any {
	if a == nil {
		return nil
	}
	return plainValue(a.Value)
}

// valueDiff compares values line by line. A value without a counterpart is shown whole.
func valueDiff(a attributeChange, before, after any) []diffLine {
	switch {
	case a.before == nil:
		return side('+', text(after))
	case a.after == nil:
		return side('-', text(before))
	}
	for _, v := range []any{before, after} {
		if str, ok := v.(string); ok && binary(str) {
			return []diffLine{{'-', inline(before)}, {'+', inline(after)}}
		}
	}
	return diff(text(before), text(after))
}

// planSummary returns the last line of a plan, after a line that names the hosts that failed, if
// any.
func (s *stream) planSummary(p *engine.Plan) string {
	c := p.Counts()
	changed, failed := 0, []string(nil)
	for _, h := range p.Hosts {
		switch {
		case h.Failed():
			failed = append(failed, plain.Escape(h.Host))
		case len(h.Changes) > 0:
			changed++
		}
	}
	var b strings.Builder
	if len(failed) > 0 {
		b.WriteString(s.style.fail("Plan failed for "+count(len(failed), "host")+":") + " " + listNames(failed) + "\n")
	}
	switch {
	case len(p.Hosts) == 0:
		b.WriteString("No changes. No hosts are selected.\n")
	case c.Changes() > 0:
		counts := fmt.Sprintf("%d to create, %d to update, %d to delete", c.Create, c.Update, c.Delete)
		if c.Replace > 0 {
			counts += fmt.Sprintf(", %d to replace", c.Replace)
		}
		fmt.Fprintf(&b, "%s %s on %s.\n", s.style.bold("Plan:"), counts, count(changed+failedWithChanges(p), "host"))
	case len(failed) < len(p.Hosts):
		n, match := len(p.Hosts)-len(failed), "match"
		if n == 1 {
			match = "matches"
		}
		fmt.Fprintf(&b, "%s %s %s the configuration (%s).\n",
			s.style.green("No changes."), count(n, "host"), match, count(c.Unchanged, "resource"))
	}
	return b.String()
}

func failedWithChanges(p *engine.Plan) int {
	n := 0
	for _, h := range p.Hosts {
		if h.Failed() && len(h.Changes) > 0 {
			n++
		}
	}
	return n
}

// listNames joins escaped names. It lists the first eight and counts the rest.
func listNames(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
