package engine

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// Host is one host of a run.
type Host struct {
	Name string
	// Last is set on the host whose resources are computed from the facts of the others: host local,
	// which has their mirrors.d files. It is planned and applied after them.
	Last bool
	// Here is set on a host that is this machine and is reached without SSH, as host local is.
	Here bool
}

// Access is how hosts are reached.
type Access interface {
	// Connect opens a session with a host.
	Connect(ctx context.Context, host string) (*Session, error)
	// Login returns the account that logs in to a host, or "" if no connection leads there: the host
	// is this machine.
	Login(host string) string
	// ConfirmTimeout returns how long a host waits for the confirmation of changes that may cut the
	// connection. With 0, it does not wait.
	ConfirmTimeout(host string) time.Duration
}

// Ledger is what reading and writing the manifests of hosts needs.
type Ledger struct {
	// Configuration is the ID of the configuration. Resources that another configuration manages are
	// never removed. Empty: every entry of a manifest belongs to another one.
	Configuration string
	Version       string    // of mirrorform
	Types         *Registry // the types of orphans
	Moves         []Move    // the renamed and released addresses of the configuration
}

// Fleet are the hosts that a configuration manages, and how to reach them. It has no state: what is
// open is in a Plan.
type Fleet struct {
	access Access
	limit  int
	ledger Ledger
}

// NewFleet returns a Fleet. parallelism is the largest number of hosts to process at once; 0 means
// unlimited.
func NewFleet(access Access, parallelism int, ledger Ledger) *Fleet {
	return &Fleet{access: access, limit: parallelism, ledger: ledger}
}

// group returns an errgroup that processes as many hosts at once as the fleet may.
func (f *Fleet) group() *errgroup.Group {
	group := new(errgroup.Group)
	if f.limit > 0 {
		group.SetLimit(f.limit)
	}
	return group
}

// unreachable is the error of a host that no session could be opened with.
type unreachable struct{ error }

// Unreachable marks the error for errors.As, see HostResult.Outcome.
func (unreachable) Unreachable() bool { return true }

func (e unreachable) Unwrap() error { return e.error }

// reach opens a session with a host. The caller must close it.
func (f *Fleet) reach(ctx context.Context, host string, report Report) (*visit, error) {
	report(Progress{Host: host, Stage: Connecting})
	session, err := f.access.Connect(ctx, host)
	if err != nil {
		return nil, unreachable{err}
	}
	report(Progress{Host: host, Stage: Connected})
	return &visit{
		session: session, written: session.Hello.Manifest,
		target: Target{Name: host, Facts: *session.Hello.Facts, Helper: session.Hello.SHA256},
	}, nil
}
