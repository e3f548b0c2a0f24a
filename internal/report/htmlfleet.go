package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/ui"
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

func (r *Result) dated() bool { return !r.End.IsZero() }

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

// card is one figure of the overview.
type card struct {
	Title, Value, Text string
	Bad                bool
}

func cards(p *page) []card {
	var list []card
	differ, changes, looked, unknown := 0, 0, 0, 0
	for _, h := range p.Hosts {
		switch h.Outcome {
		case Drifted, RolledBack, NotStarted:
			differ++
			changes += h.Changes
		case Failed, Unreachable:
			unknown++
		}
		if h.Outcome != "" {
			looked++
		}
	}
	if looked > 0 {
		c := card{Title: "Drift", Value: fmt.Sprint(differ), Text: "of " + count(looked, "host") + " differ", Bad: differ > 0}
		if differ > 0 {
			c.Text += ", in " + count(changes, "resource")
		}
		if unknown > 0 {
			c.Text += fmt.Sprintf("; of %d it is not known", unknown)
		}
		list = append(list, c)
	}
	if p.HasStatus {
		list = append(list, syncCard(p.Mirrors), storageCard(p.Mirrors))
	}
	if p.HasVerify {
		accepted, errors, warnings := 0, 0, 0
		for _, v := range p.Verified {
			if v.Accepted {
				accepted++
			}
			errors, warnings = errors+v.Errors, warnings+v.Warnings
		}
		list = append(list, card{
			"Verify", fmt.Sprintf("%d of %d", accepted, len(p.Verified)),
			"accepted; " + count(errors, "error") + ", " + count(warnings, "warning"), accepted < len(p.Verified),
		})
	}
	return list
}

// attention is something that somebody should look at, and where.
type attention struct {
	Mark   string // the name of its symbol
	Reason string
	Where  []spot
	More   int // what Where leaves out
	rank   int
}

// spot is a host or mirror that has something.
type spot struct {
	Name, ID string
	Note     string
}

const (
	maxAttention = 12
	maxSpots     = 24
	// In days:
	fullSoon        = 30
	certificateSoon = 14
)

// attention lists what should be looked at, the worst first; more is how many reasons it leaves out.
func (f *fleet) attention(verified []verifyView) (list []attention, more int) {
	add := func(rank int, mark, reason string, at spot) {
		i := slices.IndexFunc(list, func(a attention) bool { return a.Reason == reason })
		if i < 0 {
			i = len(list)
			list = append(list, attention{Mark: mark, Reason: reason, rank: rank})
		}
		if a := &list[i]; len(a.Where) < maxSpots {
			a.Where = append(a.Where, at)
		} else {
			a.More++
		}
	}
	for _, h := range f.hosts {
		at := spot{Name: h.Name, ID: h.ID}
		line := firstLine(h.Error)
		switch {
		case h.Outcome == Unreachable || h.Outcome.Bad() && line == "":
			add(h.Rank(), string(h.Outcome), h.Word(), at)
		case h.Outcome.Bad():
			add(h.Rank(), string(h.Outcome), h.Word()+": "+shorten(line, 140), at)
		case h.Outcome == Drifted:
			at.Note = count(h.Changes, "change")
			add(20, string(h.Outcome), h.Word(), at)
		}
	}
	for _, v := range verified {
		if v.Accepted {
			continue
		}
		at := spot{Name: v.Name, ID: v.ID}
		if v.Host != "" {
			at = spot{Name: v.Host, ID: v.HostID}
		}
		reason := "verify: AlmaLinux's service would store " + strconv.Quote(v.Status)
		if v.Status == "ok" {
			reason = "verify: errors that AlmaLinux's service does not see"
		}
		add(8, "look", reason, at)
	}
	for _, m := range f.mirrors() {
		at := spot{Name: m.Host, ID: m.HostID}
		for _, r := range m.reasons() {
			at.Note = r.note
			add(10, "look", r.text, at)
		}
	}
	slices.SortStableFunc(list, func(a, b attention) int { return cmp.Compare(a.rank, b.rank) })
	if len(list) > maxAttention {
		return list[:maxAttention], len(list) - maxAttention
	}
	return list, 0
}

func shorten(s string, limit int) string {
	if r := []rune(ui.Escape(s)); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}

// problems are those of the newest document that is more than a status or verify.
func (f *fleet) problems() []problemView {
	for _, d := range slices.Backward(f.documents) {
		if len(d.Hosts) == 0 && (d.Status != nil || d.Verify != nil) {
			continue
		}
		var list []problemView
		if d.Error != "" {
			list = append(list, problemView{Severity: "error", Summary: d.Error})
		}
		for _, p := range d.Problems {
			v := problemView{Severity: p.Severity, Summary: p.Summary, Detail: p.Detail}
			if p.File != "" {
				v.Place = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
			}
			list = append(list, v)
		}
		return list
	}
	return nil
}
