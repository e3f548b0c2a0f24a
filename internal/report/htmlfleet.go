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

// fleet is the combined data of documents.
type fleet struct {
	documents []*Result // oldest first; those without a time last, in the order given
	hosts     []*hostView
	byName    map[string]*hostView
	status    map[string]*HostStatus // the newest, by host
	reports   []*upstream.Report     // the newest of each mirror
}

// observation is the data of one document about one host.
type observation struct {
	document *Result
	outcome  Outcome
	changes  int
	host     *HostResult // nil for a status
}

// hostView is one host on the page.
type hostView struct {
	ID      string // of its HTML element
	Name    string
	Address string
	Labels  []string // "name=value", sorted
	Local   bool
	Outcome Outcome // "" if no document has one
	Changes int
	At      stamp
	Command string
	Told    bool // it has changes or messages

	Counts   string // changes by action; "" if a status is newer than the result
	Found    string // changes by action, of the newest result
	From     stamp  // time of that result, which has the fields below
	FromWhat string // its command
	Error    string
	Left     engine.Left
	Warnings []string
	Notes    []string
	Diffs    []changeView
	Same     *hostView // the host before that has the same changes, but for its own name and address

	TimeAge, FullIn, Verify cell

	seen   []observation
	result *HostResult // the newest
}

// cell is a table cell whose value may be unknown.
type cell struct {
	Text string // "" if unknown
	Sort float64
	Mark string // name of the symbol: "failed" if it is wrong, "look" if it needs attention
}

// Word returns an outcome in words.
func (o Outcome) Word() string {
	if o == "" {
		return "not checked"
	}
	return o.words()
}

// badness orders outcomes, the most urgent first.
func badness(o Outcome) int {
	order := []Outcome{Failed, Unreachable, RolledBack, NotStarted, Drifted, Changed, OK}
	if i := slices.Index(order, o); i >= 0 {
		return i
	}
	return len(order)
}

// Rank returns the position of the host's outcome in the order of badness.
func (h *hostView) Rank() int { return badness(h.Outcome) }

// Word returns the host's outcome in words.
func (h *hostView) Word() string { return h.Outcome.Word() }

// ChangesKnown reports whether the number of changes comes from a plan.
func (h *hostView) ChangesKnown() bool {
	return h.Changes > 0 || h.Outcome == OK || h.Outcome == Changed || h.Outcome == NotStarted
}

// Text returns the text that the filter searches.
func (h *hostView) Text() string {
	return strings.ToLower(strings.Join(append([]string{h.Name, h.Address, h.Word()}, h.Labels...), " "))
}

// LabelLines returns the labels, one per line.
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
				if d.Host(s.Name) == nil { // otherwise the document has more than the status
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

// outcome returns the outcome that a plan's result would have.
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

// conclude sets the fields from the newest observations. A status without a time may be older than
// a result, so the result, which has more data, takes precedence.
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
	h.Outcome, h.Changes = last.outcome, last.changes
	h.At, h.Command = stamp{last.document.End}, newDocumentView(last.document).Command
	if result == nil {
		return
	}
	r := result.host
	h.result = r
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

// addStatus sets the worst values of a host's mirrors.
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

// outcomeCount is the number of hosts with an outcome.
type outcomeCount struct {
	Outcome Outcome
	Word    string
	N       int
	X, W    float64 // start and width in a bar or circle of 100
}

func countOutcomes(hosts []*hostView) []outcomeCount {
	n := map[Outcome]int{}
	for _, h := range hosts {
		n[h.Outcome]++
	}
	return shares(n, len(hosts))
}

// shares distributes outcomes over a bar, the good ones first.
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

// Turn returns the start of its part of a circle, as stroke-dashoffset.
func (c outcomeCount) Turn() float64 { return -c.X }

// Chips returns the labels that the page shows. Coordinates are for the map.
func (h *hostView) Chips() []string {
	return slices.DeleteFunc(slices.Clone(h.Labels), func(l string) bool {
		name, _, _ := strings.Cut(l, "=")
		return name == "latitude" || name == "longitude"
	})
}

// labelsOf returns the labels of all hosts, for the filter.
func labelsOf(hosts []*hostView) []string {
	all := map[string]bool{}
	for _, h := range hosts {
		for _, l := range h.Chips() {
			all[l] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
