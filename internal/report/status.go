package report

import (
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// StatusFormat is the version of the format of Status. Additions increment the minor version, all
// other changes the major one.
const StatusFormat = "1.4"

// Status is the output of status --json. Unknown values are null.
type Status struct {
	FormatVersion string `json:"format_version"`
	// Start and End are when the hosts were read, by the clock of the machine that ran the command.
	// Format 1.0 has neither.
	Start time.Time    `json:"start,omitzero"`
	End   time.Time    `json:"end,omitzero"`
	Hosts []HostStatus `json:"hosts"`
}

// HostStatus is the status of a host.
type HostStatus struct {
	Name      string         `json:"name"`
	Reachable bool           `json:"reachable"`
	Error     string         `json:"error,omitempty"`
	Changes   *int           `json:"changes"` // of a plan
	Mirrors   []MirrorStatus `json:"mirrors"`
}

// MirrorStatus is the status of a mirror on a host. Ages and times are from the host's own clock.
type MirrorStatus struct {
	Name         string        `json:"name"` // almalinux, or almalinux-kitten
	Path         string        `json:"path"`
	Distribution string        `json:"distribution,omitempty"` // almalinux or other; not before format 1.2
	Error        string        `json:"error,omitempty"`
	Clock        *time.Time    `json:"clock,omitempty"` // the host's, when it was read; not in format 1.0
	LastSync     *syncs.Record `json:"last_sync"`
	LastSyncAge  *int64        `json:"last_sync_age_seconds"`
	// SuccessAge is the time since the last successful sync; not before format 1.4.
	SuccessAge    *int64     `json:"success_age_seconds,omitempty"`
	TimeAge       *int64     `json:"time_age_seconds"` // of the mirror's TIME file; only AlmaLinux has one
	Used          *uint64    `json:"used_bytes"`
	Available     *uint64    `json:"available_bytes"`
	DaysUntilFull *float64   `json:"days_until_full"`
	NextRun       *time.Time `json:"next_run"`
	Locked        *bool      `json:"locked"`
	// Held is whether syncs are held, since one has deleted too much; not before format 1.4.
	Held *bool `json:"held,omitempty"`
	// UpstreamTime is the time of the upstream's TIME, or of the file that freshness names, when a
	// sync last saw it, in seconds since 1970; not before format 1.4.
	UpstreamTime *int64 `json:"upstream_time,omitempty"`
	// Certificate is that of the site, for a mirror block with tls; not before format 1.3.
	Certificate *Certificate `json:"certificate,omitempty"`
	// Rsync is what the host's rsync daemon does with the mirror's module, for a mirror block with
	// rsync_daemon: served, full or not served; not before format 1.4.
	Rsync string `json:"rsync,omitempty"`
	// Hub is where the tree comes from, for a sync block with from; not before format 1.4.
	Hub *Hub `json:"hub,omitempty"`
}

// Hub is the mirror on another host that the last sync of a leaf used, or that the next one uses
// first.
type Hub struct {
	Host   string `json:"host"`
	Mirror string `json:"mirror"`
	// Behind is by how many seconds the TIME of the leaf is older than that of the hub; null if one of
	// them is not known.
	Behind *int64 `json:"behind_seconds"`
}

// HubText shows the hub of a leaf, and by how much the leaf is behind it: "hub1: 2 h behind". It is
// "" for other mirrors. Other distributions than AlmaLinux have no TIME to compare.
func (m *MirrorStatus) HubText() string {
	switch {
	case m.Hub == nil:
		return ""
	case m.Hub.Behind == nil && m.Distribution == syncs.OtherDistribution:
		return m.Hub.Host
	case m.Hub.Behind == nil:
		return m.Hub.Host + ": ?"
	case *m.Hub.Behind == 0:
		return m.Hub.Host + ": current"
	case *m.Hub.Behind < 0:
		return m.Hub.Host + ": " + ui.Span(-*m.Hub.Behind) + " ahead"
	}
	return m.Hub.Host + ": " + ui.Span(*m.Hub.Behind) + " behind"
}

// Result returns the result of the last sync in words, "" if no sync is known: such as "done",
// "held (65)", or "failed (20), held" if a hold from before remains.
func (m *MirrorStatus) Result() string {
	result := ""
	if m.LastSync != nil {
		result = m.LastSync.Result()
	}
	if m.Held != nil && *m.Held && !strings.HasPrefix(result, "held") {
		return strings.TrimPrefix(result+", held", ", ")
	}
	return result
}

// SyncFailed reports whether the last sync failed, or the next ones are held.
func (m *MirrorStatus) SyncFailed() bool {
	return m.LastSync != nil && !m.LastSync.Succeeded() || m.Held != nil && *m.Held
}

// Late reports whether TIME is older than AlmaLinux allows for a mirror that it lists.
func (m *MirrorStatus) Late() bool { return m.TimeAge != nil && float64(*m.TimeAge) > allowed() }

// FullSoon reports whether the storage is estimated to be full soon.
func (m *MirrorStatus) FullSoon() bool { return m.DaysUntilFull != nil && *m.DaysUntilFull < fullSoon }

// These are the values of Rsync if the daemon does not serve the mirror, or has as many clients as
// it may have.
const (
	NotServed = "not served"
	RsyncFull = "full"
)

// Certificate is the certificate in a file on a host. NotBefore is when it was last renewed. If
// there is an error, the rest is not known.
type Certificate struct {
	File      string     `json:"file"`
	NotBefore *time.Time `json:"not_before"`
	NotAfter  *time.Time `json:"not_after"`
	DaysLeft  *int       `json:"days_left"` // full days; negative if expired
	Error     string     `json:"error,omitempty"`
}

// Soon reports whether the certificate expires soon, or has expired.
func (c *Certificate) Soon() bool { return c.DaysLeft != nil && *c.DaysLeft < certificateSoon }

// Expired reports whether the certificate has expired.
func (c *Certificate) Expired() bool { return c.DaysLeft != nil && *c.DaysLeft < 0 }

// verdict summarises the status in a line.
func (s *Status) verdict() string {
	hosts := make([]HostResult, len(s.Hosts))
	failed := 0
	for i := range s.Hosts {
		hosts[i].Outcome = s.Hosts[i].outcome()
		for j := range s.Hosts[i].Mirrors {
			if s.Hosts[i].Mirrors[j].SyncFailed() {
				failed++
			}
		}
	}
	r := Result{Hosts: hosts}
	r.Count()
	text := r.verdict()
	if failed > 0 {
		text += "; " + count(failed, "last sync") + " failed"
	}
	return text
}
