package ui

import (
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// compact prints one change on a line: its address, what it changes, and what cannot be undone. Of
// an update with one short attribute, the values are shown, else the names of the attributes.
func (s *stream) compact(h *engine.HostPlan, c *engine.Change) string {
	line := s.changeHead(h, c)
	if changes := attributeChanges(c); c.Action == engine.Update && len(changes) > 0 {
		line += " " + s.compactChanges(changes)
	}
	for i := range c.Steps {
		line += s.style.dim(notUndoable(&c.Steps[i]))
	}
	return line + "\n"
}

func (s *stream) compactChanges(changes []attributeChange) string {
	if a := changes[0]; len(changes) == 1 && a.before != nil && a.after != nil && !a.sensitive() {
		before, after := a.value(a.before), a.value(a.after)
		if old, wanted := inline(before), inline(after); !multiline(before) && !multiline(after) && columns(old)+columns(wanted) <= maxInline {
			old, wanted = s.style.change("", old, "", wanted)
			return plain.Escape(a.name) + " = " + old + " → " + wanted
		}
	}
	names := make([]string, len(changes))
	for i, a := range changes {
		names[i] = plain.Escape(a.name)
	}
	return strings.Join(names, ", ")
}
