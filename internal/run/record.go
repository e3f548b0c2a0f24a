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

// RecordName is the name of the file beside the configuration that remembers what the configuration
// itself cannot: which hosts it had.
const RecordName = "mirrorform.hosts.json"

// recordFormat is the version of the record's format.
const recordFormat = 1

// record is what that file holds. It has no secrets and belongs in version control, beside the configuration.
type record struct {
	Format int `json:"format_version"`
	// Configuration is a random ID. Hosts keep it with what they have from this configuration, so that no other one removes it.
	Configuration string `json:"configuration"`
	// Hosts are those that were applied to, by their names.
	Hosts map[string]recordedHost `json:"hosts"`
}

type recordedHost struct {
	Address string `json:"address"`
}

// readRecord reads the record of the configuration in dir. Where there is none it is empty.
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
		return nil, fmt.Errorf("%s is corrupt: take it from version control, or delete it; without it mirrorform removes nothing that is no longer in the configuration", file)
	}
	if r.Format != recordFormat {
		return nil, fmt.Errorf("%s has format %d, and this mirrorform reads format %d: use the version that wrote it", file, r.Format, recordFormat)
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

// write replaces the file if it says something else than was there before.
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

// strangers are the hosts of the record that the configuration does not have any more, sorted.
func (r *record) strangers(c *config.Config) []string {
	left := maps.Clone(r.Hosts)
	for _, h := range c.Hosts() {
		delete(left, h.Name)
	}
	return slices.Sorted(maps.Keys(left))
}

// tellStrangers says which hosts are not looked after any more.
func (r *record) tellStrangers(c *config.Config, w Observer) {
	for _, name := range r.strangers(c) {
		w.Warning(fmt.Sprintf("host %s (%s) is not in the configuration any more. What mirrorform made there stays, and nobody looks after it. "+
			"To remove it, declare the host again and run: mirrorform destroy --limit '%s'. To let go of it: mirrorform state forget '%s'",
			name, r.Hosts[name].Address, name, name))
	}
}
