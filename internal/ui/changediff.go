package ui

import (
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// ChangeDiff is what a change does to attributes as text that a viewer of unified diffs colours: an attribute that fits on a line is "-name = old"
// and "+name = new", a longer one a unified diff with its name as the file's. It is escaped, whole however long, without a final newline, and
// has no value that is sensitive. What is deleted is not shown.
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
