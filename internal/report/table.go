package report

import (
	"fmt"
	"strings"
)

// Table returns a result as rows of cells, with a header row: the hosts, then the mirrors of a
// verify. Cells are not escaped.
func Table(r *Result) [][]string {
	rows := [][]string{{"HOST", "OUTCOME", "CHANGES", "ERROR"}}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		rows = append(rows, []string{h.Name, h.Outcome.words(), orDash(h.counts()), errorCell(h.Error)})
	}
	if r.Status != nil {
		for _, h := range r.Status.Hosts {
			if r.Host(h.Name) != nil {
				continue // it has a row already
			}
			changes := "-"
			if h.Changes != nil {
				changes = fmt.Sprint(*h.Changes)
			}
			rows = append(rows, []string{h.Name, h.outcome().words(), changes, errorCell(&h.Error)})
		}
	}
	if r.Verify != nil {
		for _, m := range r.Verify.Mirrors {
			outcome := "accepted"
			if !m.Accepted {
				outcome = "not accepted"
			}
			rows = append(rows, []string{m.Name, outcome, "-", m.Status})
		}
	}
	return rows
}

// Describe returns a summary line of a result, followed by the error of the run, if any. The error
// is not escaped.
func Describe(r *Result) string {
	return strings.TrimSpace("mirrorform " + r.title() + ": " + r.verdict() + "\n" + r.Error)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func errorCell(text *string) string {
	if text == nil {
		return ""
	}
	first, _, _ := strings.Cut(*text, "\n")
	return first
}
