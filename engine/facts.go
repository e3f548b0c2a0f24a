package engine

import (
	"context"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// HostFacts is what a host says of itself.
type HostFacts struct {
	Host  string
	Facts *wire.Facts // nil when Err is not
	Err   error       // the host could not be reached
}

// Facts asks hosts for their facts. Nothing is locked or changed.
func (f *Fleet) Facts(ctx context.Context, hosts []Host) []HostFacts {
	list := make([]HostFacts, len(hosts))
	group := f.group()
	for i, host := range hosts {
		group.Go(func() error {
			h := &list[i]
			h.Host = host.Name
			stage := Planned
			reached, err := f.reach(ctx, host.Name)
			if h.Err = err; err == nil {
				h.Facts = reached.facts
			} else {
				stage = Unplanned
			}
			f.report(Progress{Host: host.Name, Stage: stage, Err: h.Err})
			return nil
		})
	}
	_ = group.Wait() // each keeps its own error
	return list
}
