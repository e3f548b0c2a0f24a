package events

import (
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// SyncStage is what happened to the sync of a mirror, or to all those of a host: the type of an event.
type SyncStage string

// The stages of a mirror's sync, and those of a host when all of them have ended.
const (
	SyncStarted  SyncStage = "sync-started" // it runs; with --follow, it ran already
	SyncProgress SyncStage = "sync-progress"
	SyncDone     SyncStage = "sync-done"
	SyncFailed   SyncStage = "sync-failed"
	HostSynced   SyncStage = "synced"     // all of the host's
	HostUnsynced SyncStage = "not-synced" // one of them at least was not, or the host was not reached
)

// Sync is what there is to tell of the sync of a mirror, or of a host's.
type Sync struct {
	Stage    SyncStage
	Host     string
	Mirror   string             // "" for the stages of a host
	Transfer *ui.Transfer       // SyncProgress
	Record   *report.SyncRecord // SyncDone; SyncFailed where there is one
	Err      error              // SyncFailed, HostUnsynced
}

// transfer is a ui.Transfer in an event.
type transfer struct {
	Phase   string `json:"phase"`
	Bytes   int64  `json:"bytes"`
	Total   int64  `json:"total_bytes,omitempty"`
	Percent int    `json:"percent"`
	Speed   int64  `json:"bytes_per_second,omitempty"`
}

// Sync tells of a sync.
func (s *Stream) Sync(p Sync) {
	if s == nil {
		return
	}
	e := event{Type: string(p.Stage), Host: p.Host, Mirror: p.Mirror, Record: p.Record}
	if t := p.Transfer; t != nil {
		e.Transfer = &transfer{t.Phase, t.Bytes, t.Total, t.Percent(), t.Speed}
	}
	if p.Err != nil {
		e.Error = p.Err.Error()
	}
	if p.Mirror == "" {
		s.mu.Lock()
		s.ended[p.Host] = e.Type
		s.mu.Unlock()
	}
	s.add(e)
}
