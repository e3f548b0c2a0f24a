// Package run implements commands after flags are parsed: it loads the configuration, selects
// hosts, connects, plans, applies, runs the waves of a rollout, and records the outcome of hosts.
// It prints nothing: an Observer receives all events.
package run

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/upstream"
	"golang.org/x/sync/errgroup"
)

// Options configure a run.
type Options struct {
	Sources   Sources
	Selection Selection
	Access    Access
	// Parallelism is the largest number of hosts to process at once.
	Parallelism int
	// Command is the command that changes hosts and takes their locks: "apply". Empty: the run changes
	// nothing.
	Command string
	// LockTimeout is how long to wait for the lock of a host.
	LockTimeout time.Duration
	// Verify checks mirrors from outside, for gates. Its error names those that are not accepted.
	// shown means that the progress of hosts is shown at the same time.
	Verify func(ctx context.Context, c *config.Config, mirrors []upstream.Mirror, shown bool) error
}

// Run is one run of a command against a configuration's hosts.
type Run struct {
	*Scope
	Options Options

	connector     *connector
	record        *record
	configuration string      // its ID, which may not be in the record yet
	lock          engine.Lock // of a run that changes hosts
	rollout       *rollout    // for an apply, or a plan for one; nil: all hosts at once
}

// New prepares a run. It connects to no host, but may ask the operator for a password. The caller
// must close it.
func New(o Options, w Observer) (*Run, error) {
	s, err := NewScope(o.Sources, o.Selection, w)
	if err != nil {
		return nil, err
	}
	if err := s.checkSelection(); err != nil {
		return nil, err
	}
	r := &Run{Scope: s, Options: o}
	if r.record, err = readRecord(o.Sources.Dir); err != nil {
		return nil, err
	}
	r.record.warnStrangers(s.Config, w)
	r.configuration = r.record.Configuration
	if o.Command != "" {
		if r.configuration == "" {
			r.configuration = engine.NewNonce()
		}
		r.lock = newLock(o.Command, o.LockTimeout)
	}
	if o.Command == "" || o.Command == "apply" {
		r.rollout = newRollout(s.Config, s.Hosts, s.byName)
		if err := r.rollout.excuse(&o.Selection, o.Sources.Dir); err != nil {
			return nil, err
		}
	}
	w.Prepared(r)
	if r.connector, err = newConnector(s, o.Access); err != nil {
		return nil, err
	}
	return r, nil
}

// newLock returns the lock of a command, as shown to other runs that wait for it.
func newLock(command string, timeout time.Duration) engine.Lock {
	return engine.Lock{Operator: operator(), Command: command, Timeout: timeout}
}

// operator returns who runs this program: alice@laptop.
func operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = "unknown"
	}
	return name + "@" + machine
}

// Close closes what sessions share.
func (r *Run) Close() { r.connector.close() }

// Connect opens a session with a host.
func (r *Run) Connect(ctx context.Context, host string) (*engine.Session, error) {
	return r.connector.Connect(ctx, host)
}

// Waves returns the waves of the rollout, or none without a rollout.
func (r *Run) Waves() []engine.Wave { return r.rollout.waves() }

// Recorded returns the ID of the configuration, or "" until something is applied.
func (r *Run) Recorded() string { return r.record.Configuration }

// newFleet returns the fleet of the configuration.
func (r *Run) newFleet() *engine.Fleet {
	return engine.NewFleet(r.connector, r.Options.Parallelism, engine.Ledger{
		Configuration: r.configuration, Version: r.sources.Version, Types: r.sources.Types, Moves: r.Config.Moves(),
	})
}

// newPlanner returns a planner for an aim. It takes the locks of hosts if the command changes them.
// It adds the configuration's problems with hosts' resources to problems.
func (r *Run) newPlanner(a Aim, problems *Problems, report engine.Report) *engine.Planner {
	var entry engine.Entry = r.lock
	if r.Options.Command == "" {
		entry = engine.Look{Brief: a.Brief}
	}
	return engine.NewPlanner(r.newFleet(), intent{r.Scope, a, problems}, entry, report)
}

// each works on hosts at once, with their progress. The error of one is its own, and is reported as
// that of its plan.
func (r *Run) each(hosts []engine.Host, work func(i int, h engine.Host, report engine.Report) error) {
	report, end := r.observer.Progress(Names(hosts))
	defer end()
	var group errgroup.Group
	if r.Options.Parallelism > 0 {
		group.SetLimit(r.Options.Parallelism)
	}
	for i, h := range hosts {
		group.Go(func() error {
			last := engine.Progress{Host: h.Name, Stage: engine.Planned}
			if last.Err = work(i, h, report); last.Err != nil {
				last.Stage = engine.Unplanned
			}
			report(last)
			return nil
		})
	}
	_ = group.Wait() // always nil
}

// Facts returns the facts of hosts. It reports errors of hosts to the observer.
func (r *Run) Facts(ctx context.Context, hosts []engine.Host) (map[string]*wire.Facts, error) {
	report, end := r.observer.Progress(Names(hosts))
	list := r.newFleet().Facts(ctx, hosts, report)
	end()
	facts := map[string]*wire.Facts{}
	var err error
	for _, h := range list {
		if h.Err != nil {
			r.hostFailed(h.Host, h.Err)
			err = ErrReported
			continue
		}
		facts[h.Host] = h.Facts
	}
	return facts, err
}

// remember adds hosts to the record, before anything is changed on them.
func (r *Run) remember(hosts []engine.Host) error {
	next := r.record.clone()
	next.Configuration = r.configuration
	for _, declared := range r.Config.Hosts() {
		if !declared.Local && slices.ContainsFunc(hosts, func(h engine.Host) bool { return h.Name == declared.Name }) {
			next.Hosts[declared.Name] = recordedHost{declared.Address}
		}
	}
	if err := next.write(r.sources.Dir, r.record); err != nil {
		return fmt.Errorf("nothing was changed: the record of hosts could not be written: %w", err)
	}
	if r.record.Configuration == "" {
		r.observer.Note(fmt.Sprintf("Created %s: keep it under version control with the configuration. "+
			"It contains the ID by which hosts recognise resources of this configuration.", RecordName))
	}
	r.record = next
	return nil
}

// recordOutcomes adds outcomes of hosts to the record of the last run. An error is only a warning:
// the hosts have their own manifests.
func (r *Run) recordOutcomes(outcomes map[string]engine.Outcome) {
	if len(outcomes) == 0 {
		return
	}
	if err := mergeLastRun(r.sources.Dir, r.Config.Hosts(), r.Options.Command, outcomes); err != nil {
		r.observer.Warning(fmt.Sprintf("the record of this run could not be written, so --limit %s "+
			"will not work: %v", FailedHosts, err))
	}
}

// hostFailed reports the error of a host to the observer.
func (r *Run) hostFailed(host string, err error) {
	r.observer.Error(fmt.Errorf("%s: %w", host, err))
}

// manifestWayOut returns the command that replaces an unusable manifest.
func manifestWayOut(host string) string {
	return fmt.Sprintf("To recreate it from the configuration, keeping the old one beside it: "+
		"mirrorform state rebuild '%s'", host)
}
