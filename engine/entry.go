package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Entry is how a planner enters hosts: a Look only reads, a Lock begins a transaction.
type Entry interface {
	// enter enters a host that was reached. The notes describe what it found there.
	enter(ctx context.Context, v *visit, report Report) (notes []string, err error)
	// leave passes the visit on to an apply, or ends it.
	leave(hp *HostPlan, v *visit)
}

// Look takes no lock. Each connection closes when its host's plan is made, so that no more of them
// are open than hosts are processed at once. Such a plan cannot be applied.
type Look struct {
	// Brief drops HostPlan.Compared from plans, which is large for thousands of hosts.
	Brief bool
}

// Lock takes the locks of hosts. Connections stay open until Plan.Close, except those of hosts
// whose plan failed.
type Lock struct {
	Operator string        // shown to those who wait: "alice@laptop"
	Command  string        // shown likewise: "apply"
	Timeout  time.Duration // how long to wait for each host's lock
}

func (Look) enter(_ context.Context, v *visit, _ Report) (notes []string, err error) {
	hello := v.session.Hello
	if hello.Holder != nil {
		notes = append(notes, "this host is locked by another run, so it may change "+
			"at any moment: "+describeHolder(*hello.Holder))
	}
	if u := hello.Unfinished; u != nil {
		notes = append(notes, fmt.Sprintf("an earlier %q by %q did not finish. This plan shows its unfinished changes; "+
			"the next apply rolls them back first", clip(u.Command), clip(u.Operator)))
	}
	return notes, nil
}

func (l Look) leave(hp *HostPlan, v *visit) {
	v.close()
	if l.Brief {
		hp.Compared = nil
	}
}

func (l Lock) enter(ctx context.Context, v *visit, report Report) (notes []string, err error) {
	host := v.target.Name
	begun, err := v.session.Begin(ctx, l.message(), func(w wire.Holder) {
		report(Progress{Host: host, Stage: Waiting, Summary: "waiting for the lock: " + describeHolder(w)})
	})
	if err != nil {
		return nil, err
	}
	if begun.Held != nil {
		return nil, &LockedError{*begun.Held}
	}
	report(Progress{Host: host, Stage: Begun})
	if r := begun.Recovered; r != nil {
		text := describeRecovered(r)
		report(Progress{Host: host, Stage: Noted, Summary: text})
		if len(r.Errors) > 0 {
			return nil, errors.New(text)
		}
		notes = append(notes, text)
	}
	v.lock, v.id, v.written = l, begun.ID, begun.Manifest
	return notes, nil
}

func (l Lock) leave(hp *HostPlan, v *visit) {
	if hp.Failed() {
		v.close()
		return
	}
	hp.visit = v
}

func (l Lock) message() wire.Begin {
	return wire.Begin{Operator: l.Operator, Command: l.Command, Wait: int(l.Timeout / time.Second)}
}
