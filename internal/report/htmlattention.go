package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/mirrorform/mirrorform/internal/plain"
)

const (
	maxAttention = 12
	maxSpots     = 24
)

// card is one figure of the overview.
type card struct {
	Title, Value, Text string
	Mark               string // as that of a cell
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
		c := card{Title: "Drift", Value: fmt.Sprint(differ), Text: "of " + count(looked, "host") + " differ", Mark: look(differ > 0)}
		if differ > 0 {
			c.Text += ", in " + count(changes, "resource")
		}
		if unknown > 0 {
			c.Text += fmt.Sprintf("; %d unknown", unknown)
			c.Mark = "failed"
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
			"accepted; " + count(errors, "error") + ", " + count(warnings, "warning"), wrong(accepted < len(p.Verified)),
		})
	}
	return list
}

// attention is a reason to act, and the hosts and mirrors that have it.
type attention struct {
	Mark   string // name of the symbol
	Reason string
	Where  []spot
	More   int // entries omitted from Where
	rank   int
}

// spot is a host or mirror that needs attention.
type spot struct {
	Name, ID string
	Note     string
}

// attention lists what needs attention, the worst first. more is the number of omitted reasons.
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
		reason := "verify: AlmaLinux's service would set the status " + strconv.Quote(v.Status)
		if v.Status == "ok" {
			reason = "verify: errors that AlmaLinux's service does not check"
		}
		add(8, "failed", reason, at)
	}
	for _, m := range f.mirrors() {
		at := spot{Name: m.Host, ID: m.HostID}
		for _, r := range m.reasons() {
			at.Note = r.note
			rank := 10
			if r.mark == "look" {
				rank = 30
			}
			add(rank, r.mark, r.text, at)
		}
	}
	slices.SortStableFunc(list, func(a, b attention) int { return cmp.Compare(a.rank, b.rank) })
	if len(list) > maxAttention {
		return list[:maxAttention], len(list) - maxAttention
	}
	return list, 0
}

func shorten(s string, limit int) string {
	if r := []rune(plain.Escape(s)); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}

// problems returns the problems of the newest document that is not only a status or verify.
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
