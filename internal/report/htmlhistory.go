package report

import (
	"fmt"
	"slices"
	"strings"
)

// historyView is the history of the documents with a time.
type historyView struct {
	Runs    []runView // the newest first
	Columns []outcomeCount
	Lines   []timeline
	Width   int // of a timeline, in pixels
	First   stamp
	Last    stamp
	Left    int // number of runs before the timelines start
}

// runView is one document.
type runView struct {
	At       stamp
	Command  string
	Shard    string
	Error    string
	Hosts    int
	Counts   []int // in the order of historyView.Columns
	Changes  int
	Duration string
	Seconds  float64
	Bar      []outcomeCount
}

// timeline is one host's outcomes in the runs.
type timeline struct {
	Host    *hostView
	Marks   []timeMark
	Said    string // text alternative of the marks
	Since   stamp
	SinceIn bool // all runs had this outcome
	Differ  int
	Bad     int
	Runs    int
}

type timeMark struct {
	X     int
	State Outcome
	Title string
}

const (
	maxRuns   = 40 // in a timeline
	markWidth = 14 // pixels
)

// history returns nil if fewer than two documents have a time and data about hosts.
func (f *fleet) history() *historyView {
	var runs []*Result
	for _, d := range f.documents {
		if d.dated() && (len(d.Hosts) > 0 || d.Verify == nil) {
			runs = append(runs, d)
		}
	}
	if len(runs) < 2 {
		return nil
	}
	h := &historyView{First: stamp{runs[0].End}, Last: stamp{runs[len(runs)-1].End}, Left: max(0, len(runs)-maxRuns)}
	h.addRuns(runs)
	shown := runs[h.Left:]
	h.Width = len(shown) * markWidth
	for _, host := range f.hosts {
		if t, ok := newTimeline(host, shown); ok {
			h.Lines = append(h.Lines, t)
		}
	}
	h.First = stamp{shown[0].End}
	return h
}

func (h *historyView) addRuns(runs []*Result) {
	all := map[Outcome]int{}
	counts := make([]map[Outcome]int, len(runs))
	for i, r := range runs {
		counts[i] = r.outcomes()
		for o, n := range counts[i] {
			all[o] += n
		}
	}
	h.Columns = shares(all, 1)
	for i, r := range runs {
		view := newDocumentView(r)
		v := runView{
			At: stamp{r.End}, Command: view.Command, Shard: r.Shard, Error: r.Error, Hosts: view.Hosts,
			Changes: r.Summary.Changes(), Bar: shares(counts[i], max(1, view.Hosts)),
		}
		if r.Status != nil && len(r.Hosts) == 0 {
			for j := range r.Status.Hosts {
				v.Changes += r.Status.Hosts[j].changes()
			}
		}
		if !r.Start.IsZero() {
			v.Seconds = r.End.Sub(r.Start).Seconds()
			v.Duration = took(v.Seconds)
		}
		for _, c := range h.Columns {
			v.Counts = append(v.Counts, counts[i][c.Outcome])
		}
		h.Runs = append(h.Runs, v)
	}
	slices.Reverse(h.Runs)
}

// took formats a duration in seconds or minutes.
func took(seconds float64) string {
	if seconds < 100 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	return fmt.Sprintf("%.1f min", seconds/60)
}

func newTimeline(h *hostView, runs []*Result) (timeline, bool) {
	t := timeline{Host: h, SinceIn: true}
	var words []string
	for _, o := range h.seen {
		at := slices.Index(runs, o.document)
		if at < 0 {
			continue
		}
		title := fmt.Sprintf("%s, %s: %s", stamp{o.document.End}, newDocumentView(o.document).Command, o.outcome.Word())
		t.Marks = append(t.Marks, timeMark{at*markWidth + 1, o.outcome, title})
		t.Runs++
		switch {
		case o.outcome.Bad():
			t.Bad++
		case o.outcome != OK:
			t.Differ++
		}
		if len(words) == 0 || words[len(words)-1] != o.outcome.Word() {
			t.SinceIn = len(words) == 0
			t.Since = stamp{o.document.End}
			words = append(words, o.outcome.Word())
		}
	}
	const last = 6
	if len(words) > last {
		words = append([]string{"…"}, words[len(words)-last:]...)
	}
	t.Said = count(t.Runs, "run") + ": " + strings.Join(words, ", then ")
	return t, t.Runs > 0
}
