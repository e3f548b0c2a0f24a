package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
)

// named returns the selected hosts. Host local is among them only if --limit names it or, unless
// always is set, if all hosts are selected.
func (s *Scope) named(always bool) []engine.Host {
	if s.LocalNamed || !always && !s.selection.Narrows() {
		return s.Hosts
	}
	return slices.DeleteFunc(slices.Clone(s.Hosts), func(h engine.Host) bool { return h.Last })
}

// Manifests returns the manifests of hosts. It reports errors of hosts to the observer; such hosts
// are not in the list.
func (r *Run) Manifests(ctx context.Context) ([]engine.HostManifest, error) {
	hosts := r.named(false)
	report, end := r.observer.Progress(Names(hosts))
	all := r.newFleet().Manifests(ctx, hosts, report)
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

// manifestFailed reports the error of a host to the observer. For an unusable manifest, it adds the
// command to replace it.
func (r *Run) manifestFailed(host string, err error) {
	if errors.Is(err, engine.ErrManifest) {
		err = fmt.Errorf("%w. Nothing was changed. %s", err, manifestWayOut(host))
	}
	r.hostFailed(host, err)
}

// Forget removes what is at or below addresses from hosts' manifests, and hosts that are no longer
// declared from the record. It calls forgotten with each removed address. configuration is the ID
// whose entries to remove; empty: all.
func (r *Run) Forget(ctx context.Context, configuration string, addresses []string, forgotten func(address string)) error {
	byHost := map[string][]string{}
	record := r.record.clone()
	for _, address := range addresses {
		host := engine.HostOf(address)
		if _, known := record.Hosts[host]; known && !r.Declares(host) && host == address {
			delete(record.Hosts, host)
			r.observer.Note(fmt.Sprintf("Host %s is removed from the record. Its resources stay unchanged.", host))
			continue
		}
		if !r.Declares(host) {
			return fmt.Errorf("host %s not found in the configuration or in %s; nothing was changed", host, RecordName)
		}
		byHost[host] = append(byHost[host], engine.Local(address))
	}
	if err := record.write(r.sources.Dir, r.record); err != nil {
		return err
	}
	fleet := r.newFleet()
	var failed error
	for _, host := range slices.Sorted(maps.Keys(byHost)) {
		list, err := fleet.Forget(ctx, r.lock, host, configuration, byHost[host])
		switch {
		case err != nil:
			r.manifestFailed(host, err)
			failed = ErrReported
		case len(list) == 0:
			r.hostFailed(host, fmt.Errorf("no such address is managed here. To list all: mirrorform state list '%s'", host))
			failed = ErrReported
		}
		for _, address := range list {
			forgotten(engine.OnHost(host, address))
		}
	}
	return failed
}

// Rebuild recreates hosts' manifests. It calls rebuilt with each host's managed addresses and those
// that differ from the wanted state.
func (r *Run) Rebuild(ctx context.Context, rebuilt func(host string, managed, left []string)) error {
	if err := r.remember(r.Hosts); err != nil {
		return err
	}
	var problems Problems
	var failed error
	r.newFleet().Rebuild(ctx, r.lock, r.named(true), intent{r.Scope, r.Aim(), &problems}, func(h engine.Rebuilt) {
		r.Report(&problems)
		if h.Err != nil {
			r.manifestFailed(h.Host, h.Err)
			failed = ErrReported
			return
		}
		rebuilt(h.Host, h.Managed, h.Left)
	})
	return failed
}
