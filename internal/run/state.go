package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
)

// named leaves out host local where it only goes along with others, as it does for plans.
func (s *Scope) named(always bool) []engine.Host {
	if s.LocalNamed || !always && !s.selection.Narrows() {
		return s.Hosts
	}
	return slices.DeleteFunc(slices.Clone(s.Hosts), func(h engine.Host) bool { return h.Last })
}

// Manifests asks hosts for their manifests. The observer hears the errors of hosts; those that have
// one are not in the list.
func (r *Run) Manifests(ctx context.Context) ([]engine.HostManifest, error) {
	hosts := r.named(false)
	fleet := r.newFleet(Aim{}, &Problems{})
	defer fleet.Close()
	report, end := r.observer.Progress(Names(hosts))
	fleet.Report = report
	all := fleet.Manifests(ctx, hosts)
	end()
	good := []engine.HostManifest{}
	var err error
	for _, m := range all {
		if m.Err != nil {
			r.manifestFailed(m.Host, m.Err)
			err = ErrReported
			continue
		}
		good = append(good, m)
	}
	return good, err
}

// manifestFailed has the observer hear the error of a host, with the way out of one of its
// manifest.
func (r *Run) manifestFailed(host string, err error) {
	if errors.Is(err, engine.ErrManifest) {
		err = fmt.Errorf("%w. Nothing was changed. %s", err, manifestWayOut(host))
	}
	r.hostFailed(host, err)
}

// Forget takes what is at or below addresses out of hosts' manifests, and hosts that are not
// declared any more out of the record. forgotten hears each address that was managed. configuration
// is the ID whose entries are meant; empty: all.
func (r *Run) Forget(ctx context.Context, configuration string, addresses []string, forgotten func(address string)) error {
	byHost := map[string][]string{}
	record := r.record.clone()
	for _, address := range addresses {
		host := engine.HostOf(address)
		if _, known := record.Hosts[host]; known && !r.Declares(host) && host == address {
			delete(record.Hosts, host)
			r.observer.Note(fmt.Sprintf("Host %s is forgotten. What is on it stays.", host))
			continue
		}
		if !r.Declares(host) {
			return fmt.Errorf("there is no host %s, neither in the configuration nor in %s; nothing was changed", host, RecordName)
		}
		byHost[host] = append(byHost[host], engine.Local(address))
	}
	if err := record.write(r.sources.Dir, r.record); err != nil {
		return err
	}
	fleet := r.newFleet(Aim{}, &Problems{})
	defer fleet.Close()
	var failed error
	for _, host := range slices.Sorted(maps.Keys(byHost)) {
		list, err := fleet.Forget(ctx, host, configuration, byHost[host])
		switch {
		case err != nil:
			r.manifestFailed(host, err)
			failed = ErrReported
		case len(list) == 0:
			r.hostFailed(host, fmt.Errorf("nothing of that is managed there: mirrorform state list %s prints what is", host))
			failed = ErrReported
		}
		for _, address := range list {
			forgotten(engine.OnHost(host, address))
		}
	}
	return failed
}

// Rebuild makes hosts' manifests anew. rebuilt hears of each host how many resources are managed,
// and which are not as they are wanted.
func (r *Run) Rebuild(ctx context.Context, rebuilt func(host string, managed, left []string)) error {
	if err := r.remember(r.Hosts); err != nil {
		return err
	}
	var problems Problems
	fleet := r.newFleet(Aim{}, &problems)
	defer fleet.Close()
	var failed error
	for _, h := range r.named(true) {
		managed, left, err := fleet.Rebuild(ctx, h.Name)
		r.Tell(&problems)
		if err != nil {
			r.manifestFailed(h.Name, err)
			failed = ErrReported
			continue
		}
		rebuilt(h.Name, managed, left)
	}
	return failed
}
