package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// fleet is what documents say together.
type fleet struct {
	documents []*Result // from the oldest to the newest; those without a time last, in the order given
	hosts     []*hostView
	byName    map[string]*hostView
	status    map[string]*HostStatus // the newest, by host
	reports   []*upstream.Report     // the newest of each mirror
}

// observation is what one document says of one host.
type observation struct {
	document *Result
	outcome  Outcome
	changes  int
	host     *Host // nil when it is a status, which has no more than that
}

// hostView is one host as the page shows it.
type hostView struct {
	ID      string // of its element
	Name    string
	Address string
	Labels  []string // "name=value", sorted
	Local   bool
	Outcome Outcome // "" when no document has looked at it
	Changes int
	At      stamp
	Command string
	Told    bool // there is something to read of it

	Counts   string // of changes by action; "" where a status came after the result that has them
	Found    string // the same of that result
	From     stamp  // when what follows was found
	FromWhat string // and by which command
	Error    string
	Left     engine.Left
	Warnings []string
	Notes    []string
	Diffs    []changeView

	TimeAge, FullIn, Verify cell

	seen []observation
}

// cell is a value of a table that may not be known.
type cell struct {
	Text string // "" when it is not known
	Sort float64
	Mark string // of its symbol, where somebody should look at it: "failed" or "look"
}

// Word is an outcome for people.
func (o Outcome) Word() string {
	if o == "" {
		return "not looked at"
	}
	return o.words()
}

// badness orders outcomes, those first that somebody has to look at.
func badness(o Outcome) int {
	order := []Outcome{Failed, Unreachable, RolledBack, NotStarted, Drifted, Changed, OK}
	if i := slices.Index(order, o); i >= 0 {
		return i
	}
	return len(order)
}

// Rank is the place of the host's outcome in that order.
func (h *hostView) Rank() int { return badness(h.Outcome) }

// Word is the host's outcome for people.
func (h *hostView) Word() string { return h.Outcome.Word() }

// ChangesKnown tells whether the number of changes is that of a plan.
func (h *hostView) ChangesKnown() bool {
	return h.Changes > 0 || h.Outcome == OK || h.Outcome == Changed || h.Outcome == NotStarted
}

// Text is what a filter looks in.
func (h *hostView) Text() string {
	return strings.ToLower(strings.Join(append([]string{h.Name, h.Address, h.Word()}, h.Labels...), " "))
}

// LabelLines are the labels, one on each line.
func (h *hostView) LabelLines() string { return strings.Join(h.Labels, "\n") }

func newFleet(results []*Result) *fleet {
	f := &fleet{byName: map[string]*hostView{}, status: map[string]*HostStatus{}, documents: slices.Clone(results)}
	slices.SortStableFunc(f.documents, func(a, b *Result) int {
		if a.dated() != b.dated() {
			return map[bool]int{true: -1, false: 1}[a.dated()]
		}
		return a.End.Compare(b.End)
	})
	reports := map[string]int{}
	for _, d := range f.documents {
		for i := range d.Hosts {
			h := &d.Hosts[i]
			f.see(h.Name, observation{d, h.Outcome, len(h.Changes), h})
		}
		if d.Status != nil {
			for i := range d.Status.Hosts {
				s := &d.Status.Hosts[i]
				f.status[s.Name] = s
				if d.Host(s.Name) == nil { // else the document says more
					f.see(s.Name, observation{document: d, outcome: s.outcome(), changes: s.changes()})
				}
			}
		}
		if d.Verify != nil {
			for _, m := range d.Verify.Mirrors {
				if i, ok := reports[m.Name]; ok {
					f.reports[i] = m
					continue
				}
				reports[m.Name] = len(f.reports)
				f.reports = append(f.reports, m)
			}
		}
	}
	for _, m := range f.reports {
		if m.Host != "" {
			f.host(m.Host)
		}
	}
	for _, h := range f.hosts {
		h.conclude()
		if s := f.status[h.Name]; s != nil {
			h.addStatus(s)
		}
	}
	for _, m := range f.reports {
		if h := f.byName[m.Host]; h != nil {
			h.Verify = verifyCell(m, h.Verify)
		}
	}
	slices.SortStableFunc(f.hosts, func(a, b *hostView) int {
		return cmp.Or(cmp.Compare(a.Rank(), b.Rank()), cmp.Compare(a.Name, b.Name))
	})
	for i, h := range f.hosts {
		h.ID = fmt.Sprintf("h%d", i+1)
	}
	return f
}

func (f *fleet) host(name string) *hostView {
	h := f.byName[name]
	if h == nil {
		h = &hostView{Name: name}
		f.byName[name] = h
		f.hosts = append(f.hosts, h)
	}
	return h
}

func (f *fleet) see(name string, o observation) {
	h := f.host(name)
	h.seen = append(h.seen, o)
}

// outcome says of a status what a plan's result would say.
func (s *HostStatus) outcome() Outcome {
	switch {
	case !s.Reachable:
		return Unreachable
	case s.Error != "" || s.Changes == nil:
		return Failed
	case *s.Changes > 0:
		return Drifted
	}
	return OK
}

func (s *HostStatus) changes() int {
	if s.Changes == nil {
		return 0
	}
	return *s.Changes
}

// conclude takes what was seen of a host last. A status without a time is not known to be newer than a result, which says more.
func (h *hostView) conclude() {
	var last, result *observation
	for i := range h.seen {
		o := &h.seen[i]
		if o.host != nil {
			result = o
		}
		if o.host != nil || o.document.dated() || result == nil {
			last = o
		}
	}
	if last == nil {
		return
	}
	h.Outcome, h.Changes, h.At, h.Command = last.outcome, last.changes, stamp{last.document.End}, newDocumentView(last.document).Command
	if result == nil {
		return
	}
	r := result.host
	h.Address, h.Local = r.Address, r.Local
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		h.Labels = append(h.Labels, name+"="+r.Labels[name])
	}
	h.From, h.FromWhat = stamp{result.document.End}, newDocumentView(result.document).Command
	if r.Error != nil {
		h.Error = *r.Error
	}
	h.Left, h.Warnings, h.Notes = r.Left, r.Warnings, r.Notes
	actions := map[engine.Action]int{}
	for i := range r.Changes {
		h.Diffs = append(h.Diffs, newChangeView(&r.Changes[i]))
		actions[r.Changes[i].Action]++
	}
	var parts []string
	for _, a := range []engine.Action{engine.Create, engine.Update, engine.Replace, engine.Delete} {
		if n := actions[a]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, a))
		}
	}
	h.Found = strings.Join(parts, ", ")
	if last == result {
		h.Counts = h.Found
	}
	h.Told = h.Error != "" || len(h.Warnings)+len(h.Notes)+len(h.Diffs) > 0
}

// addStatus takes the worst of a host's mirrors.
func (h *hostView) addStatus(s *HostStatus) {
	for i := range s.Mirrors {
		m := newMirrorView(s.Name, &s.Mirrors[i])
		if m.TimeAge.Text != "" && (h.TimeAge.Text == "" || m.TimeAge.Sort > h.TimeAge.Sort) {
			h.TimeAge = m.TimeAge
		}
		if m.FullIn.Text != "" && (h.FullIn.Text == "" || m.FullIn.Sort < h.FullIn.Sort) {
			h.FullIn = m.FullIn
		}
	}
}

// outcomeCount is how many hosts have an outcome.
type outcomeCount struct {
	Outcome Outcome
	Word    string
	N       int
	X, W    float64 // its part of a bar or circle of 100
}

func countOutcomes(hosts []*hostView) []outcomeCount {
	n := map[Outcome]int{}
	for _, h := range hosts {
		n[h.Outcome]++
	}
	return shares(n, len(hosts))
}

// shares lays outcomes out on a bar, the good ones first.
func shares(n map[Outcome]int, all int) []outcomeCount {
	var list []outcomeCount
	at := 0.0
	for _, o := range append(slices.Clone(Outcomes), "") {
		if n[o] == 0 {
			continue
		}
		w := 100 * float64(n[o]) / float64(all)
		list = append(list, outcomeCount{o, o.Word(), n[o], math.Round(at*100) / 100, math.Round(w*100) / 100})
		at += w
	}
	return list
}

// Turn is where its part of a circle begins, as an offset of a dash.
func (c outcomeCount) Turn() float64 { return -c.X }

// labelsOf are the labels that hosts have, as a filter offers them.
func labelsOf(hosts []*hostView) []string {
	all := map[string]bool{}
	for _, h := range hosts {
		for _, l := range h.Labels {
			all[l] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
