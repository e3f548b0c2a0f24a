// Package run is what a command does once its flags are read: it loads the configuration, selects
// hosts, connects, plans, applies, goes through the waves of a rollout, and records how hosts
// ended. It prints nothing: an Observer hears what happens.
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
)

// Options say what a run is about, and how hosts are reached.
type Options struct {
	Sources   Sources
	Selection Selection
	Access    Access
	// Parallelism is how many hosts are worked on at once.
	Parallelism int
	// Command is what changes hosts, and takes their locks: "apply". Empty: nothing is changed.
	Command string
	// LockTimeout is how long the lock of a host is waited for.
	LockTimeout time.Duration
	// Verify looks at mirrors from outside, for gates. Its error says which are not accepted. shown
	// says that what happens on hosts is shown meanwhile.
	Verify func(ctx context.Context, c *config.Config, mirrors []upstream.Mirror, shown bool) error
}

// Run is one run of a command against a configuration's hosts.
type Run struct {
	*Scope
	Options Options

	connector     *connector
	record        *record
	configuration string       // its ID, which the record may not have yet
	lock          *engine.Lock // nil: nothing is changed
	rollout       *rollout     // of an apply, or a plan for one; nil: all hosts at once
}

// New prepares a run. Nothing is reached yet, but the operator may be asked for a password. The
// caller closes it.
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
	r.record.tellStrangers(s.Config, w)
	r.configuration = r.record.Configuration
	if o.Command != "" {
		if r.configuration == "" {
			r.configuration = engine.NewNonce()
		}
		r.lock = newLock(o.Command, o.LockTimeout)
	}
	if o.Command == "" || o.Command == "apply" {
		r.rollout = newRollout(s.Config.Rollout(), s.Hosts, s.byName)
	}
	w.Prepared(r)
	if r.connector, err = newConnector(s, o.Access); err != nil {
		return nil, err
	}
	return r, nil
}

// newLock is the lock of a command, as others see it who have to wait for it.
func newLock(command string, timeout time.Duration) *engine.Lock {
	return &engine.Lock{Operator: operator(), Command: command, Timeout: timeout}
}

// operator says who runs this: alice@laptop.
func operator() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = "an unnamed machine"
	}
	return name + "@" + machine
}

// Close ends what sessions share.
func (r *Run) Close() { r.connector.close() }

// Connect opens a session with a host.
func (r *Run) Connect(ctx context.Context, host string) (*engine.Session, error) {
	return r.connector.connect(ctx, host)
}

// Waves are those of the rollout; none where there is no rollout.
func (r *Run) Waves() []engine.Wave { return r.rollout.waves() }

// Recorded is the ID of the configuration, if it is on record: "" until something is applied.
func (r *Run) Recorded() string { return r.record.Configuration }

// Aim says what a plan is for, where that is not what the configuration says.
type Aim struct {
	// Hosts are planned for; nil: all that are selected.
	Hosts []engine.Host
	// Select returns those of a host's resources that the plan is about; nil: those that are
	// selected.
	Select func(t engine.Target, all []*engine.Resource) []*engine.Resource
	// Adjust changes what is wanted. It may be nil.
	Adjust func(selected []*engine.Resource) []*engine.Resource
	// Check says what is wrong with all of a host's resources. It may be nil.
	Check func(host string, all []*engine.Resource) error
	// Once says that the plan is all there is to do, Brief that it need not tell what was found as
	// wanted: see engine.Fleet.
	Once, Brief bool
}

// newFleet returns a Fleet for an aim. What the configuration has against hosts' resources is added
// to problems. The caller closes it.
func (r *Run) newFleet(a Aim, problems *Problems) *engine.Fleet {
	fleet := &engine.Fleet{
		Connect: r.connector.connect, Lock: r.lock, Configuration: r.configuration,
		LeftOut: r.leftOut, Select: r.choose, Adjust: a.Adjust, Types: r.sources.Types, Moves: r.Config.Moves(), Version: r.sources.Version,
		Parallelism: r.Options.Parallelism, Replace: r.selection.Replace, Once: a.Once, Brief: a.Brief,
		Login:          r.connector.login,
		ConfirmTimeout: func(host string) time.Duration { return r.byName[host].ConfirmTimeout },
		Wanted: func(host string, facts map[string]*wire.Facts) ([]*engine.Resource, error) {
			list, err := r.Wanted(host, facts, problems)
			if err == nil && a.Check != nil {
				err = a.Check(host, list)
			}
			return list, err
		},
	}
	if a.Select != nil {
		fleet.Select = a.Select
	}
	return fleet
}

// Facts asks hosts for their facts. The observer hears the errors of those that do not answer.
func (r *Run) Facts(ctx context.Context, hosts []engine.Host) (map[string]*wire.Facts, error) {
	fleet := r.newFleet(Aim{}, &Problems{})
	defer fleet.Close()
	report, end := r.observer.Progress(Names(hosts))
	fleet.Report = report
	list := fleet.Facts(ctx, hosts)
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

// remember enters hosts in the record before anything is done on them.
func (r *Run) remember(hosts []engine.Host) error {
	next := r.record.clone()
	next.Configuration = r.configuration
	for _, declared := range r.Config.Hosts() {
		if !declared.Local && slices.ContainsFunc(hosts, func(h engine.Host) bool { return h.Name == declared.Name }) {
			next.Hosts[declared.Name] = recordedHost{declared.Address}
		}
	}
	if err := next.write(r.sources.Dir, r.record); err != nil {
		return fmt.Errorf("nothing was changed: the record of known hosts could not be written: %w", err)
	}
	if r.record.Configuration == "" {
		r.observer.Note(fmt.Sprintf("%s is new: keep it under version control with the configuration. By it hosts know what is this configuration's.", RecordName))
	}
	r.record = next
	return nil
}

// recordOutcomes enters outcomes of hosts in the record of the last run. An error is told and stops
// nothing: the hosts themselves know what is on them.
func (r *Run) recordOutcomes(outcomes map[string]engine.Outcome) {
	if len(outcomes) == 0 {
		return
	}
	if err := mergeLastRun(r.sources.Dir, r.Config.Hosts(), r.Options.Command, outcomes); err != nil {
		r.observer.Warning(fmt.Sprintf("the record of this run, which --limit %s reads, could not be written: %v", FailedHosts, err))
	}
}

// hostFailed has the observer hear the error of a host.
func (r *Run) hostFailed(host string, err error) {
	r.observer.Error(fmt.Errorf("%s: %w", host, err))
}

// manifestWayOut says what to do about a manifest that cannot be used.
func manifestWayOut(host string) string {
	return fmt.Sprintf("To make it anew from the configuration, keeping the old one beside it: mirrorform state rebuild '%s'", host)
}
