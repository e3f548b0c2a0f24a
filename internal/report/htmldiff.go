package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/plain"
)

// changeView is one change on the page.
type changeView struct {
	Address string
	Action  engine.Action
	Sign    string
	Done    string
	Bad     bool
	Orphan  bool
	Later   bool
	Source  string
	Lines   []lineView
	Steps   []string
}

// lineView is one line of a diff.
type lineView struct {
	Kind string // add, del, head or same
	Text string // with its sign
	Gap  bool   // the first line of another attribute
}

func newChangeView(c *Change) changeView {
	v := changeView{
		Address: c.Address, Action: c.Action, Orphan: c.Orphan, Later: c.Later, Steps: c.Steps,
		Sign: map[engine.Action]string{
			engine.Create: "+", engine.Update: "~", engine.Delete: "−", engine.Replace: "±",
		}[c.Action],
		Done: strings.ReplaceAll(string(c.Done), "_", " "), Bad: c.Done == StepFailed,
	}
	if c.Source != nil {
		v.Source = fmt.Sprintf("%s:%d", c.Source.File, c.Source.Line)
	}
	diff := c.Diff
	if diff == "" && c.Action != engine.Delete {
		diff = attributeDiff(c.Before, c.After) // an older document
	}
	v.Lines = diffLines(diff)
	return v
}

// hunkHead matches the header of a hunk. Its groups are the numbers of lines on each side, "" for
// one.
var hunkHead = regexp.MustCompile(`^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@`)

// diffLines classifies the lines of a diff. Lines after the end of a hunk belong to other
// attributes.
func diffLines(diff string) []lineView {
	if diff == "" {
		return nil
	}
	var list []lineView
	var h hunk
	ended := false
	for line := range strings.SplitSeq(diff, "\n") {
		l := lineView{Kind: "same", Text: line}
		inside, head := h.next(line)
		switch {
		case !inside && strings.HasPrefix(line, "--- "):
			continue // the next line has the same name
		case !inside && strings.HasPrefix(line, "+++ "):
			l = lineView{"head", strings.TrimPrefix(line, "+++ "), len(list) > 0}
		case head:
			l.Kind = "head"
		case strings.HasPrefix(line, "+"):
			l.Kind, l.Gap = "add", ended
		case strings.HasPrefix(line, "-"):
			l.Kind, l.Gap = "del", ended
		}
		ended = inside && !h.open() || ended && strings.HasPrefix(line, "\\")
		list = append(list, l)
	}
	return list
}

// hunk follows the hunks of a unified diff: a line within one may look like a header.
type hunk struct{ before, after int } // lines that are left on each side

func (h *hunk) open() bool { return h.before > 0 || h.after > 0 }

// next takes a line of the diff. inside reports whether it belongs to a hunk, head whether it
// begins one.
func (h *hunk) next(line string) (inside, head bool) {
	inside = h.open()
	if m := hunkHead.FindStringSubmatch(line); !inside && m != nil {
		h.before, h.after = lineCount(m[1]), lineCount(m[2])
		return false, true
	}
	if !strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "\\") {
		h.before--
	}
	if !strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "\\") {
		h.after--
	}
	return inside, false
}

// lineCount parses a group of hunkHead. An empty group counts as one line, and so does an overflow.
func lineCount(s string) int {
	n, err := strconv.Atoi(s)
	if s == "" || err != nil {
		return 1
	}
	return n
}

// attributeDiff makes the diff of a change from a document without diffs.
func attributeDiff(before, after map[string]any) string {
	names := map[string]bool{}
	for _, m := range []map[string]any{before, after} {
		for name := range m {
			names[name] = true
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, hadOld := attributeText(before, name)
		wanted, hasNew := attributeText(after, name)
		switch {
		case hadOld && hasNew && old == wanted:
		case strings.Contains(old+wanted, "\n"):
			b.WriteString(udiff.Unified(name, name, old, wanted))
		default:
			if hadOld {
				fmt.Fprintf(&b, "-%s = %s\n", name, old)
			}
			if hasNew {
				fmt.Fprintf(&b, "+%s = %s\n", name, wanted)
			}
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// attributeText returns a multi-line string unchanged, and any other value as JSON.
func attributeText(m map[string]any, name string) (string, bool) {
	v, ok := m[name]
	if s, is := v.(string); is && strings.Contains(s, "\n") {
		return s, true
	}
	text, err := json.Marshal(v)
	if !ok || err != nil {
		return "", ok
	}
	return string(plain.VisibleJSON(text)), true
}
