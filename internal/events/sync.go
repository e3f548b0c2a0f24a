package events

import "github.com/mirrorform/mirrorform/internal/syncs"

// transfer is a syncs.Transfer in an event.
type transfer struct {
	Phase   string `json:"phase"`
	Bytes   int64  `json:"bytes"`
	Total   int64  `json:"total_bytes,omitempty"`
	Percent int    `json:"percent"`
	Speed   int64  `json:"bytes_per_second,omitempty"`
}

// Sync writes an event of a sync.
func (s *Stream) Sync(p syncs.Event) {
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
