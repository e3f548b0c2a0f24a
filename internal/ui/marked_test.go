package ui

import (
	"strings"
	"testing"
)

// TestReportLines wraps below the label, and colours where colours are.
func TestReportLines(t *testing.T) {
	t.Parallel()
	lines := []Line{
		{Text: "m.example.org", Mark: Title},
		{Label: "  status  ", Text: "503 Service Unavailable of a file with a name", Mark: Bad},
		{Label: "  a\x1b[2J  ", Text: "b\x1b[2J"},
		{},
	}
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"pipe": {Options{}, "m.example.org\n  status  503 Service Unavailable of a file with a name\n  a\\x1b[2J  b\\x1b[2J\n\n"},
		"narrow": {Options{Width: 40}, "m.example.org\n  status  503 Service Unavailable of a\n          file with a name\n" +
			"  a\\x1b[2J  b\\x1b[2J\n\n"},
		"colours": {Options{Color: "always"}, "\x1b[1mm.example.org\x1b[22m\n  status  \x1b[31;1m503 Service Unavailable of a file with a name\x1b[0;22m\n" +
			"  a\\x1b[2J  b\\x1b[2J\n\n"},
	} {
		var out strings.Builder
		New(&out, &out, test.options).Lines(lines)
		if out.String() != test.want {
			t.Errorf("%s: %q, want %q", name, out.String(), test.want)
		}
	}
	for m := Plain; m <= Faint; m++ {
		if got := newStyle(false).mark(m, "x"); got != "x" {
			t.Errorf("mark %d: %q", m, got)
		}
	}
}
