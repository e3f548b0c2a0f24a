package ui

import (
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// ChangeDiff returns what a change does to attributes as text that diff viewers can colour. An
// attribute that fits on a line is shown as "-name = old" and "+name = new", a longer one as a
// unified diff with the attribute's name as file name. The text is escaped, never shortened, and
// has no final newline. Sensitive values are redacted. The attributes of a deleted resource are not
// shown.
func ChangeDiff(c *engine.Change) string {
	if c.Action == engine.Delete {
		return ""
	}
	s := newStyle(false)
	var b strings.Builder
	line := func(sign, name, value string) { b.WriteString(sign + name + " = " + value + "\n") }
	for _, a := range attributeChanges(c) {
		name := plain.Escape(a.name)
		before, after := a.value(a.before), a.value(a.after)
		if a.sensitive() {
			before, after = nil, nil
		}
		if multiline(before) || multiline(after) {
			b.WriteString("--- " + name + "\n+++ " + name + "\n" + s.diffText(valueDiff(a, before, after), "", 0))
			continue
		}
		old, wanted := inline(before), inline(after)
		if a.sensitive() {
			old, wanted = SensitiveValue, SensitiveValue
		}
		if a.before != nil {
			line("-", name, old)
		}
		if a.after != nil {
			line("+", name, wanted)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
