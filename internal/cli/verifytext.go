package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// shownPaths is how many files of a finding are printed. --json prints all.
const shownPaths = 3

// verifyText is what verify prints: of each mirror the verdict, then what is wrong, then what it
// is.
func verifyText(reports []*upstream.Report, now time.Time) []ui.Line {
	var lines []ui.Line
	accepted := 0
	for _, r := range reports {
		lines = append(append(lines, reportText(r, now)...), ui.Line{})
		if r.Accepted {
			accepted++
		}
	}
	noun := "mirrors"
	if len(reports) == 1 {
		noun = "mirror"
	}
	return append(lines, ui.Line{
		Text: fmt.Sprintf("Checked %d %s: %d accepted, %d not.", len(reports), noun, accepted, len(reports)-accepted),
	})
}

// fact is a line about a mirror.
func fact(mark ui.Mark, what, format string, args ...any) ui.Line {
	return ui.Line{Label: fmt.Sprintf("  %-22s ", what), Text: fmt.Sprintf(format, args...), Mark: mark}
}

func reportText(r *upstream.Report, now time.Time) []ui.Line {
	title := r.Name
	if r.Host != "" {
		title += " (host " + r.Host + ")"
	}
	lines := append([]ui.Line{{Text: title, Mark: ui.Title}}, verdictText(r)...)
	seen := func(f upstream.Finding) bool { return f.Upstream }
	lines = append(lines, findingsText("upstream sees",
		slices.DeleteFunc(slices.Clone(r.Findings), func(f upstream.Finding) bool { return !seen(f) }))...)
	lines = append(lines, findingsText("upstream does not see", slices.DeleteFunc(slices.Clone(r.Findings), seen))...)
	if !r.Private {
		lines = append(lines, fact(ui.Plain, "upstream notes", "%s", strings.Join(notes(r), ", ")))
	}
	if r.Time != nil {
		lines = append(lines, fact(ui.Plain, "TIME", "%s, %s",
			r.Time.Format("2006-01-02 15:04 MST"), humanize.RelTime(*r.Time, now, "ago", "from now")))
	}
	for _, c := range r.Certificates {
		lines = append(lines, fact(ui.Plain, "certificate", "%s until %s, %d days left, by %s",
			c.Host, c.NotAfter.Format(time.DateOnly), c.DaysLeft, c.Issuer))
	}
	for _, a := range r.Addresses {
		lines = append(lines, fact(ui.Plain, "address", "%s", strings.Join(append([]string{a.IP}, locations(a)...), "; ")))
	}
	if len(r.Routes) > 0 {
		lines = append(lines, fact(ui.Plain, "checked over", "%s", strings.Join(r.Routes, ", ")))
	}
	return append(lines, fact(ui.Plain, "requests", "%d, with %s; metadata files: %d compared by content, %d by size",
		r.Requests, humanize.Bytes(uint64(max(r.Bytes, 0))), r.Verified, r.Sized))
}

// verdictText is what the service stores, how it came to that, and for how long.
func verdictText(r *upstream.Report) []ui.Line {
	mark, v := ui.Good, r.Service
	if r.Status != "ok" {
		mark = ui.Bad
	}
	lines := []ui.Line{fact(mark, "upstream would store", "%s", r.Status)}
	if r.Private {
		return append(lines, fact(ui.Plain, "private", "upstream does not check it"))
	}
	if v.Kept > 0 {
		lines = append(lines, fact(ui.Plain, "upstream keeps that", "for %g h, before it checks the mirror again", float64(v.Kept)/3600))
	}
	if r.Status == "ok" && !r.Accepted {
		lines = append(lines, fact(ui.Bad, "clients", "get errors, which upstream does not see"))
	}
	if v.Attempts > 1 {
		lines = append(lines, fact(ui.Plain, "it needed", "%d attempts", v.Attempts))
	}
	if v.Blocked != "" {
		lines = append(lines, fact(ui.Plain, "refused user agent", "%s", v.Blocked))
	}
	if v.Route != "" {
		lines = append(lines, fact(ui.Plain, "upstream comes over", "%s, as %s", v.Route, v.UserAgent))
	}
	return lines
}

// notes are what the service stores besides the status.
func notes(r *upstream.Report) []string {
	yes := func(what string, ok bool) string {
		if ok {
			return what
		}
		return "no " + what
	}
	list := []string{yes("IPv6", r.IPv6), yes("full set of ISOs", r.FullISOSet)}
	return append(list, r.Modules...)
}

// locations are the places of an address in the databases.
func locations(a upstream.Address) []string {
	var list []string
	for _, l := range a.Locations {
		var parts []string
		for _, s := range []string{l.City, l.Region, l.Country} {
			if s != "" {
				parts = append(parts, s)
			}
		}
		if l.ASN != 0 {
			parts = append(parts, strings.TrimSpace(fmt.Sprintf("AS%d %s", l.ASN, l.Holder)))
		}
		source := l.Database
		if l.Distance != nil {
			source += fmt.Sprintf(", %.0f km from the configured city", *l.Distance)
		}
		list = append(list, fmt.Sprintf("%s (%s)", strings.Join(parts, ", "), source))
	}
	return list
}

// severityMarks are the colours of findings.
var severityMarks = map[upstream.Severity]ui.Mark{upstream.Error: ui.Bad, upstream.Warning: ui.Caution, upstream.Note: ui.Plain}

func findingsText(title string, list []upstream.Finding) []ui.Line {
	if len(list) == 0 {
		return nil
	}
	lines := []ui.Line{{Text: "  " + title + ":"}}
	for _, f := range list {
		lines = append(lines, ui.Line{
			Label: fmt.Sprintf("    %-8s ", f.Severity), Text: f.Check + ": " + f.Message, Mark: severityMarks[f.Severity],
		})
		detail := func(format string, args ...any) {
			lines = append(lines, ui.Line{Label: strings.Repeat(" ", 13), Text: fmt.Sprintf(format, args...)})
		}
		if len(f.Routes) > 0 {
			detail("over %s", strings.Join(f.Routes, ", "))
		}
		for i, p := range f.Paths {
			if i == shownPaths && len(f.Paths) > shownPaths+1 {
				detail("and %d more", len(f.Paths)-shownPaths)
				break
			}
			detail("%s", p)
		}
		if f.Advice != "" {
			for line := range strings.SplitSeq(f.Advice, "\n") {
				detail("%s", line)
			}
		}
	}
	return lines
}
