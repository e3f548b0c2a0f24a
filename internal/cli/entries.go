package cli

import (
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/resources"
)

// entry is what a mirror publishes about itself.
type entry struct {
	host    string // the mirror's
	address string // of the resource that makes the file: local/mirror.almalinux.publish["fra1"]
	file    mirrorsd.File
}

// entriesRun is a run for entries, of the hosts that --limit means.
func (a *app) entriesRun() (*run, error) {
	c, err := a.mustLoad()
	if err != nil {
		return nil, err
	}
	r := &run{app: a, config: c}
	r.hosts, err = a.selectHosts(a.hosts(c))
	return r, err
}

// needFacts returns those of the run's hosts whose facts decide what is in their entries.
func (r *run) needFacts() []engine.Host {
	needed := r.config.LocalNeedsFacts()
	return slices.DeleteFunc(slices.Clone(r.hosts), func(h engine.Host) bool { return !slices.Contains(needed, h.Name) })
}

// entries returns what the mirrors on the run's hosts publish. Entries that are made from facts which are not given are not among them.
func (r *run) entries(facts map[string]*wire.Facts) ([]entry, error) {
	if !slices.ContainsFunc(r.hosts, func(h engine.Host) bool { return h.Last }) {
		return nil, nil // no mirror puts anything on host local
	}
	list, err := r.wanted("local", facts)
	r.ui.Diagnostics(r.config.Together(r.diags), r.config.Files())
	r.diags = nil // told
	if err != nil {
		return nil, errReported
	}
	var found []entry
	for _, res := range r.choose(engine.Target{Name: "local"}, list) {
		file, ok := res.State.(*resources.File)
		a, _ := engine.ParseAddress(res.Address)
		if !ok || file.Content == nil || a.Type != "mirror" || a.Part != "publish" || a.Key == "" {
			continue
		}
		f, err := mirrorsd.Parse([]byte(*file.Content))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", res.Address, err)
		}
		found = append(found, entry{a.Key, res.Address, f})
	}
	return found, nil
}
