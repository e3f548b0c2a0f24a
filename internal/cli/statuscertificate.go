package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
)

func newCertificate(file string, c *syncs.Certificate, now time.Time) *report.Certificate {
	switch {
	case c == nil:
		return nil
	case c.Err != nil:
		return &report.Certificate{File: file, Error: c.Err.Error()}
	}
	left := c.DaysLeft(now)
	return &report.Certificate{File: file, NotBefore: &c.NotBefore, NotAfter: &c.NotAfter, DaysLeft: &left}
}

// certificateWarnings has one warning for each file: a mirror and its Kitten have the same.
func certificateWarnings(h *report.HostStatus) []string {
	var list []string
	for _, m := range h.Mirrors {
		c := m.Certificate
		if c == nil {
			continue
		}
		text := h.Name + ": the certificate " + c.File
		switch {
		case c.DaysLeft == nil || c.NotAfter == nil:
			text += " is not known: " + c.Error + ". To see what the host lacks: mirrorform plan --limit '" + h.Name + "'"
		case !c.Soon():
			continue
		default:
			day := c.NotAfter.UTC().Format(time.DateOnly)
			if *c.DaysLeft < 0 {
				text += " expired on " + day
			} else {
				text += " expires on " + day + ", in " + days(*c.DaysLeft)
			}
			if strings.HasPrefix(c.File, "/etc/letsencrypt/") {
				text += ". On the host, to see whether its timer runs: systemctl list-timers '*certbot*'. To renew it: certbot renew"
			} else {
				text += ". Renew it on the host; the web server loads the file when it changes"
			}
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

func days(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

func certificateCell(c *report.Certificate) ui.Cell {
	switch {
	case c == nil:
		return ui.Cell{Text: "-"}
	case c.DaysLeft == nil || c.NotBefore == nil:
		return ui.Cell{Text: "?", Mark: ui.Caution}
	}
	issued := ", issued " + c.NotBefore.Format(time.DateOnly)
	switch {
	case *c.DaysLeft < 0:
		return ui.Cell{Text: "expired" + issued, Mark: ui.Bad}
	case c.Soon():
		return ui.Cell{Text: days(*c.DaysLeft) + issued, Mark: ui.Caution}
	}
	return ui.Cell{Text: days(*c.DaysLeft) + issued}
}
