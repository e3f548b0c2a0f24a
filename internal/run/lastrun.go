package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"golang.org/x/sys/unix"
)

// lastRunFormat is the version of the format of lastRun.
const lastRunFormat = 1

// outcomeUnknown is the outcome of a host that a run has begun with, until it has ended: if mirrorform was killed, nobody knows.
const outcomeUnknown engine.Outcome = "not known"

// lastRun is what this machine remembers of the last runs that changed hosts of a configuration: how each host ended in the last one that had it.
// It is kept with the state of host local, and serves --limit @failed.
type lastRun struct {
	Format int                `json:"format_version"`
	Hosts  map[string]hostRun `json:"hosts"`
}

type hostRun struct {
	Outcome engine.Outcome `json:"outcome"`
	Command string         `json:"command"` // "apply" or "destroy"
	Time    time.Time      `json:"time"`
}

// lastRunFile is where that of the configuration in dir is.
func lastRunFile(dir string) (string, error) {
	state, err := localState(dir)
	if err != nil {
		return "", err
	}
	return filepath.Join(state, "last-run.json"), nil
}

// errNoLastRun is the error of a configuration that nothing was applied of from this machine.
var errNoLastRun = errors.New("there is no last run: nothing of this configuration was applied from this machine and directory yet")

// readLastRun reads that of the configuration in dir; where there is none the error is
// errNoLastRun.
func readLastRun(dir string) (*lastRun, error) {
	file, err := lastRunFile(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoLastRun
	}
	if err != nil {
		return nil, err
	}
	l := &lastRun{}
	if err := json.Unmarshal(text, l); err != nil {
		return nil, fmt.Errorf("%s is corrupt; delete it and name the hosts: %w", file, err)
	}
	if l.Format != lastRunFormat {
		return nil, fmt.Errorf("%s has format %d, and this mirrorform reads format %d: use the version that wrote it, or delete it", file, l.Format, lastRunFormat)
	}
	return l, nil
}

// failed are the hosts that did not end as wanted, sorted.
func (l *lastRun) failed() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(l.Hosts)) {
		if !l.Hosts[name].Outcome.Good() {
			names = append(names, name)
		}
	}
	return names
}

// mergeLastRun enters outcomes of a command in the record of the configuration in dir. What other
// runs do meanwhile, of other shards for instance, is kept; of hosts that are not declared any more
// nothing is.
func mergeLastRun(dir string, declared []*config.Host, command string, outcomes map[string]engine.Outcome) (err error) {
	file, err := lastRunFile(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // which gives the lock back
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	l, err := readLastRun(dir)
	if err != nil {
		l = &lastRun{} // a damaged one is of no use any more
	}
	next := lastRun{Format: lastRunFormat, Hosts: map[string]hostRun{}}
	for _, h := range append(slices.Clip(declared), &config.Host{Name: "local"}) {
		if was, ok := l.Hosts[h.Name]; ok {
			next.Hosts[h.Name] = was
		}
	}
	for name, outcome := range outcomes {
		next.Hosts[name] = hostRun{outcome, command, time.Now().UTC().Truncate(time.Second)}
	}
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	return WriteAtomically(file, append(text, '\n'), 0o600)
}

// outcomesOf are the outcomes of results, by host.
func outcomesOf(results []*engine.HostResult) map[string]engine.Outcome {
	outcomes := map[string]engine.Outcome{}
	for _, h := range results {
		outcomes[h.Host] = h.Outcome()
	}
	return outcomes
}

// allWith gives all hosts one outcome.
func allWith(hosts []engine.Host, outcome engine.Outcome) map[string]engine.Outcome {
	outcomes := map[string]engine.Outcome{}
	for _, h := range hosts {
		outcomes[h.Name] = outcome
	}
	return outcomes
}
