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

	"github.com/mirrorform/mirrorform/internal/config"
)

// RecordName is the name of a file beside the configuration that records what the configuration
// cannot contain: its ID and the hosts that it had.
const RecordName = "mirrorform.hosts.json"

// recordFormat is the format version of the record.
const recordFormat = 1

// record is the content of that file. It contains no secrets and belongs in version control, beside
// the configuration.
type record struct {
	Format int `json:"format_version"`
	// Configuration is a random ID. Hosts store it with the resources of this configuration, so that
	// no other configuration removes them.
	Configuration string `json:"configuration"`
	// Hosts are the hosts that were applied to, by name.
	Hosts map[string]recordedHost `json:"hosts"`
}

type recordedHost struct {
	Address string `json:"address"`
}

// readRecord reads the record of the configuration in dir. A missing record is empty.
func readRecord(dir string) (*record, error) {
	file := filepath.Join(dir, RecordName)
	r := &record{Format: recordFormat, Hosts: map[string]recordedHost{}}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, r); err != nil || r.Configuration == "" {
		return nil, fmt.Errorf("%s is corrupt: restore it from version control, or delete it "+
			"(mirrorform then removes nothing that is no longer in the configuration)", file)
	}
	if r.Format != recordFormat {
		return nil, fmt.Errorf("%s has format %d, but this version of mirrorform reads format %d: use the version "+
			"that wrote it", file, r.Format, recordFormat)
	}
	if r.Hosts == nil {
		r.Hosts = map[string]recordedHost{}
	}
	return r, nil
}

// clone copies a record.
func (r *record) clone() *record {
	c := *r
	c.Hosts = maps.Clone(r.Hosts)
	return &c
}

// write replaces the file if the record differs from before.
func (r *record) write(dir string, before *record) error {
	if before != nil && before.Configuration == r.Configuration && maps.Equal(before.Hosts, r.Hosts) {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return WriteAtomically(filepath.Join(dir, RecordName), append(text, '\n'), 0o644)
}

// strangers returns the hosts of the record that are no longer in the configuration, sorted.
func (r *record) strangers(c *config.Config) []string {
	left := maps.Clone(r.Hosts)
	for _, h := range c.Hosts() {
		delete(left, h.Name)
	}
	return slices.Sorted(maps.Keys(left))
}

// warnStrangers warns about hosts that are no longer managed.
func (r *record) warnStrangers(c *config.Config, w Observer) {
	for _, name := range r.strangers(c) {
		w.Warning(fmt.Sprintf("host %s (%s) is no longer in the configuration. What mirrorform created there "+
			"stays, but is no longer managed. To remove it, declare the host again and run: "+
			"mirrorform destroy --limit '%s'. To release it: mirrorform state forget '%s'",
			name, r.Hosts[name].Address, name, name))
	}
}
