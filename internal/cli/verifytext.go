package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/internal/plain"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// shownPaths is how many files of a finding are printed. --json prints all.
const shownPaths = 3

// verifyText is what verify prints.
func verifyText(reports []*upstream.Report, now time.Time) string {
	var b strings.Builder
	accepted := 0
	for _, r := range reports {
		reportText(&b, r, now)
		b.WriteString("\n")
		if r.Accepted {
			accepted++
		}
	}
	noun := "mirrors"
	if len(reports) == 1 {
		noun = "mirror"
	}
	fmt.Fprintf(&b, "Checked %d %s: %d accepted, %d not.", len(reports), noun, accepted, len(reports)-accepted)
	return b.String()
}

func reportText(b *strings.Builder, r *upstream.Report, now time.Time) {
	title := r.Name
	if r.Host != "" {
		title += " (host " + r.Host + ")"
	}
	fmt.Fprintf(b, "%s\n", plain.Escape(title))
	line := func(what, format string, args ...any) {
		fmt.Fprintf(b, "  %-22s %s\n", what, plain.Escape(fmt.Sprintf(format, args...)))
	}
	line("upstream would store", "%s", r.Status)
	if r.Private {
		line("private", "upstream does not check it")
	} else {
		line("upstream notes", "%s", strings.Join(notes(r), ", "))
	}
	if r.Time != nil {
		line("TIME", "%s, %s", r.Time.Format("2006-01-02 15:04 MST"), humanize.RelTime(*r.Time, now, "ago", "from now"))
	}
	for _, c := range r.Certificates {
		line("certificate", "%s until %s, %d days left, by %s", c.Host, c.NotAfter.Format(time.DateOnly), c.DaysLeft, c.Issuer)
	}
	for _, a := range r.Addresses {
		line("address", "%s", strings.Join(append([]string{a.IP}, locations(a)...), "; "))
	}
	if len(r.Routes) > 0 {
		line("checked over", "%s", strings.Join(r.Routes, ", "))
	}
	line("requests", "%d, with %s; metadata files: %d compared by content, %d by size",
		r.Requests, humanize.Bytes(uint64(max(r.Bytes, 0))), r.Verified, r.Sized)
	seen := func(f upstream.Finding) bool { return f.Upstream }
	findingsText(b, "upstream sees", slices.DeleteFunc(slices.Clone(r.Findings), func(f upstream.Finding) bool { return !seen(f) }))
	findingsText(b, "upstream does not see", slices.DeleteFunc(slices.Clone(r.Findings), seen))
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

func findingsText(b *strings.Builder, title string, list []upstream.Finding) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "  %s:\n", title)
	for _, f := range list {
		fmt.Fprintf(b, "    %-8s %s: %s\n", f.Severity, f.Check, plain.Escape(f.Message))
		detail := func(format string, args ...any) {
			fmt.Fprintf(b, "             %s\n", plain.Escape(fmt.Sprintf(format, args...)))
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
}
