package engine

import (
	"context"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// HostFacts are the facts of one host.
type HostFacts struct {
	Host  string
	Facts *wire.Facts // nil when Err is set
	Err   error       // why the host is unreachable
}

// Facts collects the facts of hosts. It locks and changes nothing.
func (f *Fleet) Facts(ctx context.Context, hosts []Host, report Report) []HostFacts {
	list := make([]HostFacts, len(hosts))
	group := f.group()
	for i, host := range hosts {
		group.Go(func() error {
			h := &list[i]
			h.Host = host.Name
			stage := Planned
			v, err := f.reach(ctx, host.Name, report)
			if h.Err = err; err == nil {
				h.Facts = v.session.Hello.Facts
				v.close()
			} else {
				stage = Unplanned
			}
			report(Progress{Host: host.Name, Stage: stage, Err: h.Err})
			return nil
		})
	}
	_ = group.Wait() // each host keeps its own error
	return list
}
