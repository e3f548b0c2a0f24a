package cli

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// The columns of status that name a row.
const (
	hostColumn   = 0
	mirrorColumn = 2
)

// statusTable has columns for certificates, for the rsync daemon and for the hub if a mirror has
// one.
func statusTable(hosts []report.HostStatus) [][]ui.Cell {
	has := func(what func(m report.MirrorStatus) bool) bool {
		return slices.ContainsFunc(hosts, func(h report.HostStatus) bool { return slices.ContainsFunc(h.Mirrors, what) })
	}
	optional := []struct {
		title string
		shown bool
		cell  func(m *report.MirrorStatus) ui.Cell
	}{
		{"CERTIFICATE", has(func(m report.MirrorStatus) bool { return m.Certificate != nil }),
			func(m *report.MirrorStatus) ui.Cell { return certificateCell(m.Certificate) }},
		{"RSYNC", has(func(m report.MirrorStatus) bool { return m.Rsync != "" }),
			rsyncCell},
		{"HUB", has(func(m report.MirrorStatus) bool { return m.Hub != nil }),
			func(m *report.MirrorStatus) ui.Cell { return ui.Cell{Text: cmp.Or(m.HubText(), "-")} }},
	}
	titles := []string{"HOST", "STATE", "MIRROR", "LAST SYNC", "RESULT", "TIME", "USED", "FREE", "FULL IN", "NEXT SYNC"}
	for _, o := range optional {
		if o.shown {
			titles = append(titles, o.title)
		}
	}
	rows := [][]ui.Cell{{}}
	for _, title := range append(titles, "LOCK") {
		rows[0] = append(rows[0], ui.Cell{Text: title, Mark: ui.Title})
	}
	for _, h := range hosts {
		name, state := ui.Cell{Text: h.Name}, stateCell(&h)
		for _, m := range h.Mirrors {
			cells := append([]ui.Cell{name, state}, statusCells(&m)...)
			for _, o := range optional {
				if o.shown {
					cells = append(cells, o.cell(&m))
				}
			}
			rows = append(rows, append(cells, lockCell(&m)))
		}
		if len(h.Mirrors) == 0 {
			rows = append(rows, []ui.Cell{name, state})
		}
	}
	return rows
}

// stateCell is how a host compares with the configuration.
func stateCell(h *report.HostStatus) ui.Cell {
	switch {
	case !h.Reachable:
		return ui.Cell{Text: "unreachable", Mark: ui.Bad}
	case h.Changes == nil:
		return ui.Cell{Text: "?", Mark: ui.Bad}
	case *h.Changes == 0:
		return ui.Cell{Text: "as configured", Mark: ui.Good}
	case *h.Changes == 1:
		return ui.Cell{Text: "drifted: 1 change", Mark: ui.Caution}
	}
	return ui.Cell{Text: fmt.Sprintf("drifted: %d changes", *h.Changes), Mark: ui.Caution}
}

// statusCells are the cells of a mirror that each mirror has, but for that of its lock.
func statusCells(m *report.MirrorStatus) []ui.Cell {
	last, age, used, free, full, next := "?", "?", "?", "?", "?", "?"
	if m.LastSync != nil {
		last = ago(*m.LastSyncAge)
	}
	switch {
	case m.TimeAge != nil:
		age = ago(*m.TimeAge)
	case m.Distribution == syncs.OtherDistribution:
		age = "-"
	}
	if m.Used != nil && m.Available != nil {
		used, free = humanize.IBytes(*m.Used), humanize.IBytes(*m.Available)
	}
	if m.DaysUntilFull != nil {
		full = fmt.Sprintf("%.0f days", math.Floor(*m.DaysUntilFull))
	}
	if m.NextRun != nil && m.Clock != nil {
		next = "in " + ui.Span(int64(m.NextRun.Sub(*m.Clock)/time.Second))
	}
	late, soon := ui.Plain, ui.Plain
	if m.Late() {
		late = ui.Bad
	}
	if m.FullSoon() {
		soon = ui.Caution
	}
	return []ui.Cell{
		{Text: m.Name}, {Text: last}, resultCell(m), {Text: age, Mark: late}, {Text: used}, {Text: free},
		{Text: full, Mark: soon}, {Text: next},
	}
}

// resultCell is the result of the last sync.
func resultCell(m *report.MirrorStatus) ui.Cell {
	cell := ui.Cell{Text: cmp.Or(m.Result(), "?")}
	switch {
	case m.LastSync != nil && !m.LastSync.Succeeded():
		cell.Mark = ui.Bad
	case m.Held != nil && *m.Held:
		cell.Mark = ui.Caution
	case m.LastSync != nil:
		cell.Mark = ui.Good
	}
	return cell
}

// rsyncCell is what the host's rsync daemon does with a mirror.
func rsyncCell(m *report.MirrorStatus) ui.Cell {
	cell := ui.Cell{Text: cmp.Or(m.Rsync, "-")}
	switch m.Rsync {
	case report.NotServed:
		cell.Mark = ui.Bad
	case report.RsyncFull:
		cell.Mark = ui.Caution
	}
	return cell
}

// lockCell is whether a sync is running.
func lockCell(m *report.MirrorStatus) ui.Cell {
	if m.Locked == nil {
		return ui.Cell{Text: "?"}
	}
	return ui.Cell{Text: map[bool]string{true: "held", false: "free"}[*m.Locked]}
}
