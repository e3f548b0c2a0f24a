package cli

import (
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/report"
	"github.com/mirrorform/mirrorform/internal/run"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/internal/ui"
)

// treeName identifies a tree of a fleet.
type treeName struct{ host, mirror string }

// findHubs sets the hub of each leaf, and compares the TIME of both. hosts are those of the plan,
// in its order.
func findHubs(plan *engine.Plan, hosts []report.HostStatus) {
	surveys := map[treeName]*run.Survey{}
	for _, p := range plan.Hosts {
		for _, c := range p.Compared {
			if s, ok := c.Have.(*run.Survey); ok {
				surveys[treeName{p.Host, s.Job.Mirror}] = s
			}
		}
	}
	for i := range hosts {
		for j := range hosts[i].Mirrors {
			m := &hosts[i].Mirrors[j]
			s := surveys[treeName{hosts[i].Name, m.Name}]
			if s == nil || len(s.Job.Hubs) == 0 {
				continue
			}
			hub := hubInUse(s.Job.Hubs, m.LastSync)
			m.Hub = &report.Hub{Host: hub.Host, Mirror: hub.Mirror}
			if of := surveys[treeName{hub.Host, hub.Mirror}]; of != nil {
				m.Hub.Behind = behind(s, of)
			}
		}
	}
}

// hubInUse returns the hub that the last sync used, or the first one.
func hubInUse(hubs []syncs.Hub, last *syncs.Record) syncs.Hub {
	if last != nil {
		if i := slices.IndexFunc(hubs, func(h syncs.Hub) bool { return h.URL == last.Upstream }); i >= 0 {
			return hubs[i]
		}
	}
	return hubs[0]
}

// behind returns by how many seconds the TIME of a leaf is older than that of its hub, or nil.
func behind(leaf, hub *run.Survey) *int64 {
	if leaf.State == nil || hub.State == nil || leaf.State.Time == nil || hub.State.Time == nil {
		return nil
	}
	seconds := *hub.State.Time - *leaf.State.Time
	return &seconds
}

// besideHub ends a sentence about an old TIME: the cause may be the leaf or its hub.
func besideHub(h *report.Hub) string {
	switch {
	case h == nil:
		return ""
	case h.Behind == nil:
		return "; that of its hub " + h.Host + " is not known"
	case *h.Behind > 0:
		return "; that of its hub " + h.Host + " is " + ui.Span(*h.Behind) + " newer"
	}
	return "; it is that of its hub " + h.Host
}

// hubNote says what to do if the last sync of a leaf did not reach its hub, or "".
func hubNote(m *report.MirrorStatus) string {
	if m.Hub == nil || m.LastSync == nil || m.LastSync.Exit != syncs.ExitUnavailable {
		return ""
	}
	return fmt.Sprintf("the last sync did not reach its hub %[1]s, or its file system is not mounted. "+
		"To see whether the hub serves the tree: mirrorform status '%[1]s'", m.Hub.Host)
}
