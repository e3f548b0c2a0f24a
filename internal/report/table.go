package report

import (
	"fmt"
	"strings"
)

// Table is a result as rows of cells for people, with a row of heads: the hosts, then the mirrors of a verify and of a status. Cells are not escaped.
func Table(r *Result) [][]string {
	rows := [][]string{{"HOST", "OUTCOME", "CHANGES", "ERROR"}}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		rows = append(rows, []string{h.Name, h.Outcome.words(), orDash(h.counts()), errorCell(h.Error)})
	}
	if r.Status != nil {
		for _, h := range r.Status.Hosts {
			if r.Host(h.Name) != nil {
				continue // a row has it
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

// Describe says in a line how a result is, with the error of the run as a whole below. It is not escaped but for what it counts.
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
