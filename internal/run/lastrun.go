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

// lastRunFormat is the format version of lastRun.
const lastRunFormat = 1

// outcomeUnknown is the outcome of a host until the run on it ends. It remains if mirrorform is
// killed.
const outcomeUnknown engine.Outcome = "not known"

// lastRun is this machine's record of how each host of a configuration ended in the last run that
// changed it. It is stored with the state of host local, for --limit @failed.
type lastRun struct {
	Format int                `json:"format_version"`
	Hosts  map[string]hostRun `json:"hosts"`
}

type hostRun struct {
	Outcome engine.Outcome `json:"outcome"`
	Command string         `json:"command"` // "apply" or "destroy"
	Time    time.Time      `json:"time"`
}

// lastRunFile returns the path of the record for the configuration in dir.
func lastRunFile(dir string) (string, error) {
	state, err := localState(dir)
	if err != nil {
		return "", err
	}
	return filepath.Join(state, "last-run.json"), nil
}

// errNoLastRun is the error of a configuration that was never applied from this machine.
var errNoLastRun = errors.New("no last run found: this configuration was never applied from this machine " +
	"and directory")

// readLastRun reads the record for the configuration in dir. If there is no record, the error is
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
		return nil, fmt.Errorf("%s is corrupt: delete it, and name the hosts with --limit: %w", file, err)
	}
	if l.Format != lastRunFormat {
		return nil, fmt.Errorf("%s has format %d, but this version of mirrorform reads format %d: use the version "+
			"that wrote it, or delete it",
			file, l.Format, lastRunFormat)
	}
	return l, nil
}

// failed returns the hosts that did not end as wanted, sorted.
func (l *lastRun) failed() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(l.Hosts)) {
		if !l.Hosts[name].Outcome.Good() {
			names = append(names, name)
		}
	}
	return names
}

// mergeLastRun adds outcomes of a command to the record for the configuration in dir. It keeps what
// concurrent runs (of other shards, for example) have added, and drops hosts that are no longer
// declared.
func mergeLastRun(dir string, declared []*config.DeclaredHost, command string, outcomes map[string]engine.Outcome) (err error) {
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
	defer func() { err = errors.Join(err, lock.Close()) }() // this releases the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	l, err := readLastRun(dir)
	if err != nil {
		l = &lastRun{} // a damaged record is replaced
	}
	next := lastRun{Format: lastRunFormat, Hosts: map[string]hostRun{}}
	for _, h := range append(slices.Clip(declared), &config.DeclaredHost{Name: "local"}) {
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

// outcomesOf returns the outcomes of results, by host.
func outcomesOf(results []*engine.HostResult) map[string]engine.Outcome {
	outcomes := map[string]engine.Outcome{}
	for _, h := range results {
		outcomes[h.Host] = h.Outcome()
	}
	return outcomes
}

// allWith returns the same outcome for all hosts.
func allWith(hosts []engine.Host, outcome engine.Outcome) map[string]engine.Outcome {
	outcomes := map[string]engine.Outcome{}
	for _, h := range hosts {
		outcomes[h.Name] = outcome
	}
	return outcomes
}
