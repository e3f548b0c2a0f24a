package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/mirrorform/mirrorform/internal/ui"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// Below these numbers of days, a mirror needs attention.
const (
	fullSoon        = 30
	certificateSoon = 14
)

// mirrorView is the status of a mirror on a host.
type mirrorView struct {
	Host, HostID, Name, Path, Error     string
	LastSync, TimeAge, FullIn, NextSync cell
	Success                             string // how long ago, if a later sync failed
	UpstreamAge                         string // of the upstream's TIME
	Result                              string
	SyncFailed                          bool
	Used                                float64 // percent
	UsedText, Free                      string
	FreeBytes                           float64
	Lock                                string
	Certificate                         cell   // empty without tls
	CertificateError                    string // why it is not known
	Rsync                               string // empty without an rsync daemon
}

func newMirrorView(host string, m *MirrorStatus) mirrorView {
	v := mirrorView{
		Host: host, Name: m.Name, Path: m.Path, Error: m.Error, Used: -1, Result: m.Result(), SyncFailed: m.SyncFailed(), Rsync: m.Rsync,
	}
	if m.SuccessAge != nil && v.SyncFailed {
		v.Success = ui.Span(*m.SuccessAge)
	}
	if m.UpstreamTime != nil && m.Clock != nil {
		v.UpstreamAge = ui.Span(m.Clock.Unix() - *m.UpstreamTime)
	}
	if m.LastSyncAge != nil {
		v.LastSync = cell{Text: ui.Span(*m.LastSyncAge), Sort: float64(*m.LastSyncAge)}
	}
	if m.TimeAge != nil {
		v.TimeAge = cell{ui.Span(*m.TimeAge), float64(*m.TimeAge), wrong(m.Late())}
		if m.Hub != nil && m.Hub.Behind != nil && *m.Hub.Behind != 0 {
			v.TimeAge.Text += ", " + m.HubText()
		}
	}
	if m.Used != nil && m.Available != nil && *m.Used+*m.Available > 0 {
		v.Used = 100 * float64(*m.Used) / (float64(*m.Used) + float64(*m.Available))
		v.UsedText, v.Free, v.FreeBytes = humanize.IBytes(*m.Used), humanize.IBytes(*m.Available), float64(*m.Available)
	}
	if d := m.DaysUntilFull; d != nil {
		v.FullIn = cell{count(int(math.Floor(*d)), "day"), *d, look(m.FullSoon())}
	}
	if m.NextRun != nil {
		v.NextSync = cell{Text: stamp{*m.NextRun}.Day(), Sort: float64(m.NextRun.Unix())}
	}
	if c := m.Certificate; c != nil {
		v.Certificate = cell{Text: "unknown", Sort: -1, Mark: "look"}
		v.CertificateError = cmp.Or(c.Error, "no reason is known")
		if d := c.DaysLeft; d != nil {
			v.Certificate, v.CertificateError = cell{count(*d, "day"), float64(*d), look(c.Soon())}, ""
			if c.Expired() {
				v.Certificate.Text, v.Certificate.Mark = "expired", "failed"
			}
		}
	}
	if m.Locked != nil {
		v.Lock = map[bool]string{true: "held", false: "free"}[*m.Locked]
	}
	return v
}

// look returns the name of the symbol for a value that needs attention.
func look(at bool) string {
	if at {
		return "look"
	}
	return ""
}

// wrong returns the name of the symbol for a value that is wrong.
func wrong(at bool) string {
	if at {
		return "failed"
	}
	return ""
}

// allowed returns the largest age of TIME, in seconds, with which AlmaLinux lists a mirror.
var allowed = sync.OnceValue(func() float64 { return upstream.BuiltIn().AllowedOutdate.Seconds() })

// reason is why a mirror needs attention, and the symbol for it. note is the value of this mirror.
type reason struct{ mark, text, note string }

func (v mirrorView) reasons() []reason {
	var list []reason
	if v.Error != "" {
		list = append(list, reason{"failed", v.Name + ": " + shorten(v.Error, 140), ""})
	}
	if v.SyncFailed {
		list = append(list, reason{"failed", v.Name + ": last sync: " + v.Result, ""})
	}
	if v.Rsync == NotServed {
		list = append(list, reason{"failed", v.Name + ": not served by the rsync daemon", ""})
	}
	if v.TimeAge.Mark != "" {
		list = append(list, reason{
			"failed", fmt.Sprintf("%s: TIME is older than %s, so AlmaLinux does not list the mirror", v.Name, ui.Span(int64(allowed()))),
			v.TimeAge.Text,
		})
	}
	if v.FullIn.Mark != "" {
		list = append(list, reason{"look", fmt.Sprintf("%s: storage full within %d days", v.Name, fullSoon), v.FullIn.Text})
	}
	switch {
	case v.CertificateError != "":
		list = append(list, reason{"look", v.Name + ": certificate not known: " + shorten(v.CertificateError, 140), ""})
	case v.Certificate.Mark == "failed":
		list = append(list, reason{"failed", v.Name + ": certificate expired", ""})
	case v.Certificate.Mark != "":
		text := fmt.Sprintf("%s: certificate expires within %d days", v.Name, certificateSoon)
		list = append(list, reason{"look", text, v.Certificate.Text})
	}
	return list
}

// mirrors returns all mirrors of the newest status of each host, in the hosts' order.
func (f *fleet) mirrors() []mirrorView {
	var list []mirrorView
	for _, h := range f.hosts {
		if s := f.status[h.Name]; s != nil {
			for i := range s.Mirrors {
				v := newMirrorView(h.Name, &s.Mirrors[i])
				v.HostID = h.ID
				list = append(list, v)
			}
		}
	}
	return list
}

func syncCard(mirrors []mirrorView) card {
	var ages []float64
	late, failed := 0, 0
	for _, m := range mirrors {
		if m.TimeAge.Text != "" {
			ages = append(ages, m.TimeAge.Sort)
		}
		if m.TimeAge.Mark != "" {
			late++
		}
		if m.SyncFailed {
			failed++
		}
	}
	c := card{Title: "Sync", Value: "unknown", Text: "no mirror has a TIME", Mark: wrong(late+failed > 0)}
	if len(ages) > 0 {
		slices.Sort(ages)
		c.Value = ui.Span(int64(ages[len(ages)/2]))
		c.Text = fmt.Sprintf("median age of TIME, oldest %s; %d older than %s",
			ui.Span(int64(ages[len(ages)-1])), late, ui.Span(int64(allowed())))
	}
	if failed > 0 {
		c.Text += "; " + count(failed, "failed sync")
	}
	return c
}

func storageCard(mirrors []mirrorView) card {
	soonest, soon := -1, 0
	fullest := -1
	for i, m := range mirrors {
		if m.FullIn.Text != "" && (soonest < 0 || m.FullIn.Sort < mirrors[soonest].FullIn.Sort) {
			soonest = i
		}
		if m.Used >= 0 && (fullest < 0 || m.Used > mirrors[fullest].Used) {
			fullest = i
		}
		if m.FullIn.Mark != "" {
			soon++
		}
	}
	c := card{Title: "Storage", Value: "unknown", Text: "no measured storage", Mark: look(soon > 0)}
	switch {
	case soonest >= 0:
		c.Value = mirrors[soonest].FullIn.Text
		c.Text = fmt.Sprintf("until the first is full (%s); %d full within %d days", mirrors[soonest].Host, soon, fullSoon)
	case fullest >= 0:
		c.Value = fmt.Sprintf("%.0f %%", mirrors[fullest].Used)
		c.Text = fmt.Sprintf("used on the fullest (%s); no forecast yet", mirrors[fullest].Host)
	}
	return c
}

// verifyView is the check of a mirror from outside.
type verifyView struct {
	ID, Name, Host, HostID, Status string
	Accepted, Private, IPv6        bool
	Errors, Warnings               int
	Found                          string // findings by severity
	Certificate                    cell
	Findings                       []upstream.Finding
	Modules                        string

	report *upstream.Report
}

func (f *fleet) verified() []verifyView {
	var list []verifyView
	for _, m := range f.reports {
		v := verifyView{
			Name: m.Name, Host: m.Host, Status: m.Status, Accepted: m.Accepted, Private: m.Private, IPv6: m.IPv6,
			Findings: m.Findings, Modules: strings.Join(m.Modules, ", "), report: m,
		}
		if h := f.byName[m.Host]; h != nil {
			v.HostID = h.ID
		}
		found := map[upstream.Severity]int{}
		for _, x := range m.Findings {
			found[x.Severity]++
		}
		v.Errors, v.Warnings = found[upstream.Error], found[upstream.Warning]
		var parts []string
		for _, severity := range []upstream.Severity{upstream.Error, upstream.Warning, upstream.Note} {
			if n := found[severity]; n > 0 {
				parts = append(parts, count(n, string(severity)))
			}
		}
		v.Found = strings.Join(parts, ", ")
		for _, c := range m.Certificates {
			if days := float64(c.DaysLeft); v.Certificate.Text == "" || days < v.Certificate.Sort {
				v.Certificate = cell{count(c.DaysLeft, "day"), days, look(c.DaysLeft < certificateSoon)}
				if !c.Valid {
					v.Certificate.Mark = "failed"
				}
			}
		}
		list = append(list, v)
	}
	slices.SortStableFunc(list, func(a, b verifyView) int {
		if a.Accepted != b.Accepted {
			return map[bool]int{false: -1, true: 1}[a.Accepted]
		}
		if n := b.Errors - a.Errors; n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	for i := range list {
		list[i].ID = fmt.Sprintf("v%d", i+1)
	}
	return list
}

// verifyCell returns the cell of a mirror, or worst if that is worse.
func verifyCell(m *upstream.Report, worst cell) cell {
	errors := 0
	for _, x := range m.Findings {
		if x.Severity == upstream.Error {
			errors++
		}
	}
	c := cell{Text: "accepted"}
	if !m.Accepted {
		c = cell{Text: "not accepted", Sort: 1 + float64(errors), Mark: "failed"}
		if errors > 0 {
			c.Text = count(errors, "error")
		}
	}
	if worst.Text != "" && worst.Sort >= c.Sort {
		return worst
	}
	return c
}
